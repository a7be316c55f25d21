"""What predictions are worth, from labels and probabilities alone: by class, how sure, and against another model's."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

Z = 1.96  # standard deviations on each side of a 95 % interval
BINS = 15  # of confidences, as Guo et al. 2017 have them
RESAMPLES = 1_000


def probabilities(outputs: np.ndarray, activation: str | None = None) -> np.ndarray:
    """Make probabilities of all classes, shape (n, classes), of what a model gives out for them.

    Args:
        outputs: shape (n, classes), or (n, 1) for the second of two.
        activation: "softmax" or "sigmoid" of logits; None of probabilities.
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
    """The accuracy of whoever always names the most frequent class. `labels` int, shape (n,)."""
    return float(np.bincount(labels).max() / len(labels))


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, shape (classes, classes): true class by predicted."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def beside_accuracy(counts: np.ndarray, trained: np.ndarray | None) -> dict[str, float]:
    """Balanced accuracy, where one class has more than twice the examples of another; otherwise nothing.

    It is the mean recall of the classes that have examples, from confusion counts. `trained` are the training labels.
    """
    support = counts.sum(axis=1)
    learned = support if trained is None else np.bincount(trained)
    if all(each[each > 0].max() <= 2 * each[each > 0].min() for each in (support, learned)):
        return {}
    return {"balanced_accuracy": float(by_class(counts)["recall"][support > 0].mean())}


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
        noise: the error that 95 % of perfectly calibrated models with these confidences stay below: their labels are
            drawn from the confidences.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    counts: np.ndarray
    noise: float

    @property
    def error(self) -> float:
        """The expected calibration error: how far both are apart, weighed by examples (Guo et al. 2017, equation 3)."""
        filled = self.counts > 0
        apart = np.abs(self.accuracy - self.confidence)[filled]
        return float(np.average(apart, weights=self.counts[filled]))

    def __str__(self) -> str:
        filled = self.counts > 0
        sure, share = (np.average(v[filled], weights=self.counts[filled]) for v in (self.confidence, self.accuracy))
        word = "calibrated, as far as these examples show"
        if self.error > self.noise:
            one_way = abs(sure - share) > self.error / 2
            word = "not calibrated" + ((": over-confident" if sure > share else ": under-confident") if one_way else "")
        return (
            f"On average its probability is {sure:.1%}, and {share:.1%} of its answers are right. The expected "
            f"calibration error is {self.error:.3f}; chance gives a calibrated network up to {self.noise:.3f}: "
            f"it is {word}."
        )


def calibration(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS, seed: int = 0) -> Calibration:
    """Confidence beside accuracy, in bins of equal width. `probabilities` of shape (n, classes)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts, sure = (np.bincount(place, weights=v, minlength=bins) for v in (np.ones(len(place)), confidence))
    random, errors = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        drawn = np.bincount(place, weights=random.random(len(place)) < confidence, minlength=bins)
        errors.append(np.abs(drawn - sure).sum() / len(place))
    with np.errstate(invalid="ignore"):
        share = np.bincount(place, weights=right, minlength=bins) / counts
        return Calibration(sure / counts, share, counts.astype(int), float(np.percentile(errors, 95)))
