"""--seeds: a run for each of several seeds, and the mean of their results with its standard error."""

from __future__ import annotations

import gc
import math
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from keraskit import signals
from keraskit.config import RunConfig, flags
from keraskit.errors import RunStopped, UserError, printable
from keraskit.registry import Card
from keraskit.runs import manifest
from keraskit.runs.folder import MANIFEST, RunFolder
from keraskit.text import short
from keraskit.training.settings import callbacks_file, code, words

if TYPE_CHECKING:
    from keraskit.recipe import Recipe
    from keraskit.training.result import RunResult


def in_processes(card: Card, config: RunConfig, options: dict[str, Any]) -> None:
    """Train once with each seed, each in a process of its own, which gives its memory back.

    Raises RunStopped or Stopped, with its exit code, where one of them fails or is interrupted.
    """
    results = []
    for seed, one, folder in _each(config, options, card):
        if not folder:
            given = {name: getattr(one, name) for name in one.model_fields_set if name != "seeds"}
            given["augment"] = one.augment.given()
            line = [*shlex.split(flags({k: v for k, v in given.items() if v != {}})), *shlex.split(flags(options))]
            _run(["run", card.name if card.ours else str(card.source.resolve()), *line], seed)
            folder = _finished(one, options, card)
        if not folder:
            raise RunStopped(f"The run of seed {seed} left no result in {one.output_dir}.", "See what it says above.")
        results.append(folder.read_json(MANIFEST)["test"])
    say(results)


def in_this_process(
    recipe: Recipe, config: RunConfig, options: dict[str, Any], train: Callable[..., RunResult]
) -> RunResult:
    """Train once with each seed, here, where a recipe was made, and return the last result; the others are let go."""
    import keras

    from keraskit.training.result import opened

    result, results = None, []
    for _, one, folder in _each(config, options, Card(recipe.source, recipe.name)):
        result = None
        keras.utils.clear_session()
        gc.collect()
        result = opened(folder) if folder else train(recipe, one, options)
        results.append(result.metrics)
    assert result
    say(results)
    return result


def say(results: Sequence[dict[str, float]]) -> None:
    """Print the mean of each metric and its standard error."""
    for name in results[0]:
        values = [result[name] for result in results]
        error = statistics.stdev(values) / math.sqrt(len(values))
        shown = f"{statistics.mean(values):.4f} ± {error:.4f}, of {len(values)} seeds"
        print(f"mean {name.replace('_', ' '):16} {shown}", flush=True)


def _each(config: RunConfig, options: dict[str, Any], card: Card) -> Iterator[tuple[int, RunConfig, RunFolder | None]]:
    """Each seed, its knobs, and with --resume the run that has finished with it."""
    for number, seed in enumerate(range(config.seed, config.seed + config.seeds), 1):
        one = config.replace(seed=seed, seeds=1)
        folder = _finished(one, options, card) if config.resume else None
        known = f", finished in {printable(short(folder.path))}" if folder else ""
        print(f"seed           {seed}, {number} of {config.seeds}{known}", flush=True)
        yield seed, one, folder


def _finished(config: RunConfig, options: dict[str, Any], card: Card) -> RunFolder | None:
    """The newest finished run of the recipe as it is now that was asked for in these words."""
    name = card.declared.get("name") or card.name
    of_files = {"code": code(card.source), "callbacks": code(callbacks_file(config.callbacks))}
    wanted = {**words(config, options), **of_files}
    for file in sorted((config.output_dir / name).glob(f"*/{MANIFEST}"), reverse=True):
        folder = RunFolder(file.parent)
        with suppress(UserError):
            facts = manifest.read(folder, "asked.knobs", "asked.options", "test")
            if facts.get("status") == "finished" and wanted == {key: facts["asked"].get(key) for key in wanted}:
                return folder
    return None


def _run(typed: Sequence[str], seed: int) -> None:
    sys.stdout.flush()
    # Without the working folder among the places of modules; a signal is passed on, so that it saves where it is.
    process = subprocess.Popen([sys.executable, "-P", "-m", "keraskit", *typed], start_new_session=True)
    with signals.sent_to(lambda number, frame: process.send_signal(number)):
        code = process.wait()
    if code in (130, 143):
        raise signals.Stopped(code - 128, "Interrupted. The same command with --resume goes on.")
    if code:
        stopped = RunStopped(f"The run of seed {seed} ended with code {code}.", "See above; --resume goes on.")
        stopped.code = code if code > 0 else 1
        raise stopped
