"""Metrics: a history's, those of predictions by class, calibration, regression errors, tests of two models."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Z = 1.96  # standard deviations on each side of a 95 % interval
BINS = 15  # of confidences, as Guo et al. 2017 have them
SURE = 0.05  # p-value from which a difference may be chance
FAR = 100  # times the squared error of the training mean, or of 0, where an untrained model begins
Values = tuple[str, np.ndarray, np.ndarray]
Rows = Sequence[dict[str, float]]  # of a history


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


def probabilities(outputs: np.ndarray, activation: str | None = None) -> np.ndarray:
    """Make probabilities, shape (n, classes), of outputs of this shape, or of (n, 1) for the second of two classes.

    `activation` is "softmax" or "sigmoid" for logits, None for probabilities.
    """
    z = outputs.astype(np.float64) if activation else outputs
    if activation == "softmax":
        z = np.exp(z - z.max(axis=1, keepdims=True))
        z = z / z.sum(axis=1, keepdims=True)
    elif activation == "sigmoid":
        z = np.exp(-np.logaddexp(0, -z))
    return z if z.shape[1] > 1 else np.concatenate([1 - z, z], axis=1)


def interval(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, which holds for few examples and near 0 and 1 too (Wilson 1927)."""
    share, spread = right / count, Z**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def chance(labels: np.ndarray) -> float:
    """Accuracy of always naming the most frequent class. `labels` int, shape (n,)."""
    return float(np.bincount(labels).max() / len(labels))


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, shape (classes, classes): true class by predicted."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def confused(counts: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """Pairs of classes that are confused most: true class, predicted class, count; of equal ones the first."""
    off = counts - np.diag(np.diag(counts))
    places = (divmod(int(k), len(off)) for k in np.argsort(-off, axis=None, kind="stable")[:most])
    return [(i, j, int(off[i, j])) for i, j in places if off[i, j]]


def beside_accuracy(counts: np.ndarray, trained: np.ndarray | None) -> dict[str, float]:
    """Balanced accuracy, the mean recall of classes with examples, where one has more than twice those of another.

    `counts` are confusion counts, `trained` the training labels.
    """
    support = counts.sum(axis=1)
    learned = support if trained is None else np.bincount(trained)
    if all(each[each > 0].max() <= 2 * each[each > 0].min() for each in (support, learned)):
        return {}
    return {"balanced_accuracy": float(by_class(counts)["recall"][support > 0].mean())}


def by_class(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and support of each class from confusion counts; 0 where there is nothing to divide by."""
    hits, predicted, support = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    precision, recall = hits / np.maximum(predicted, 1), hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(predicted + support, 1)
    return {"precision": precision, "recall": recall, "f1": f1, "support": support}


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Confidence beside accuracy: whether 0.8 is right in eight cases of ten."""

    bins: np.ndarray  # of `BINS` of equal width, those with examples
    confidence: np.ndarray  # mean probability of the predicted class in each
    accuracy: np.ndarray  # share of right answers in each
    counts: np.ndarray  # examples in each
    noise: float  # expected calibration error that 95 % of calibrated models with these confidences stay below

    @property
    def error(self) -> float:
        """Expected calibration error (Guo et al. 2017, equation 3)."""
        return float(np.average(np.abs(self.accuracy - self.confidence), weights=self.counts))

    def __str__(self) -> str:
        sure, right = (np.average(each, weights=self.counts) for each in (self.confidence, self.accuracy))
        word = "calibrated, as far as these examples show" if self.error <= self.noise else "not calibrated"
        return (
            f"On average its probability is {sure:.1%}, and {right:.1%} of its answers are right. The expected "
            f"calibration error is {self.error:.3f}; chance gives a calibrated network up to {self.noise:.3f}: "
            f"it is {word}."
        )


def calibration(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """Measure calibration. `probabilities` of shape (n, classes); its noise is that of labels drawn from them."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    bins, place, counts = np.unique(place, return_inverse=True, return_counts=True)
    sure, share = (np.bincount(place, weights=each) for each in (confidence, right))
    random = np.random.default_rng(0)
    drawn = (np.bincount(place, weights=random.random(len(place)) < confidence) for _ in range(1_000))
    noise = np.percentile([np.abs(each - sure).sum() / len(place) for each in drawn], 95)
    return Calibration(bins, sure / counts, share / counts, counts, float(noise))


def mcnemar(one: np.ndarray, other: np.ndarray) -> float:
    """McNemar's mid-p-value (Fagerland et al. 2013) of which examples each of two models has right, bool, (n,)."""
    only, alone = int((one & ~other).sum()), int((other & ~one).sum())
    tail, term = 0, 1  # binomial coefficients, in integers: exact for any count
    for i in range(min(only, alone)):
        tail, term = tail + term, term * (only + alone - i) // (i + 1)
    return (2 * tail + term) / 2 ** (only + alone)


def difference(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Difference of two models' accuracies on the same examples, and its 95 % interval (Agresti and Min 2005).

    `one` and `other` say of each example whether it is right, or the share of seeds that have it right, shape (n,).
    """
    apart = one.astype(np.float64) - other
    count = len(apart) + 2  # half an example more in each cell of the 2x2 table, so the width is never zero
    middle = apart.sum() / count
    half = Z * math.sqrt(((apart @ apart + 1) / count - middle**2) / count)
    return float(apart.mean()), float(middle - half), float(middle + half)


def over_seeds(
    one: Mapping[int, float], other: Mapping[int, float], finest: float
) -> tuple[float, float, float, float, str]:
    """Difference of mean accuracies over seeds, its 95 % interval, the p-value and the test's name.

    The same seeds are paired. `finest` is the smallest difference an accuracy can show, the spread where all agree.
    """
    a, b = (np.array([scores[seed] for seed in sorted(scores)]) for scores in (one, other))
    samples, name = ([a - b], "paired t-test") if set(one) == set(other) else ([a, b], "Welch's t-test")
    parts = [(each.std(ddof=1) if np.ptp(each) > 1e-9 else finest) ** 2 / len(each) for each in samples]
    freedom = sum(parts) ** 2 / sum(part**2 / (len(each) - 1) for part, each in zip(parts, samples, strict=True))
    error, apart = math.sqrt(sum(parts)), float(a.mean() - b.mean())
    low, high = 0.0, 13.0  # the critical value of one degree of freedom is 12.7
    for _ in range(26):
        middle = (low + high) / 2
        low, high = (middle, high) if student(middle, freedom) > SURE else (low, middle)
    return apart, apart - high * error, apart + high * error, student(apart / error, freedom), name


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


def against_mean(values: Sequence[Values], means: Mapping[str, np.ndarray]) -> tuple[list[str], list[str], bool]:
    """Compare outputs with training means: a sentence on each, warnings of the worse, and whether one diverged."""
    said, warnings, far = [], [], False
    for name, targets, predictions in values:
        of_mean = np.square(means[name].reshape(-1) - targets).mean(axis=1)
        squared = np.square(predictions - targets).mean(axis=1)
        absolute, least = (np.abs(each - targets).mean(axis=1) for each in (predictions, means[name].reshape(-1)))
        said.append(
            f"{name + ': ' if name else ''}mean absolute error {_mean(absolute)}, mean squared error {_mean(squared)}, "
            f"of {len(targets):,} test examples. Always predicting the training mean has {least.mean():.4g} and "
            f"{of_mean.mean():.4g}."
        )
        far = far or bool(squared.mean() > FAR * max(of_mean.mean(), np.square(targets).mean()))
        if (worse := squared - of_mean).mean() >= 0:
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
