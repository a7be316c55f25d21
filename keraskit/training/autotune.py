"""Measures a recipe's training step in each precision, with and without XLA, and remembers the best."""

from __future__ import annotations

import dataclasses
import statistics
import time
from datetime import UTC, datetime
from typing import Any

from keraskit.config import RunConfig
from keraskit.recipe import Recipe
from keraskit.training import hardware, measured
from keraskit.training.runner import load
from keraskit.training.settings import settle
from keraskit.training.setup import TrainingSetup, follow_data, prepare

ROUNDS, LONG_ENOUGH = 5, 0.5  # repeats, and seconds of steps in each
WORTH_IT = 0.97  # another way must take less than this share of the plain one's time


def autotune(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Measure all candidates in alternation, print them, and remember the fastest for `auto`.

    Returns:
        precision, XLA and milliseconds of each, the fastest first.
    """
    settings = settle(recipe, config, options)
    place = hardware.occupy(settings)
    settings = dataclasses.replace(settings, epochs=1, weights=settings.weights if recipe.features else "none")
    splits = load(recipe, settings)
    candidates = {}
    for precision in precisions(place.device.value):
        for xla in ("off", "on"):
            print(f"compiling {precision}, xla {xla} ...", flush=True)
            this_way: dict[str, Any] = {"precision": precision, "xla": xla}
            candidates[precision, xla] = Steps(
                prepare(recipe, dataclasses.replace(settings, **this_way), splits, place)
            )
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
    found = measured.Measured(best[0], best[1], round(best[2], 3), day)
    if place_of_record := measured.remember(recipe, settings, follow_data(recipe, settings.options, splits), found):
        print(f"remembered in {place_of_record}")
    return table


def precisions(device: str) -> list[str]:
    """Those worth trying: float16 is terrible on a CPU, bfloat16 needs a CPU that knows it."""
    if device.startswith("gpu"):
        return ["float32", "float16", "bfloat16"]
    return ["float32", "bfloat16"] if hardware.bfloat16_feature() else ["float32"]


class Steps:
    """Times training steps of one candidate."""

    def __init__(self, setup: TrainingSetup) -> None:
        self._setup = setup
        self.seconds: list[float] = []
        several = setup.choices.steps_per_execution.value
        self.count = several
        self._run()  # compiles
        started = time.perf_counter()
        self._run()
        self.count = several * max(1, min(100, round(LONG_ENOUGH / (time.perf_counter() - started))))

    def _run(self) -> None:
        dataset = self._setup.epochs.dataset.repeat().take(self.count)
        with self._setup.place.scope:
            self._setup.training_copy.fit(dataset, verbose=0, shuffle=False)

    def measure(self) -> None:
        """Time some steps once more."""
        started = time.perf_counter()
        self._run()
        self.seconds.append((time.perf_counter() - started) / self.count)

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds)
