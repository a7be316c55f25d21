"""Scores against scikit-learn and scipy."""

import numpy as np
import pytest
import sklearn.metrics as scikit

from keraskit.runs import metrics


@pytest.fixture
def drawn():
    """Labels of five classes, one of which is rare and never named, and probabilities that are often right."""
    random = np.random.default_rng(0)
    labels = random.choice(5, 800, p=[0.4, 0.3, 0.2, 0.09, 0.01])
    logits = random.normal(size=(800, 5)) * 2
    logits[np.arange(800), labels] += 2
    logits[:, 4] -= 50
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_by_class_is_scikit_learns(drawn):
    labels, probabilities = drawn
    predicted = probabilities.argmax(axis=1)
    counts = metrics.confusion(labels, predicted, 5)
    assert np.array_equal(counts, scikit.confusion_matrix(labels, predicted, labels=range(5)))
    theirs = scikit.precision_recall_fscore_support(labels, predicted, labels=range(5), zero_division=0)
    for ours, one in zip(metrics.by_class(counts).values(), theirs, strict=True):
        assert np.allclose(ours, one)
    assert metrics.chance(labels) == pytest.approx(np.mean(labels == 0))


def test_the_calibration_error_is_the_one_of_its_definition(drawn):
    labels, probabilities = drawn
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    total = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    found = metrics.calibration(probabilities, labels)
    assert found.error == pytest.approx(total) and found.counts.sum() == 800
    assert metrics.calibration(np.eye(5)[labels], labels).error == 0


def drawn_answers(count, *bins):
    """Probabilities of two classes and labels: of each confidence so many, of which this share is right."""
    confidence = np.repeat([sure for sure, _ in bins], count)
    right = np.concatenate([np.arange(count) < share * count for _, share in bins])
    return np.stack([confidence, 1 - confidence], axis=1), np.where(right, 0, 1)


def test_a_network_is_calibrated_by_its_error_not_by_its_mean():
    for bins, word in (
        ([(0.9, 0.8), (0.5001, 0.6)], "not calibrated."),  # the means agree
        ([(0.9, 0.9), (0.6, 0.6)], "is calibrated"),
        ([(0.9, 0.8), (0.7, 0.6)], "not calibrated: over-confident"),
        ([(0.8, 0.9), (0.6, 0.7)], "not calibrated: under-confident"),
    ):
        found = metrics.calibration(*drawn_answers(1_000, *bins))
        assert word in str(found), str(found)
        assert found.error == pytest.approx(np.mean([abs(sure - share) for sure, share in bins]), abs=1e-3)
    assert "is calibrated" in str(metrics.calibration(*drawn_answers(10, (0.9, 0.8), (0.5001, 0.6))))  # 20 can't tell


def test_95_of_100_calibrated_networks_are_called_so():
    random, called = np.random.default_rng(1), []
    for _ in range(100):
        p = random.beta(3, 2, 300)
        found = metrics.calibration(np.stack([1 - p, p], axis=1), (random.random(300) < p).astype(int))
        called.append(found.error <= found.noise)
    assert 89 <= sum(called) <= 99  # 95 % of the binomial distribution, and a little
