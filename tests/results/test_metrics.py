"""Metrics against scikit-learn and scipy, by enumeration and by simulation."""

import numpy as np
import pytest
import scipy.stats as stats
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


def test_metrics_by_class_are_scikit_learns(drawn):
    labels, probabilities = drawn
    predicted = probabilities.argmax(axis=1)
    counts = metrics.confusion(labels, predicted, 5)
    assert np.array_equal(counts, scikit.confusion_matrix(labels, predicted, labels=range(5)))
    theirs = scikit.precision_recall_fscore_support(labels, predicted, labels=range(5), zero_division=0)
    for ours, one in zip(metrics.by_class(counts).values(), theirs, strict=True):
        assert np.allclose(ours, one)
    assert metrics.chance(labels) == pytest.approx(np.mean(labels == 0))
    balanced = metrics.beside_accuracy(counts, labels)["balanced_accuracy"]
    assert balanced == pytest.approx(scikit.balanced_accuracy_score(labels, predicted))
    assert metrics.beside_accuracy(np.diag([5, 9]), None) == {}
    assert metrics.confused(np.array([[9, 1, 4], [0, 9, 0], [2, 0, 9]]), 2) == [(0, 2, 4), (2, 0, 2)]


def test_thresholds_and_average_precision_are_scikit_learns():
    random = np.random.default_rng(0)
    for digits in (1, 8):  # with and without equal scores
        truth, scores = random.integers(0, 2, 300), random.random(300).round(digits)
        precision, recall, limits = scikit.precision_recall_curve(truth, scores)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
        limit, average = metrics.by_score(truth, scores)
        assert limit == limits[f1[:-1].argmax()]
        assert scikit.f1_score(truth, scores >= limit) == pytest.approx(f1.max())
        assert average == pytest.approx(scikit.average_precision_score(truth, scores))
    assert metrics.by_score(truth * 0, scores) == (0.5, 0)


def test_wilsons_interval_is_scipys():
    for right, count in ((0, 5), (3, 7), (555, 1000), (20, 20)):
        expected = stats.binomtest(right, count).proportion_ci(method="wilson")
        assert metrics.interval(right, count) == pytest.approx((expected.low, expected.high), abs=1e-4)


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


def paired(only, alone, both=0, none=0):
    """Which examples two models have right, from the four cells of their table."""
    counts = [only, alone, both, none]
    return np.repeat([True, False, True, False], counts), np.repeat([False, True, True, False], counts)


def test_mcnemars_mid_p_is_the_binomials():
    for only, alone in [(5, 0), (0, 0), (3, 3), (12, 4), (700, 601)]:
        least, law = min(only, alone), stats.binom(only + alone, 0.5)
        expected = 2 * law.cdf(least) - law.pmf(least)  # Fagerland, Lydersen and Laake 2013, equation 6
        assert metrics.mcnemar(*paired(only, alone, 9)) == pytest.approx(expected, rel=1e-9)


def test_the_interval_of_a_difference_covers_the_truth_and_agrees_with_the_test():
    random, covered = np.random.default_rng(0), []
    for only, alone, both in ((0.05, 0.02, 0.9), (0.004, 0.0, 0.9), (0.1, 0.1, 0.5)):
        for cells in random.multinomial(200, [only, alone, both, 1 - only - alone - both], size=1_000):
            _, low, high = metrics.difference(*paired(*cells))
            covered.append(low <= only - alone <= high)
            assert high > low
    assert np.mean(covered) > 0.94
    for only, alone in ((9, 1), (12, 9), (30, 10), (5, 5)):
        one, other = paired(only, alone, 200 - only - alone)
        found, low, _ = metrics.difference(one, other)
        assert found == pytest.approx((only - alone) / 200)
        assert (low > 0) == (metrics.mcnemar(one, other) < 0.05)


def test_seeds_are_tested_as_scipy_does():
    for here, there in ((2, 2), (3, 3), (2, 4), (10, 4), (121, 121), (900, 800)):
        random = np.random.default_rng(here)
        a, b = random.normal(0.9, 0.01, here), random.normal(0.88, 0.02, there)
        theirs = stats.ttest_rel(a, b) if here == there else stats.ttest_ind(a, b, equal_var=False)
        expected = a.mean() - b.mean(), *theirs.confidence_interval(), theirs.pvalue
        found = metrics.over_seeds(dict(enumerate(a)), dict(enumerate(b)), 0.001)
        assert found[:4] == pytest.approx(expected, abs=1e-8)
        assert found[4] == ("paired t-test" if here == there else "Welch's t-test")
    _, low, high, p, _ = metrics.over_seeds(dict.fromkeys(range(3), 0.91), dict.fromkeys(range(3), 0.9), 0.01)
    assert low < 0 < high and p > 0.05  # three that agree are no certainty


def test_holm_is_that_of_the_paper():
    assert metrics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert metrics.holm([0.6, 0.9]) == [1.0, 1.0] and metrics.holm([]) == []


def test_a_regression_that_has_hardly_begun_has_not_diverged():
    targets = np.random.default_rng(0).normal(5, 0.1, 100)
    for predicted, diverged in ((np.zeros(100), False), (targets - 1_000, True)):
        _, warnings, far = metrics.against_mean([("", targets[:, None], predicted[:, None])], {"": np.array(5.0)})
        assert far == diverged and warnings == ["The model is WORSE than always predicting the training mean."]
    skewed = np.exp(np.random.default_rng(0).normal(0, 1.5, (2_000, 1)))  # whose median has the lower absolute error
    assert metrics.against_mean([("", skewed, np.ones_like(skewed))], {"": np.array(skewed.mean())})[1] == []
    assert (metrics.significant(45_678.2, 3), metrics.significant(0.012345)) == ("45,700", "0.01235")
    small = targets[:, None] * 1e-4
    assert not metrics.against_mean([("", small, small + 0.1)], {"": np.array(5e-4)})[2]
