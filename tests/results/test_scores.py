"""Scores against scikit-learn and scipy."""

import numpy as np
import pytest
import sklearn.metrics as metrics
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from keraskit.results import scores


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
    counts = scores.confusion(labels, predicted, 5)
    assert np.array_equal(counts, metrics.confusion_matrix(labels, predicted, labels=range(5)))
    theirs = metrics.precision_recall_fscore_support(labels, predicted, labels=range(5), zero_division=0)
    for ours, one in zip(scores.by_class(counts).values(), theirs, strict=True):
        assert np.allclose(ours, one)
    assert scores.chance(labels) == pytest.approx(np.mean(labels == 0))


def test_the_calibration_error_is_the_one_of_its_definition(drawn):
    labels, probabilities = drawn
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    total = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    found = scores.calibration(probabilities, labels)
    assert found.error == pytest.approx(total) and found.counts.sum() == 800
    assert scores.calibration(np.eye(5)[labels], labels).error == 0


def test_temperature_is_scikit_learns():
    random = np.random.default_rng(1)
    x = random.normal(size=(600, 4))
    labels = (x @ random.normal(size=(4, 3)) + random.normal(size=(600, 3)) * 3).argmax(axis=1)
    model = LogisticRegression(C=1e4).fit(x[:300], labels[:300])
    for sharper in (0.3, 1.0, 4.0):  # logits made too timid, and too sure
        model.coef_, model.intercept_ = model.coef_ * sharper, model.intercept_ * sharper
        calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(x[300:], labels[300:])
        theirs = 1 / calibrated.calibrated_classifiers_[0].calibrators[0].beta_
        found = scores.temperature(model.predict_proba(x[300:]), labels[300:])
        assert found == pytest.approx(theirs, rel=2e-3)


def test_few_examples_cannot_tell_a_network_that_is_too_sure():
    assert scores.sureness(0.114, 69, 512) == scores.CALIBRATED  # of an untrained network, 0.135 by chance
    assert scores.sureness(0.114, 6900, 51200) == "too timid"
    assert scores.sureness(0.98, 45, 50) == "too sure of itself" and scores.sureness(0.95, 45, 50) == scores.CALIBRATED
    assert scores.sureness(0.994, 9829, 10000) == scores.CALIBRATED  # beyond its interval, and too little to matter
