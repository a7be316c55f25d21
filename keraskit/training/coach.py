"""The coach: a sentence to a learner after a run, where something is sure to have gone wrong; otherwise none."""

from __future__ import annotations

import numpy as np

from keraskit.datasets.splits import Splits
from keraskit.results import history, scores
from keraskit.results.history import Rows

STUCK = 3  # epochs at the level of chance that are no accident
NEAR = 0.03  # of a loss, relative to that of guessing
GAP = 0.1  # between training and validation accuracy
WIDE = 0.2  # of an interval that leaves nearly everything open


def advice(splits: Splits, rows: Rows, metrics: dict[str, float], output: str | None) -> list[str]:
    """What a learner should be told of a run that is not known to be as its recipe promises.

    Args:
        splits: what it learned from.
        rows: its history.
        metrics: of the test split.
        output: the one that names the class, where the model has several.
    """
    prefix = f"{output}_" if output and f"{output}_loss" in rows[0] else ""
    accuracy, labels = f"{prefix}accuracy", splits.train.labels
    if labels is None or accuracy not in metrics or f"val_{accuracy}" not in rows[0]:
        return []
    found = [_stuck(rows, labels, splits.validation.size, prefix), _by_heart(rows, splits.validation.size, accuracy)]
    return [
        sentence
        for sentence in (*found, _open(round(metrics[accuracy] * splits.test.size), splits.test.size))
        if sentence
    ]


def _stuck(rows: Rows, labels: np.ndarray, size: int, prefix: str) -> str:
    """Whether training and validation have stood for several epochs where guessing by frequency stands."""
    shares = np.bincount(labels)[np.unique(labels)] / len(labels)
    guessing = float(-(shares * np.log(shares)).sum())  # nats, as cross-entropy
    count = 0
    for row in reversed(rows):
        low, _ = scores.interval(round(row[f"val_{prefix}accuracy"] * size), size)
        if abs(row[f"{prefix}loss"] - guessing) > NEAR * guessing or low > shares.max():
            break
        count += 1
    if count < STUCK:
        return ""
    return (
        f"For {count} epochs the loss has stood at {guessing:.2f}, where guessing stands: nothing is learned. "
        "Another learning rate, ten times lower or higher, or more steps may change that."
    )


def _by_heart(rows: Rows, size: int, accuracy: str) -> str:
    """Whether training is so far above validation that chance cannot have made it so."""
    last = rows[-1]
    train, validation = last[accuracy], last[f"val_{accuracy}"]
    _, high = scores.interval(round(validation * size), size)
    if len(rows) < STUCK or history.gap(rows, accuracy) < GAP or train <= high:
        return ""
    return (
        f"{train:.0%} of the training examples are right and {validation:.0%} of validation: it learns by heart. "
        "More examples, augmentation, dropout or fewer epochs help."
    )


def _open(right: int, size: int) -> str:
    """How little a small test split tells."""
    low, high = scores.interval(right, size)
    if high - low < WIDE:
        return ""
    return f"{right} of {size} right may be anything from {low:.0%} to {high:.0%}: take more test examples to know."
