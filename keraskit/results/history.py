"""What a history tells, epoch by epoch: the metric that counts, the gap between training and validation, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

OVERFIT = 0.05  # a gap that is worth a word
Rows = Sequence[dict[str, float]]


def number(value: float, digits: int = 4) -> str:
    """A metric with so many digits after its point; a huge one, as a loss may become, in the short form."""
    return f"{value:.{digits}f}" if abs(value) < 1e6 else f"{value:.4g}"


def metric(rows: Rows) -> str:
    """The first metric but the loss that was measured in validation too."""
    return next((name for name in rows[0] if f"val_{name}" in rows[0] and name != "loss"), "loss")


def counts_examples(name: str, run: dict[str, Any]) -> bool:
    """Whether a metric is the share of right examples: not of labels or pixels, of which an example has several."""
    output = run.get("class_output") or ""
    return bool(run.get("classes")) and name.startswith(output) and name.endswith("accuracy") and "balanced" not in name


def gap(rows: Rows, name: str) -> float:
    """Training less validation in the last epoch: what was learned by heart."""
    return rows[-1][name] - rows[-1][f"val_{name}"]


def over_fits(rows: Rows, name: str) -> bool:
    """Whether an accuracy is so much higher in training that it is worth a word; other metrics are of any size."""
    return name.endswith("accuracy") and f"val_{name}" in rows[0] and gap(rows, name) >= OVERFIT


def overfit(rows: Rows) -> str:
    """A sentence on the gap; empty where it is small."""
    if not rows or not over_fits(rows, name := metric(rows)):
        return ""
    last, wide = rows[-1], gap(rows, name)
    words = name.replace("_", " ")
    return (
        f"In the last epoch {words} is {last[name]:.2f} in training, {last[f'val_{name}']:.2f} in validation. "
        f"The gap of {wide:.2f} is over-fitting: what the network learned of its training pictures by heart."
    )
