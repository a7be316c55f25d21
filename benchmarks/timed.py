"""Time training steps; without TensorFlow, so that a process with PyTorch can use it."""

import statistics
import time
from collections.abc import Callable
from typing import Any

SECONDS = 6.0  # of steps in one measurement: a run calls `fit` once, so what that costs should weigh little here too


class Timed:
    """Trains for so many epochs of so many steps, and remembers how long one step took, all in all.

    Args:
        run: given epochs and steps in each, trains.
        most: steps of a whole epoch. What takes longer than a few seconds is cut; what takes less is repeated.
        several: steps that are handed over at once.
    """

    def __init__(self, run: Callable[[int, int], Any], most: int, several: int = 1) -> None:
        self.run, self.seconds = run, []
        few = min(most, 2 * several)
        run(1, few)  # compiles
        started = time.perf_counter()
        run(1, few)
        wanted = max(few, round(SECONDS * few / (time.perf_counter() - started)))
        self.steps, self.epochs = min(most, wanted), max(1, wanted // most)
        run(1, self.steps)

    def measure(self) -> None:
        """Once more."""
        started = time.perf_counter()
        self.run(self.epochs, self.steps)
        self.seconds.append((time.perf_counter() - started) / (self.epochs * self.steps))

    @property
    def step(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds)


def ratio(one: Timed, other: Timed) -> float:
    """How many times as long one takes, in the median of the ratios within each round: a shared machine has fast
    minutes and slow ones."""
    return statistics.median(a / b for a, b in zip(one.seconds, other.seconds, strict=True))
