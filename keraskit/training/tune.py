"""`keraskit tune`: measures a recipe's training step in each precision, with and without XLA; remembers the best."""

from __future__ import annotations

import dataclasses
import statistics
import time
from datetime import UTC, datetime
from typing import Any

from keraskit.config import RunConfig
from keraskit.recipe import Recipe
from keraskit.training import devices, prepare, tuned

ROUNDS, LONG_ENOUGH = 5, 0.5  # repeats, and seconds of steps in each
WORTH_IT = 0.97  # another way must take less than this share of the plain one's time


def tune(recipe: Recipe, asked: RunConfig, options: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Measure all candidates in alternation, print them, and remember the fastest for `auto`.

    Returns:
        precision, XLA and milliseconds of each, the fastest first.
    """
    devices.limit_threads(asked.threads)
    config, options = prepare.settle(recipe, asked, options)
    config = dataclasses.replace(config, epochs=1, weights=config.weights if recipe.features else "none")
    splits = recipe.data(config)
    candidates = {}
    for precision in precisions(config.device):
        for xla in ("off", "on"):
            print(f"compiling {precision}, xla {xla} ...", flush=True)
            this_way: dict[str, Any] = {"precision": precision, "xla": xla}
            each = prepare.ready(recipe, dataclasses.replace(config, **this_way), options, splits)
            candidates[precision, xla] = Steps(each)
    for _ in range(ROUNDS):
        for steps in candidates.values():
            steps.measure()
    table = sorted(((*name, 1e3 * steps.median) for name, steps in candidates.items()), key=lambda row: row[2])
    plain = next(row for row in table if row[:2] == ("float32", "off"))
    best = table[0] if table[0][2] < WORTH_IT * plain[2] else plain
    for precision, xla, milliseconds in table:
        chosen = "  <- auto from now on" if (precision, xla) == best[:2] else ""
        times = f"{plain[2] / milliseconds:.2f} times as fast as float32 without XLA"
        print(f"{precision:9} xla {xla:3} {milliseconds:9.2f} ms a step, {times}{chosen}")
    day = datetime.now(UTC).date().isoformat()
    found = tuned.Tuned(best[0], best[1], round(best[2], 3), day)
    resolved = prepare.follow_data(recipe, options, splits)
    if place := tuned.remember(recipe, config, resolved, found):
        print(f"remembered in {place}")
    return table


def precisions(device: str) -> list[str]:
    """Those worth trying: float16 is terrible on a CPU, bfloat16 needs a CPU that knows it."""
    if devices.on_gpu(device):
        return ["float32", "float16", "bfloat16"]
    return ["float32", "bfloat16"] if devices.bfloat16_feature() else ["float32"]


class Steps:
    """Times training steps of one candidate."""

    def __init__(self, ready: prepare.Ready) -> None:
        self._ready = ready
        self.seconds: list[float] = []
        several = ready.choices.steps_per_execution.value
        self.count = several
        self._run()  # compiles
        started = time.perf_counter()
        self._run()
        self.count = several * max(1, min(100, round(LONG_ENOUGH / (time.perf_counter() - started))))

    def _run(self) -> None:
        dataset = self._ready.epochs.dataset.repeat().take(self.count)
        with self._ready.choices.scope:
            self._ready.trainee.fit(dataset, verbose=0, shuffle=False)

    def measure(self) -> None:
        """Time some steps once more."""
        started = time.perf_counter()
        self._run()
        self.seconds.append((time.perf_counter() - started) / self.count)

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds)
