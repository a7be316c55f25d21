"""A history's headline metric, its numbers as text, and whether its losses fall or rise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SMALL = 0.05  # of a loss, relative: what is not worth more epochs
Rows = Sequence[dict[str, float]]


def flat(logs: Mapping[str, Any] | None) -> dict[str, float]:
    """Flatten logs to floats; vectors become `f1_score_0`, `f1_score_1`."""
    numbers = {}
    for name, value in (logs or {}).items():
        for i, each in enumerate(np.ravel(value)):
            numbers[f"{name}_{i}" if np.ndim(value) else name] = float(each)
    return numbers


def number(value: float, digits: int = 4) -> str:
    """Format a metric; above a million in exponent form."""
    return f"{value:.{digits}f}" if abs(value) < 1e6 else f"{value:.4g}"


def metric(rows: Rows) -> str:
    """Headline metric: the first but the loss that was measured in validation too."""
    return next((name for name in rows[0] if f"val_{name}" in rows[0] and name != "loss"), "loss")


def counts_examples(name: str, run: dict[str, Any]) -> bool:
    """Whether a metric is accuracy by example, not by label or pixel, of which an example has several."""
    output = run.get("class_output") or ""
    return bool(run.get("classes")) and name.startswith(output) and name.endswith("accuracy") and "balanced" not in name


def gap(rows: Rows, name: str) -> float:
    """Training less validation in the last epoch."""
    return rows[-1][name] - rows[-1][f"val_{name}"]


def noise(losses: np.ndarray) -> float:
    """Standard deviation of a curve's jitter, from the median of its second differences; 0 of two epochs."""
    return 0.605 * float(np.median(np.abs(np.diff(losses, 2)))) if len(losses) > 2 else 0.0  # 1 / (0.6745 * sqrt(6))


def risen_since(validation: np.ndarray, training: np.ndarray, count: int) -> int:
    """The epoch, from 1, of the lowest validation loss, where it rose by more than noise as the training loss fell.

    0 where it did not. `count` is that of the validation examples: a loss is known to about its size / sqrt(count).
    """
    if not np.isfinite(validation).all():
        return 0
    best = int(validation.argmin())
    rise = float(validation[best + 1 :][-3:].mean()) - validation[best] if best < len(validation) - 2 else 0.0
    lowest = math.sqrt(2 * math.log(len(validation)))  # standard deviations below the mean, by chance alone
    sure = max((lowest + 3) * noise(validation), 2 * abs(validation[best]) / math.sqrt(count))
    return best + 1 if rise > sure and training[-1] < training[best] else 0


def falls(losses: np.ndarray) -> bool:
    """Whether the last loss is the lowest, and well below that of three epochs before."""
    if len(losses) < 2 or not np.isfinite(losses).all():
        return False
    return bool(losses[-1] == losses.min() and losses[-1] < (1 - SMALL) * losses[-4:][0])
