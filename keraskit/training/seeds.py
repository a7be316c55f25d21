"""--seeds: train with several seeds, each run in a separate process, and average the results."""

from __future__ import annotations

import math
import shlex
import statistics
import subprocess
import sys
from typing import Any

from keraskit import signals
from keraskit.config import RunConfig, flags
from keraskit.errors import RunStopped, printable
from keraskit.registry import Card
from keraskit.runs import manifest
from keraskit.text import short
from keraskit.training.settings import words


def train(card: Card, config: RunConfig, options: dict[str, Any]) -> None:
    """Train once per seed, each in a separate process, which frees its memory at the end.

    With `resume`, seeds whose run has finished are not trained again. Raises RunStopped or Stopped, with the run's exit
    code, if a run fails or is interrupted.
    """
    results = []
    for seed in range(config.seed, config.seed + config.seeds):
        print(f"seed           {seed}, {seed - config.seed + 1} of {config.seeds}", flush=True)
        one = config.replace(seed=seed, seeds=1)
        found = finished(one, options, card) if config.resume else None
        if not found:
            train_one(card, one, options)
            found = finished(one, options, card)
        if not found:
            raise RunStopped(f"The run of seed {seed} left no result in {config.output_dir}.", "See above.")
        results.append(found)
    for name in results[0]:
        values = [result[name] for result in results]
        error = statistics.stdev(values) / math.sqrt(len(values))
        shown = f"{statistics.mean(values):.4f} ± {error:.4f}, of {len(values)} seeds"
        print(f"mean {name.replace('_', ' '):16} {shown}", flush=True)


def finished(config: RunConfig, options: dict[str, Any], card: Card) -> dict[str, float] | None:
    """Return the metrics of the newest finished run with the same request and recipe code; None if there is none."""
    wanted = words({"knobs": config.given(), "options": options}, card.source)
    for folder, facts in manifest.runs(config.output_dir / (card.declared.get("name") or card.name)):
        if facts.get("status") == "finished" and facts.get("test") and wanted.items() <= (facts["asked"] or {}).items():
            print(f"               finished in {printable(short(folder.path))}", flush=True)
            return facts["test"]
    return None


def train_one(card: Card, config: RunConfig, options: dict[str, Any]) -> None:
    """Run `keraskit run` in a new process, and forward signals to it, so that it saves a checkpoint."""
    knobs = {n: getattr(config, n) for n in config.model_fields_set - {"seeds"}} | {"augment": config.augment.given()}
    typed = [card.name if card.ours else str(card.source.resolve()), *shlex.split(f"{flags(knobs)} {flags(options)}")]
    line = [sys.executable, "-P", "-m", "keraskit", "run", *typed]  # -P: ignore a numpy.py in this folder
    process = subprocess.Popen(line, start_new_session=True)
    with signals.sent_to(lambda number, frame: process.send_signal(number)):
        code = process.wait()
    if code - 128 in signals.CAUGHT:
        raise signals.Stopped(code - 128, "Interrupted. The same command with --resume goes on.")
    if code:
        stopped = RunStopped(f"The run of seed {config.seed} ended with code {code}.", "See above; --resume goes on.")
        stopped.code = code if code > 0 else 1
        raise stopped
