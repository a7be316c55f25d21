"""Regression: errors with their intervals, beside those of always predicting the training mean."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from keraskit.runs.scores import Z
from keraskit.runs.split_predictions import SplitPredictions

FAR = 100  # times the squared error of the training mean, or of 0, where an untrained model begins
Values = tuple[str, np.ndarray, np.ndarray]


def outputs(test: SplitPredictions) -> Iterator[Values]:
    """Name, targets and predictions, shape (n, values), of each output that predicts values and no probabilities."""
    for name, predictions in test.predictions.items():
        targets = test.targets.get(name, np.empty(0))
        values = predictions.dtype.kind == "f" and targets.size == predictions.size and test.labels is None
        if values and len(targets) > 1 and not np.isin(targets, (0, 1)).all():
            shape = len(targets), -1
            yield name, targets.reshape(shape).astype(np.float64), predictions.reshape(shape).astype(np.float64)


def against_mean(values: Sequence[Values], means: Mapping[str, np.ndarray]) -> tuple[list[str], list[str], bool]:
    """Compare outputs with their training means.

    Returns a sentence on each, a warning of each that errs more, and whether one is as far off as if it diverged.
    """
    said, warnings, far = [], [], False
    for name, targets, predictions in values:
        errors = [each - targets for each in (predictions, means[name].reshape(-1))]
        (absolute, least), (squared, lowest) = [
            [power(each).mean(axis=1) for each in errors] for power in (np.abs, np.square)
        ]
        said.append(
            f"{name + ': ' if name else ''}mean absolute error {_mean(absolute)}, mean squared error {_mean(squared)}, "
            f"of {len(targets):,} test examples. Always predicting the training mean has {least.mean():.4g} and "
            f"{lowest.mean():.4g}."
        )
        far = far or bool(squared.mean() > FAR * max(lowest.mean(), np.square(targets).mean()))
        if (worse := squared - lowest).mean() >= 0:
            word = "WORSE than" if worse.mean() > _half(worse) else "NO BETTER than"
            warnings.append(f"{name or 'The model'} is {word} always predicting the training mean.")
    return said, warnings, far


def _mean(values: np.ndarray) -> str:
    """A mean of values that are not negative, with its 95 % interval."""
    mean, half = values.mean(), _half(values)
    return f"{mean:.4g} (95% interval {max(0.0, mean - half):.4g} to {mean + half:.4g})"


def _half(values: np.ndarray) -> float:
    """Half the 95 % interval of a mean."""
    return Z * float(values.std(ddof=1)) / math.sqrt(len(values))
