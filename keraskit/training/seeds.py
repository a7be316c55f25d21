"""--seeds: a run for each of several seeds, in a process of its own, and the mean of their results."""

from __future__ import annotations

import math
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keraskit import signals
from keraskit.config import RunConfig, flags
from keraskit.errors import RunStopped, printable
from keraskit.registry import Card
from keraskit.runs import manifest
from keraskit.runs.folder import RunFolder
from keraskit.text import short
from keraskit.training.settings import words

if TYPE_CHECKING:
    from keraskit.recipe import Recipe
    from keraskit.training.result import RunResult


def in_processes(card: Card, config: RunConfig, options: dict[str, Any]) -> None:
    """Train once with each seed, each in a process of its own, which gives its memory back.

    With `resume`, seeds that have finished are not trained again. Raises RunStopped or Stopped, with its exit code,
    where a run fails or is interrupted.
    """
    recipe, results = card.name if card.ours else str(card.source.resolve()), []
    for one in each(config):
        found = finished(one, options, card) if config.resume else None
        if found:
            print(f"               finished in {printable(short(found[0].path))}", flush=True)
        else:
            knobs = {n: getattr(one, n) for n in one.model_fields_set - {"seeds"}} | {"augment": one.augment.given()}
            train([recipe, *shlex.split(flags(knobs)), *shlex.split(flags(options))], one.seed)
            found = finished(one, options, card)
        if not found:
            raise RunStopped(f"The run of seed {one.seed} left no result in {one.output_dir}.", "See above.")
        results.append(found[1])
    say(results)


def in_this_process(
    recipe: Recipe, config: RunConfig, options: dict[str, Any], train: Callable[..., RunResult]
) -> RunResult:
    """Train once with each seed, here, where a recipe was made in Python, and return the last result."""
    results: list[dict[str, float]] = []
    for one in each(config):
        result = train(recipe, one, options)
        results.append(result.metrics)
    say(results)
    return result


def each(config: RunConfig) -> Iterator[RunConfig]:
    """The knobs of each seed's run."""
    for seed in range(config.seed, config.seed + config.seeds):
        print(f"seed           {seed}, {seed - config.seed + 1} of {config.seeds}", flush=True)
        yield config.replace(seed=seed, seeds=1)


def finished(config: RunConfig, options: dict[str, Any], card: Card) -> tuple[RunFolder, dict[str, float]] | None:
    """Find the newest finished run of the recipe as it is now that was asked for in these words, and its metrics."""
    wanted = words({"knobs": config.given(), "options": options}, card.source)
    name = card.declared.get("name") or card.name
    for folder, facts in manifest.runs(config.output_dir / name):
        asked = facts.get("asked") or {}
        if facts.get("status") == "finished" and facts.get("test") and wanted.items() <= asked.items():
            return folder, facts["test"]
    return None


def train(typed: Sequence[str], seed: int) -> None:
    """Run `keraskit run` in a new process, and pass a signal on to it, so that it saves where it is."""
    sys.stdout.flush()
    line = [sys.executable, "-P", "-m", "keraskit", "run", *typed]  # -P: a numpy.py lying here is none of ours
    process = subprocess.Popen(line, start_new_session=True)
    with signals.sent_to(lambda number, frame: process.send_signal(number)):
        code = process.wait()
    if code in (130, 143):
        raise signals.Stopped(code - 128, "Interrupted. The same command with --resume goes on.")
    if code:
        stopped = RunStopped(f"The run of seed {seed} ended with code {code}.", "See above; --resume goes on.")
        stopped.code = code if code > 0 else 1
        raise stopped


def say(results: Sequence[dict[str, float]]) -> None:
    """Print the mean of each metric and its standard error."""
    for name in results[0]:
        values = [result[name] for result in results]
        error = statistics.stdev(values) / math.sqrt(len(values))
        shown = f"{statistics.mean(values):.4f} ± {error:.4f}, of {len(values)} seeds"
        print(f"mean {name.replace('_', ' '):16} {shown}", flush=True)
