"""What predictions are worth, from labels and probabilities alone: by class, how sure, and against another model's."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

Z = 1.96  # standard deviations on each side of a 95 % interval
BINS = 15  # of confidences, as Guo et al. 2017 have them
SMALL = 0.02  # of a gap between a network's confidence and its share of right answers
CALIBRATED = "as sure as it is right"


def both(probability_of_second: np.ndarray) -> np.ndarray:
    """Probabilities of both classes, shape (n, 2), from those of the second alone, shape (n, 1); others as they are."""
    p = probability_of_second
    return p if p.shape[1] > 1 else np.concatenate([1 - p, p], axis=1)


def interval(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, which holds for few examples and near 0 and 1 too (Wilson 1927)."""
    share, spread = right / count, Z**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def sureness(confidence: float, right: int, count: int) -> str:
    """In words, whether a mean confidence is that of a share of right answers; what chance may have made is no gap."""
    gap, (low, high) = confidence - right / count, interval(right, count)
    if abs(gap) <= SMALL or low <= confidence <= high:
        return CALIBRATED
    return "too sure of itself" if gap > 0 else "too timid"


def chance(labels: np.ndarray) -> float:
    """The accuracy of whoever always names the most frequent class. `labels` int, shape (n,)."""
    return float(np.bincount(labels).max() / len(labels))


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, shape (classes, classes): true class by predicted."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def by_class(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and support of each class, shape (classes,), from its confusion counts.

    0 where nothing was predicted or nothing is there, as scikit-learn has it.
    """
    hits, predicted, support = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    precision, recall = hits / np.maximum(predicted, 1), hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(predicted + support, 1)
    return {"precision": precision, "recall": recall, "f1": f1, "support": support}


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Whether 0.8 is right in eight cases of ten.

    Args:
        confidence: mean probability of the predicted class in each bin, from 0 to 1; NaN where a bin is empty.
        accuracy: the share of right answers in each bin.
        counts: examples in each bin.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    counts: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: how far both are apart, weighed by examples (Guo et al. 2017, equation 3)."""
        filled = self.counts > 0
        apart = np.abs(self.accuracy - self.confidence)[filled]
        return float(np.average(apart, weights=self.counts[filled]))


def calibration(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Calibration:
    """Confidence beside accuracy, in bins of equal width. `probabilities` of shape (n, classes)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        sure, share = (np.bincount(place, weights=v, minlength=bins) / counts for v in (confidence, right))
        return Calibration(sure, share, counts)


def temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """What to divide logits by so that the likelihood of the labels is highest; fit it on validation.

    The negative log-likelihood is convex in 1 / temperature, so a search of ever smaller brackets finds it (Guo et al.
    2017, section 4.2). Between 0.05 and 20.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-30))
    rows = np.arange(len(labels))

    def loss(inverse: float) -> float:
        z = logits * inverse
        top = z.max(axis=1)
        return float(np.mean(np.log(np.exp(z - top[:, None]).sum(axis=1)) + top - z[rows, labels]))

    low, high, ratio = 0.05, 20.0, (math.sqrt(5) - 1) / 2
    while high - low > 1e-6 * low:
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if loss(a) < loss(b) else (a, high)
    return 2 / (low + high)
