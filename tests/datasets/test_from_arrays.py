"""`from_arrays`: arrays of one's own as a recipe's data; and the one rule of splits."""

import numpy as np
import pytest

from keraskit.augment.augmentation import Augmentation
from keraskit.augment.transform import draws
from keraskit.datasets.arrays import from_arrays
from keraskit.datasets.splitting import cut, order
from keraskit.errors import UserError

SETS = ("train", "validation", "test")
SHARES = (70, 15, 15)
TEXT = np.array(["well", "ill", "=so so"])


def numbered(count, *shape):
    """As many examples, each filled with its own number."""
    return np.broadcast_to(np.arange(count, dtype="float32").reshape(-1, *[1] * len(shape)), (count, *shape)).copy()


def in_each(x, y):
    """Arguments of `from_arrays`; no example is in two splits."""
    return {f"x_{split}": x + 0.25 * i for i, split in enumerate(SETS)} | {f"y_{split}": y for split in SETS}


X, Y = numbered(24, 2), np.arange(24) % 3


@pytest.mark.parametrize(("shape", "kind"), [((), "float32"), ((2, 3, 4, 5), "bfloat16")], ids=str)
def test_one_input_of_any_shape(shape, kind):
    x, y = numbered(12, *shape).astype(kind), numbered(12, 2)
    splits = from_arrays(x, y, x[:3], y[:3], x_validation=x[:7] + 0.5, y_validation=y[:7])()
    assert splits.sizes() == {"train": 12, "validation": 7, "test": 3} == splits.source["counts"]
    for split, given in ((splits.train, x), (splits.validation, x[:7] + 0.5), (splits.test, x[:3])):
        inputs, targets = split.take(np.arange(split.size)[::-1])
        assert np.array_equal(inputs, given[::-1]) and np.array_equal(targets, y[: len(given)][::-1])


def test_several_inputs_and_outputs_are_fed_by_name_and_stay_together():
    x = {"left": numbered(18, 3), "right": 2 * numbered(18, 2, 2)}
    y = {"sum": 3 * numbered(18), "bins": numbered(18, 4)}
    splits = from_arrays(x, y, x, y, name="pairs")()
    for split in (splits.train, splits.validation, splits.test):
        inputs, targets = split.take(np.arange(split.size)[::-1])
        number = inputs["left"][:, 0]
        assert np.array_equal(inputs["right"], 2 * np.broadcast_to(number[:, None, None], (split.size, 2, 2)))
        assert np.array_equal(targets["sum"], 3 * number) and np.array_equal(targets["bins"][:, 3], number)
    assert splits.classes == () and splits.train.labels is None and splits.source["name"] == "pairs"


@pytest.mark.parametrize("classes", [2, 3, 12])
@pytest.mark.parametrize("one_hot", [False, True])
def test_a_sixth_of_each_class_validates_whatever_the_order_of_labels(classes, one_hot):
    """Of every sixth, labels in a pattern would leave one class alone."""
    x, y = numbered(144, 1), np.arange(144) % classes
    for labels in (y, np.sort(y)):
        given = np.eye(classes)[labels] if one_hot else labels
        splits, again = (from_arrays(x, given, x[:36], given[::4])() for _ in range(2))
        assert splits.sizes() == {"train": 120, "validation": 24, "test": 36}
        for split, share in ((splits.train, 5 / 6), (splits.validation, 1 / 6)):
            assert np.abs(np.bincount(split.labels) - share * 144 / classes).max() <= 1
        rows = [split.take(np.arange(split.size))[0][:, 0].tolist() for split in (splits.train, splits.validation)]
        assert sorted(rows[0] + rows[1]) == list(range(144)) and all(each == sorted(each) for each in rows)
        assert labels[np.array(rows[1], int)].tolist() == splits.validation.labels.tolist()
        assert again.validation.take(np.arange(24))[0][:, 0].tolist() == rows[1]
        assert len(set(np.diff(rows[1]))) > 1  # no pattern


@pytest.mark.parametrize("targets", ["labels", "values"])
def test_a_limit_takes_each_class_in_proportion_and_keeps_rows_together(targets):
    x, y = numbered(300, 1), np.repeat([0, 1, 2], [200, 80, 20])
    given = y if targets == "labels" else y * 1.5
    splits = from_arrays(x, given, x, given, sample_weight=numbered(300))().limited(30)
    assert splits.sizes() == {"train": 30, "validation": 30, "test": 30}
    for split in (splits.train, splits.validation, splits.test):
        inputs, found, *weights = split.take(np.arange(30))
        rows = inputs[:, 0].astype(int)
        assert np.array_equal(found, given[rows]) and (np.diff(rows) > 0).all() and rows[-1] > 100
        assert not weights or np.array_equal(weights[0], rows)
        if targets == "labels":
            assert np.abs(np.bincount(split.labels) - [20, 8, 2]).max() <= 1 and np.array_equal(split.labels, found)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize("column", [False, True])
def test_whole_numbers_are_classes(kind, column):
    y = Y.astype(kind)
    for words, classes in (({}, ("0", "1", "2")), ({"classes": ["1", "b", "2\n 0"]}, ("1", "b", "2 0"))):
        class_weight = {0: 5.0, "2": 2.0} if not words else {np.int64(0): 5.0, "2  0": 2.0}  # integers are indices
        splits = from_arrays(**in_each(X, y[:, None] if column else y), class_weight=class_weight, **words)()
        assert splits.classes == classes and splits.test.labels.tolist() == Y.tolist()
        _, targets, weights = splits.train.take(np.arange(24))
        assert targets.reshape(-1).tolist() == Y.tolist()
        assert weights.tolist() == [{0: 5.0, 1: 1.0, 2: 2.0}[label] for label in Y.tolist()]


@pytest.mark.parametrize("y", [Y > 0, np.eye(2, dtype=bool)[np.minimum(Y, 1)]], ids=["one", "rows"])
def test_yes_and_no_are_classes_as_numbers(y):
    splits = from_arrays(**in_each(X, y))()
    targets = splits.test.take(np.arange(24))[1]
    assert splits.classes == ("0", "1") and targets.dtype == np.int64 and np.array_equal(targets, y)
    assert np.array_equal(splits.test.labels, Y > 0)


def test_one_hot_rows_are_classes_and_stay_as_they_are():
    eye = np.eye(3, dtype="float32")[Y]
    splits = from_arrays(**in_each(X, eye), classes=["a", "b", "c"], class_weight={2: 4.0})()
    assert splits.classes == ("a", "b", "c") and np.array_equal(splits.test.labels, Y)
    assert np.array_equal(splits.test.take(np.arange(24))[1], eye)
    assert np.array_equal(splits.train.take(np.arange(24))[2], np.where(Y == 2, 4, 1))
    others = (np.where(eye == 1, 0.9, 0.05), np.minimum(eye + eye[::-1], 1), numbered(24) / 2, numbered(24, 3))
    for other in others:  # smoothed; several labels; values
        assert from_arrays(X, other, X, other)().classes == ()
        assert other.max() != 1 or from_arrays(X, other, X, eye)().classes == ()  # several labels
        for words in ({"classes": ["a", "b", "c"]}, {"class_weight": {0: 2.0}}):
            with pytest.raises(UserError, match=f"{next(iter(words))} is given, and the targets are no class numbers"):
                from_arrays(X, other, X, other, **words)


@pytest.mark.parametrize("made", [np.asarray, np.char.encode, lambda text: text.astype("T")])
def test_labels_that_are_text_are_classes_by_their_names(made):
    names = np.char.add(TEXT, "é")
    text = made(names[Y])
    for words, classes in (({}, sorted(names)), ({"classes": list(names)}, list(names))):
        splits = from_arrays(**in_each(X, text), **words)()
        assert splits.classes == tuple(classes)
        assert np.array_equal(np.array(classes)[splits.test.labels], names[Y])
        assert np.array_equal(splits.test.take(np.arange(24))[1], splits.test.labels)


@pytest.mark.parametrize("split", SETS)
@pytest.mark.parametrize("bad", [np.nan, -np.inf, 1e39])  # the last is infinite as float32
@pytest.mark.parametrize("which", ["x", "y"])
def test_what_is_no_finite_number_is_named_by_array_row_and_count(split, bad, which):
    array = X.astype(float) + 0.3
    array[[7, 7, 9], [1, 0, 1]] = bad
    said = "holds NaN, infinite or masked values in {} of 24 rows, the first in row {}, column 0"
    with pytest.raises(UserError, match=f"^mine: {which}_{split} {said.format(2, 7)}"):
        from_arrays(**in_each(X, X) | {f"{which}_{split}": array}, name="mine")
    with pytest.raises(UserError, match=rf"x_test\['a'\] {said.format(1, 5)}"):
        from_arrays({"a": Y / 2}, Y, {"a": np.where(np.arange(24) == 5, bad, 0.5)}, Y)


PICTURES = np.zeros((24, 4, 4), np.uint8)
WRONG = [
    ((X, Y[:-1], X, Y), {}, r"arrays of train have \[23, 24\] examples"),
    ((X, Y, X[:0], Y[:0]), {}, r"arrays of test have \[0\] examples"),
    (({}, Y, X, Y), {}, r"arrays of train have \[0, 24\] examples"),
    ((np.ma.masked_greater(X, 5), Y, X, Y), {}, "x_train holds NaN, infinite or masked values in 18 of 24 .* row 6"),
    ((X, np.ma.masked_equal(Y, 2), X, Y), {}, "y_train holds NaN, infinite or masked values in 8 of 24 rows"),
    ((X, Y, X, np.ma.masked_array(TEXT[Y], Y == 2)), {}, "y_test holds <U6, such as .* expected numbers"),
    ((X, Y, X.astype(np.longdouble), Y), {}, "x_test holds float128, such as .* expected numbers"),
    ((X[:2], Y[:2], X[:2], Y[:2]), {}, "2 examples do not fill 2 splits"),
    ((X, {"a": Y, "b": Y[:7]}, X, {"a": Y, "b": Y}), {}, r"arrays of train have \[7, 24\] examples"),
    ((X, Y, X, Y), {"x_validation": X}, "y_validation is no array"),
    ((X, Y, X[:, :1], Y), {}, r"examples of test have the shapes \(\(1,\), \(\)\), those of train \(\(2,\), \(\)\)"),
    ((X, Y, X, Y.astype(float)), {}, "only some targets are class numbers"),
    ((X, Y, X, Y), {"scale": "unit"}, r"scale is 'unit', and x_train is float32 of the shape \(24, 2\)"),
    ((PICTURES, Y, PICTURES, Y), {"scale": "tiny"}, "scale is 'tiny'"),
    ((PICTURES, Y, PICTURES / 255, Y), {"scale": "unit"}, "scale is 'unit', and x_test is float64 of the shape"),
    ((PICTURES, Y, PICTURES, Y), {"scale": "caffe"}, "scale is 'caffe', and x_train is uint8 .* caffe for the last"),
    ((X, np.array([b"\xff", b"a", b"b"])[Y], X, Y), {}, "y_train holds bytes that are no UTF-8: .* Decode them by np"),
    ((X, 5, X, Y), {}, "y_train is no array"),
    ((X, Y, X, Y - 1), {}, "labels go from -1 to 2"),
    ((X, 0 * Y, X, 0 * Y), {}, "has 1 classes, and 1 different names. From two to 1,000"),
    ((X, Y * 10**12, X, Y), {}, "labels go from 0 to 2000000000000. Classes count from 0"),
    ((X, Y, X, Y), {"class_weight": {0: 1.0}, "sample_weight": X[:, 0]}, "class_weight and sample_weight are given"),
    ((X, Y, X, Y), {"sample_weight": [X, X, X]}, "has not the structure"),
    ((X, Y, X, Y), {"sample_weight": X[:, :1]}, r"sample_weight has the shape \(24, 1\), its targets \(24,\)\. Expect"),
    ((X, {"a": Y, "b": TEXT[Y]}, X, {"a": Y, "b": Y}), {}, r"y_train\['b'\] holds <U6, .* or class numbers"),
    ((X, TEXT[Y], X, np.where(Y == 2, "ill", "odd")), {}, "train has no example of 'odd'"),
    ((X, 20 * Y, X, 20 * Y + 1), {}, "train has no example of '1', '21', '41'.*; targets that are no classes: floats"),
    ((X, TEXT[Y], X, TEXT[Y]), {"classes": ["well", "ill", "no"]}, "label '=so so' is none of the named classes"),
    ((X, Y, X, Y), {"classes": ["well", "ill", "ill "]}, "has 3 classes, and 2 different names"),
    ((X.astype(str), Y, np.where(X == 5, None, X), Y), {}, "x_test holds object, such as None in row 5, expected num"),
    ((X, Y, X.astype(object), Y[:0].astype(object)), {}, "x_test holds object, such as 0.0 in row 0, expected numb"),
    ((X, Y, X, Y), {"classes": [1, 2, 3]}, r"classes is \[1, 2, 3\], expected a list of names"),
    ((X, Y, X, Y), {"name": 2024}, "name is 2024, expected a text"),
    ((X, Y, X, Y), {"classes": {"well"}}, "classes is {'well'}, expected a list of names"),  # a set has no order
    ((X, Y, X, Y), {"class_weight": {0: None}}, "class_weight holds object, such as None in row 0, expected numbers"),
    ((X, Y, X, Y), {"class_weight": {0: np.nan}}, "class_weight holds NaN"),
    ((X, Y, X, Y), {"class_weight": {3: 2.0}}, "class_weight has the class 3; classes are 0, 1, 2"),
    ((X, Y, X, Y), {"class_weight": "balanced"}, "class_weight is 'balanced', expected a dict.* --class-weight bal"),
    ((X, TEXT[Y], X, TEXT[Y]), {"class_weight": {0: 2.0}}, "has the class 0; classes are =so so, ill, well"),
    ((X, Y, X, Y), {"sample_weight": TEXT[Y]}, "sample_weight holds <U6, such as .* in row 0, expected numbers"),
]


@pytest.mark.parametrize(("arrays", "more", "words"), WRONG, ids=[words for *_, words in WRONG])
def test_arrays_that_do_not_fit_are_one_clear_line(arrays, more, words):
    with pytest.raises(UserError, match=f"^(mine.*)?{words}"):
        from_arrays(*arrays, **{"name": "mine"} | more)


def test_classes_that_lack_examples_and_copies_of_rows_are_noted():
    splits = from_arrays(**in_each(X, Y + 6))()
    assert len(splits.classes) == 9
    assert splits.source["notes"] == ["no split has an example of '0', '1', '2' and 3 more"]
    splits = from_arrays(X, Y, X + 0.5, np.minimum(Y, 1))()
    assert splits.source["notes"] == ["test has no example of '2'"]
    splits = from_arrays(**in_each(X, np.array(["a", "b", "A"])[Y]))()
    assert splits.source["notes"] == ["'A', 'a' differ in capitals alone: if they are one class, rename a folder"]
    y = np.arange(24) % 2
    left, right = {"a": X, "b": y}, {"a": X, "b": 1 - y}  # copies only where all inputs are
    assert "notes" not in from_arrays(left, y, right, y)().source
    train, test = (np.array(each * 12)[:, None] for each in (["good film", "bad"], ["bad", "good"]))  # of other widths
    noted = from_arrays(train, y, test, y)().source["notes"]
    assert "12 of 24 test examples are exact copies of train examples" in noted


@pytest.mark.parametrize("shape", [(1,), (3,)], ids=str)
def test_targets_that_are_the_inputs_are_scaled_and_augmented_with_them(shape):
    x = np.random.default_rng(0).integers(0, 256, (12, 8, 6, *shape), np.uint8)
    splits = from_arrays(x, x.copy(), x, x, scale="unit")()
    inputs, targets = splits.test.take(np.arange(12))
    assert np.array_equal(inputs, targets) and np.allclose(inputs, x.reshape(12, 8, 6, -1) / 255)
    train = splits.augmented(Augmentation(rotation_range=30, horizontal_flip=True)).train
    inputs, targets = train.fetch(np.arange(10), draws(10, (0, 0)))
    assert np.array_equal(inputs, targets) and not np.allclose(inputs, train.fetch(np.arange(10))[0])
    other = from_arrays(x, x[::-1], x, x[::-1], scale="unit")()  # masks, or pictures to be mended
    assert np.array_equal(other.test.take(np.arange(12))[1], x[::-1])
    assert other.augmented(Augmentation(featurewise_center=True)).train.augmentation.statistics
    with pytest.raises(UserError, match="Random transforms would not move targets that are pictures"):
        other.augmented(Augmentation(rotation_range=30))


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
