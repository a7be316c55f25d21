"""Significance against scipy, by enumeration and by simulation."""

import numpy as np
import pytest
import scipy.stats as stats

from keraskit.runs import metrics


def answers(only, alone, both=0, none=0):
    """Which examples two models have right, from the four cells of their table."""
    counts = [only, alone, both, none]
    return np.repeat([True, False, True, False], counts), np.repeat([False, True, True, False], counts)


def test_mcnemars_mid_p_is_the_binomials():
    for only, alone in [(5, 0), (0, 0), (3, 3), (12, 4), (700, 601)]:
        least, law = min(only, alone), stats.binom(only + alone, 0.5)
        expected = 2 * law.cdf(least) - law.pmf(least)  # Fagerland, Lydersen and Laake 2013, equation 6
        assert metrics.mcnemar(*answers(only, alone, 9)) == pytest.approx(expected, rel=1e-9)


def test_the_interval_has_a_width_and_agrees_with_the_test():
    apart = []
    for count in (16, 200, 10_000):
        for only in range(41):
            for alone in range(min(only, count - only) + 1):
                one, other = answers(only, alone, count - only - alone)
                p, (found, low, high) = metrics.mcnemar(one, other), metrics.difference(one, other)
                assert (found == pytest.approx((only - alone) / count) and low < found < high) or only == alone == 0
                assert high > low
                if (low > 0) != (p < 0.05):
                    apart.append(p)
    assert len(apart) < 0.01 * 3 * 41 * 41 / 2 and min(apart) > 0.045 and max(apart) < 0.066  # close calls alone


def test_the_interval_covers_the_truth():
    random, covered = np.random.default_rng(0), []
    for only, alone, both in ((0.05, 0.02, 0.9), (0.004, 0.0, 0.9), (0.1, 0.1, 0.5)):
        for cells in random.multinomial(200, [only, alone, both, 1 - only - alone - both], size=1_000):
            _, low, high = metrics.difference(*answers(*cells))
            covered.append(low <= only - alone <= high)
    assert np.mean(covered) > 0.94


@pytest.mark.parametrize(("here", "there"), [(range(3), range(3)), (range(2), range(5, 9)), (range(10), range(4))])
def test_seeds_are_tested_as_scipy_does(here, there):
    random = np.random.default_rng(len(here))
    a, b = random.normal(0.9, 0.01, len(here)), random.normal(0.88, 0.02, len(there))
    found = metrics.over_seeds(dict(zip(here, a, strict=True)), dict(zip(there, b, strict=True)), 0.001)
    theirs = stats.ttest_rel(a, b) if here == there else stats.ttest_ind(a, b, equal_var=False)
    interval = theirs.confidence_interval()
    assert found[:4] == pytest.approx((a.mean() - b.mean(), interval.low, interval.high, theirs.pvalue), abs=1e-8)
    assert found[4] == ("paired t-test" if here == there else "Welch's t-test")


def test_three_seeds_that_agree_are_no_certainty():
    _, low, high, p, _ = metrics.over_seeds(dict.fromkeys(range(3), 0.91), dict.fromkeys(range(3), 0.9), 0.01)
    assert low < 0 < high and p > 0.05


def test_students_tail_is_scipys():
    for freedom in (1, 1.3, 2, 7.5, 120, 1_999):
        for t in (0, 0.5, 2.1, 9):
            assert metrics.student(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-5, abs=1e-9)


def test_holm_is_that_of_the_paper():
    assert metrics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert metrics.holm([0.6, 0.9]) == [1.0, 1.0] and metrics.holm([]) == []
