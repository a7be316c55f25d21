"""A history's headline metric, and its numbers as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

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
