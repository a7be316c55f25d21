"""The one rule of splits: laws of proportion, of groups, of copies."""

import numpy as np
import pytest

from keraskit.datasets.splitting import cut, order

SHARES = (70, 15, 15)


@pytest.mark.parametrize("counts", [(40, 40), (300, 30, 7), (5, 4), (1, 50)])
def test_every_cut_has_each_class_in_proportion(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    parts = cut(len(labels), SHARES, labels)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    for part, share in zip(parts, SHARES, strict=True):
        for k, count in enumerate(counts):
            assert abs((labels[part] == k).sum() - count * share / 100) <= 1.5
    assert np.array_equal(np.concatenate(parts), order(len(labels), labels))  # slices of the one order


def test_groups_stay_whole_and_classes_in_proportion():
    random = np.random.default_rng(3)
    groups = np.array([f"person{g}" for g in random.integers(0, 60, 1_000)])
    labels = random.integers(0, 3, 1_000)
    parts = cut(1_000, SHARES, labels, groups)
    assert sorted(np.concatenate(parts)) == list(range(1_000))
    assert sum(len(set(groups[part])) for part in parts) == len(set(groups))
    for part, share in zip(parts, SHARES, strict=True):
        assert np.abs(np.bincount(labels[part]) / np.bincount(labels) - share / 100).max() < 0.07
    few, labels = np.repeat(["a1", "a2", "a3", "b1", "b2", "b3"], 10), np.repeat([0, 1], 30)
    assert [np.bincount(labels[part]).tolist() for part in cut(60, SHARES, labels, few)] == [[10, 10]] * 3
