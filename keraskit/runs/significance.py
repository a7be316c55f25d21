"""Significance: paired tests of two models, Student's t over seeds, Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from keraskit.runs.scores import Z

SURE = 0.05  # p-value from which a difference may be chance


def mcnemar(one: np.ndarray, other: np.ndarray) -> float:
    """McNemar's mid-p-value that two models are equally often right on the same examples (Fagerland et al. 2013).

    `one` and `other` are bool, shape (n,): which examples each model has right.
    """
    only, alone = int((one & ~other).sum()), int((other & ~one).sum())
    tail, term = 0, 1  # binomial coefficients, in integers: exact for any count
    for i in range(min(only, alone)):
        tail, term = tail + term, term * (only + alone - i) // (i + 1)
    return (2 * tail + term) / 2 ** (only + alone)


def difference(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Difference of two models' accuracies on the same examples, and its 95 % interval (Agresti and Min 2005).

    `one` and `other` are of shape (n,): whether each example is right, or the share of seeds that have it right. Half
    an example is added to each cell of the 2x2 table, so the width is never zero.
    """
    apart = one.astype(np.float64) - other
    count = len(apart) + 2
    middle, spread = apart.sum() / count, math.sqrt((apart @ apart + 1) / count - (apart.sum() / count) ** 2)
    half = Z * spread / math.sqrt(count)
    return float(apart.mean()), float(middle - half), float(middle + half)


def over_seeds(
    one: Mapping[int, float], other: Mapping[int, float], finest: float
) -> tuple[float, float, float, float, str]:
    """Difference of means over seeds, its 95 % interval, the p-value and the test's name.

    Args:
        one, other: an accuracy by seed, two at least. The same seeds are paired; otherwise the test is Welch's.
        finest: the smallest difference an accuracy can show, the spread where all seeds agree.
    """
    a, b = (np.array([scores[seed] for seed in sorted(scores)]) for scores in (one, other))
    if set(one) == set(other):
        parts, freedom, name = [_spread(a - b, finest) ** 2 / len(a)], len(a) - 1.0, "paired t-test"
    else:
        parts, name = [_spread(each, finest) ** 2 / len(each) for each in (a, b)], "Welch's t-test"
        freedom = sum(parts) ** 2 / sum(part**2 / (len(each) - 1) for part, each in zip(parts, (a, b), strict=True))
    error, apart = math.sqrt(sum(parts)), float(a.mean() - b.mean())
    low, high = 0.0, 13.0  # the critical value of one degree of freedom is 12.7
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if student(middle, freedom) > SURE else (low, middle)
    return apart, apart - high * error, apart + high * error, student(apart / error, freedom), name


def _spread(values: np.ndarray, finest: float) -> float:
    spread = float(values.std(ddof=1))
    return spread if spread > 1e-9 else finest


def student(t: float, freedom: float) -> float:
    """Two-sided p-value of Student's t, by Gauss-Legendre quadrature of its density over atan(t / sqrt(freedom))."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    start = math.atan(abs(t) / math.sqrt(freedom))
    half = (math.pi / 2 - start) / 2
    area = half * float(weights @ np.cos(start + half * (nodes + 1)) ** (freedom - 1))
    return min(1.0, 2 * area * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi))


def two_proportions(right: int, count: int, others: int, of: int) -> float:
    """Two-sided p-value of the z-test that right / count and others / of, of different examples, are equal."""
    share = (right + others) / (count + of)
    error = math.sqrt(share * (1 - share) * (1 / count + 1 / of))
    return math.erfc(abs(right / count - others / of) / error / math.sqrt(2)) if error else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for their number, in the order given (Holm 1979)."""
    corrected, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        corrected[i] = least = max(least, min(1.0, (len(p) - rank) * p[i]))
    return corrected
