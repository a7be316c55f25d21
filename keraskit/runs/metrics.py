"""Metrics of histories, classification metrics, calibration, regression errors, tests of two models."""

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Z = 1.96  # standard deviations on each side of a 95% interval
BINS = 15  # of confidence, as in Guo et al. 2017
SURE = 0.05  # p-value from which a difference may be chance
FAR = 100  # times the squared error of the training mean, of 0, or 1, as an untrained model's may be
LEGENDRE = functools.cache(np.polynomial.legendre.leggauss)  # takes 10 ms
Values = tuple[str, np.ndarray, np.ndarray]
Rows = Sequence[dict[str, float]]  # of a history
Scores = Mapping[int, float]  # by seed


def flat(logs: Mapping[str, Any] | None) -> dict[str, float]:
    """Flatten logs to floats: vectors become `f1_score_0`, `f1_score_1`; a dict its keys, as Keras logs them."""
    numbers: dict[str, float] = {}
    for name, value in (logs or {}).items():
        if isinstance(value, Mapping):
            numbers |= flat(value)
            continue
        for i, each in enumerate(np.ravel(value)):
            numbers[f"{name}_{i}" if np.ndim(value) else name] = float(each)
    return numbers


def number(value: float, digits: int = 4, like: float | None = None) -> str:
    """Format a metric: fixed digits, but significant ones if it, or the one that it is `like`, is tiny or vast."""
    size = abs(value if like is None else like)
    return f"{value:.{digits}f}" if not size or 10.0 ** (1 - digits) <= size < 1e6 else f"{value:.4g}"


def significant(value: float, digits: int = 4) -> str:
    """Format with significant digits, and up to ten billion without a power of ten."""
    return f"{float(f'{value:.{digits}g}'):,.10g}"


def mean_and_error(values: Sequence[float]) -> str:
    """Format the mean of values over seeds, and its standard error."""
    mean = float(np.mean(values))
    return f"{number(mean)} ± {number(float(np.std(values, ddof=1)) / math.sqrt(len(values)), like=mean)}"


def headline(names: Collection[str]) -> str:
    """Return the headline of these metrics: an accuracy, else the first but the loss; "" if there is none."""
    return next((n for n in names if n.endswith("accuracy")), next((n for n in names if not n.endswith("loss")), ""))


def probabilities(outputs: np.ndarray, activation: str | None = None) -> np.ndarray:
    """Convert outputs, shape (n, classes), or (n, 1) for the second of two, to probabilities, shape (n, classes).

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
    """Wilson's 95% interval of a proportion, valid also for few examples and near 0 and 1 (Wilson 1927)."""
    share, spread = right / count, Z**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def chance(labels: np.ndarray) -> float:
    """Accuracy of always predicting the most frequent class. `labels` int, shape (n,)."""
    return float(np.bincount(labels).max() / len(labels))


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Confusion counts, shape (classes, classes): true class by predicted class."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def confused(counts: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """Return the `most` most confused pairs as (true class, predicted class, count)."""
    off = counts - np.diag(np.diag(counts))
    pairs = (divmod(int(k), len(off)) for k in np.argsort(-off, axis=None, kind="stable")[:most])
    return [(i, j, int(off[i, j])) for i, j in pairs if off[i, j]]


def beside_accuracy(counts: np.ndarray, trained: np.ndarray | None) -> dict[str, float]:
    """Return balanced accuracy, the mean recall of classes, if one has over twice the examples of another.

    `counts` are confusion counts, `trained` the training labels.
    """
    support = counts.sum(axis=1)
    training = support if trained is None else np.bincount(trained)
    if all(each[each > 0].max() <= 2 * each[each > 0].min() for each in (support, training)):
        return {}
    return {"balanced_accuracy": float(by_class(counts)["recall"][support > 0].mean())}


def by_class(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and support of each class from confusion counts; 0 on division by zero."""
    hits, predicted, support = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    precision, recall = hits / np.maximum(predicted, 1), hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(predicted + support, 1)
    return {"precision": precision, "recall": recall, "f1": f1, "support": support}


def by_score(targets: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Return the score from which on to say yes for the highest F1, and the average precision.

    `targets`, 0 or 1, and `scores` have shape (n,). Without any yes they are 0.5 and 0.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=np.nan))  # of examples with the same score
    counts, hits, total = last + 1, np.cumsum(targets[order])[last], targets.sum()
    best = scores[order][last][np.argmax(2 * hits / (counts + total))] if total else 0.5
    return float(best), float(np.diff(hits, prepend=0) @ (hits / counts) / max(total, 1))


class Calibration(NamedTuple):
    """Accuracy by confidence: whether predictions of 0.8 are right in eight cases of ten."""

    bins: np.ndarray  # those of `BINS` of equal width that have examples
    confidence: np.ndarray  # mean probability of the predicted class in each
    accuracy: np.ndarray  # share of correct predictions in each
    counts: np.ndarray  # examples in each
    noise: float  # 95th percentile of the expected calibration error of calibrated models with these confidences

    @property
    def error(self) -> float:
        """Expected calibration error (Guo et al. 2017, equation 3)."""
        return float(np.average(np.abs(self.accuracy - self.confidence), weights=self.counts))

    def __str__(self) -> str:
        mean, right = (np.average(each, weights=self.counts) for each in (self.confidence, self.accuracy))
        word = "calibrated, as far as these examples show" if self.error <= self.noise else "not calibrated"
        error = f"{self.error:.3f}; chance gives a calibrated network up to {self.noise:.3f}: it is {word}."
        said = f"On average its probability is {mean:.1%}, and {right:.1%} of its answers are right."
        return f"{said} The expected calibration error is {error}"


def calibration(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """Measure calibration. `probabilities` of shape (n, classes); the noise is from labels drawn from them."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    bins, index, counts = np.unique(index, return_inverse=True, return_counts=True)
    total, hits = (np.bincount(index, weights=each) for each in (confidence, right))
    random = np.random.default_rng(0)
    drawn = (np.bincount(index, weights=random.random(len(index)) < confidence) for _ in range(1_000))
    noise = np.percentile([np.abs(each - total).sum() / len(index) for each in drawn], 95)
    return Calibration(bins, total / counts, hits / counts, counts, float(noise))


def mcnemar(one: np.ndarray, other: np.ndarray) -> float:
    """McNemar's mid-p-value (Fagerland et al. 2013); which examples each model has right, bool, shape (n,)."""
    only_one, only_other = int((one & ~other).sum()), int((other & ~one).sum())
    tail, term = 0, 1  # binomial coefficients, in integers: exact for any count
    for i in range(min(only_one, only_other)):
        tail, term = tail + term, term * (only_one + only_other - i) // (i + 1)
    return (2 * tail + term) / 2 ** (only_one + only_other)


def difference(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Difference of two models' accuracies on the same examples, with its 95% interval (Agresti and Min 2005).

    `one` and `other`, shape (n,): whether each example is right, or the share of seeds that have it right.
    """
    apart = one.astype(np.float64) - other
    count = len(apart) + 2  # add half an example to each cell of the 2x2 table, so the width is never zero
    middle = apart.sum() / count
    half = Z * math.sqrt(((apart @ apart + 1) / count - middle**2) / count)
    return float(apart.mean()), float(middle - half), float(middle + half)


def over_seeds(one: Scores, other: Scores, finest: float) -> tuple[float, float, float, float, str]:
    """Difference of mean accuracies over seeds, its 95% interval, p-value and name of the test.

    Equal sets of seeds are paired. `finest`, the resolution of an accuracy, replaces a standard deviation of 0.
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
    nodes, weights = LEGENDRE(200)
    start = math.atan(abs(t) / math.sqrt(freedom))
    half = (math.pi / 2 - start) / 2
    area = half * float(weights @ np.cos(start + half * (nodes + 1)) ** (freedom - 1))
    return min(1.0, 2 * area * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi))


def holm(p: Sequence[float]) -> list[float]:
    """Correct p-values for multiple testing, keeping their order (Holm 1979)."""
    corrected, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        corrected[i] = least = max(least, min(1.0, (len(p) - rank) * p[i]))
    return corrected


def against_mean(values: Sequence[Values], means: Mapping[str, np.ndarray]) -> tuple[list[str], list[str], bool]:
    """Compare outputs with training means: a sentence on each, warnings if not better, whether one diverged."""
    sentences, warnings, far = [], [], False
    for name, targets, predictions in values:
        of_mean = np.square(means[name].reshape(-1) - targets).mean(axis=1)
        squared = np.square(predictions - targets).mean(axis=1)
        absolute, least = (np.abs(each - targets).mean(axis=1) for each in (predictions, means[name].reshape(-1)))
        both = (map(significant, mean_interval(each)) for each in (absolute, squared))
        absolute_error, squared_error = ("error {} (95% interval {} to {})".format(*each) for each in both)
        said = f"mean absolute {absolute_error}, mean squared {squared_error}"
        always = " and ".join(significant(float(each.mean())) for each in (least, of_mean))
        always = f"Always predicting the training mean has {always}."
        sentences.append(f"{name + ': ' if name else ''}{said}, of {len(targets):,} test examples. {always}")
        far = far or bool(squared.mean() > FAR * max(of_mean.mean(), np.square(targets).mean(), 1))
        if (worse := squared - of_mean).mean() >= 0 and absolute.mean() >= least.mean():
            word = "WORSE than" if mean_interval(worse)[1] > 0 else "NO BETTER than"
            warnings.append(f"{name or 'The model'} is {word} always predicting the training mean.")
    return sentences, warnings, far


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of values, shape (n,), and its 95% interval, cut off at 0."""
    mean, half = float(values.mean()), Z * float(values.std(ddof=1)) / math.sqrt(len(values))
    return mean, max(0.0, mean - half), mean + half
