"""The one rule of splits: laws of proportion, of groups, of copies."""

import numpy as np
import pytest

from keraskit.datasets.splitting import apart, check_classes, cut, fingerprints, order
from keraskit.errors import UserError

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
    again, other = (cut(len(labels), SHARES, labels, seed=seed)[0] for seed in (0, 1))
    assert np.array_equal(parts[0], again) and not np.array_equal(again, other)


def test_groups_stay_whole_and_classes_in_proportion():
    random = np.random.default_rng(3)
    groups = np.array([f"person{g}" for g in random.integers(0, 60, 1_000)])
    labels = random.integers(0, 3, 1_000)
    parts = cut(1_000, SHARES, labels, groups)
    assert sorted(np.concatenate(parts)) == list(range(1_000))
    assert sum(len(set(groups[part])) for part in parts) == len(set(groups))
    for part, share in zip(parts, SHARES, strict=True):
        assert np.abs(np.bincount(labels[part]) / np.bincount(labels) - share / 100).max() < 0.07


def test_a_few_groups_still_fill_every_split_and_too_few_are_refused():
    groups = np.repeat(["a1", "a2", "a3", "b1", "b2", "b3"], 10)
    labels = np.repeat([0, 1], 30)
    assert [np.bincount(labels[part]).tolist() for part in cut(60, SHARES, labels, groups)] == [[10, 10]] * 3
    with pytest.raises(UserError, match=r"2 groups, such as 'a1', do not fill 3 splits"):
        cut(20, SHARES, labels[:20], groups[:20])
    with pytest.raises(UserError, match=r"2 examples do not fill 3"):
        cut(2, SHARES)


def test_copies_leave_training_alone_and_those_of_two_classes_are_named():
    x = np.arange(12).reshape(6, 2)
    rows = {"train": x[[0, 1, 2, 3, 3]], "validation": x[[1, 4]], "test": x[[2, 4, 5]]}
    labels = {"train": np.array([0, 1, 0, 0, 1]), "validation": np.array([1, 0]), "test": np.array([0, 0, 1])}
    prints = {split: fingerprints(rows[split], rows[split] * 2) for split in rows}
    names = {split: [f"{split}/{i}" for i in range(len(rows[split]))] for split in rows}
    keep, notes = apart(prints, labels, names, ("cat", "dog"))
    assert keep.tolist() == [True, False, False, True, True]
    assert notes[0] == "left out of training: 2 exact copies of examples in validation or test"
    assert notes[1] == "in validation, which chooses the epoch: 1 exact copies of test examples"
    assert notes[2:] == ["the same bytes in two classes: train/3 (cat) and train/4 (dog)"]
    assert fingerprints(x, x).tolist() != fingerprints(x, x[::-1]).tolist()


def test_a_class_without_training_examples_is_refused_and_one_without_others_is_a_note():
    labels = {"train": np.array([0, 1, 2]), "validation": np.array([0, 0]), "test": np.array([0, 1, 2])}
    assert check_classes(labels, "abc", "here") == ["validation has no example of 'b', 'c'"]
    with pytest.raises(UserError, match="here: train has no example of 'd'"):
        check_classes(labels, "abcd", "here")
    with pytest.raises(UserError, match="here: test is empty"):
        check_classes(labels | {"test": np.array([], int)}, "abc", "here")
