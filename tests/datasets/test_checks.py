"""What arrays must hold, and what their labels stand for: one rule for `from_arrays` and `--dataset`."""

import keras
import numpy as np
import pytest

from keraskit.augment import Augmentation
from keraskit.augment.transform import draws
from keraskit.datasets import digits
from keraskit.datasets.arrays import from_arrays
from keraskit.errors import UserError

X, Y = np.arange(48.0).reshape(24, 2), np.arange(24) % 3
TEXT = np.array(["well", "ill", "=so so"])
SETS = ("train", "validation", "test")


def given(**changed):
    """Arguments of `from_arrays` that fit."""
    arrays = {f"{kind}_{which}": a + (which != "train") * 0.5 * (kind == "x") for which in SETS for kind, a in PAIR}
    return arrays | changed


PAIR = (("x", X), ("y", Y))


@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize("bad", [np.nan, -np.inf])
@pytest.mark.parametrize("kind", ["x", "y"])
def test_what_is_no_finite_number_is_named_by_array_row_column_and_count(which, bad, kind):
    array = X + 0.25
    array[[7, 7, 9], [1, 0, 1]] = bad
    words = rf"^mine: {kind}_{which} holds 3 values .* in 2 of 24 rows, the first in row 7, column 0\."
    arrays = given(**({f"y_{each}": X for each in SETS} if kind == "y" else {}))
    with pytest.raises(UserError, match=words):
        from_arrays(**arrays | {f"{kind}_{which}": array}, name="mine")
    array = np.where(np.arange(24) == 5, bad, 0.5)
    with pytest.raises(UserError, match=r"x_test\['a'\] holds 1 value .* row 5\. "):
        from_arrays({"a": Y / 2}, Y, {"a": array}, Y)


@pytest.mark.parametrize("which", ["train", "test"])
def test_the_same_of_a_file(which, tmp_path):
    pictures = np.random.default_rng(0).random((24, 28, 28))
    arrays = {f"{kind}_{each}": pictures if kind == "x" else Y for each in ("train", "test") for kind in "xy"}
    pictures = pictures.copy()
    pictures[3, 20, 1] = np.nan
    np.savez(tmp_path / "own.npz", **arrays | {f"x_{which}": pictures})
    with pytest.raises(
        UserError, match=rf"own\.npz: x_{which} holds 1 value .* 1 of 24 rows, .* row 3, column 20, 1\."
    ):
        digits.images(dataset=str(tmp_path / "own.npz"))


@pytest.mark.parametrize("kind", [str, object, bytes])
@pytest.mark.parametrize("way", ["arrays", "file"])
def test_labels_that_are_text_are_classes_by_their_names(kind, way, tmp_path):
    text = TEXT[Y].astype(kind)
    if way == "arrays":
        splits = from_arrays(**given(**{f"y_{which}": text for which in SETS}))()
        named = from_arrays(**given(**{f"y_{which}": text for which in SETS}), classes=list(TEXT))()
        assert named.classes == tuple(TEXT) and np.array_equal(named.test.labels, Y)
        assert np.array_equal(named.test.take(np.arange(24))[1], Y)
    elif kind is object:
        return  # which no .npz is read with
    else:
        x = np.random.default_rng(0).integers(0, 255, (24, 28, 28), np.uint8)
        np.savez(tmp_path / "own.npz", x_train=x, x_test=x, y_train=text, y_test=text)
        splits = digits.images(dataset=str(tmp_path / "own.npz"))
    assert splits.classes == tuple(sorted(TEXT))
    assert np.array_equal(np.array(splits.classes)[splits.test.labels], TEXT[Y])
    assert np.array_equal(splits.test.take(np.arange(24))[1], splits.test.labels)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"y_test": np.where(Y == 2, "ill", "odd")}, "train has no example of 'odd'"),
        ({"y_test": Y}, "only some targets are class numbers"),
        ({"classes": ["well", "ill", "no"]}, "the label '=so so' is none of the named classes"),
        ({"classes": ["well", "ill", "=so so", "ill"]}, "ill stands there twice"),
        ({"y_train": np.arange(24).astype(str)}, "no example of"),
        ({"x_train": X.astype(str), "x_test": X.astype(object)}, "x_test holds object, expected numbers"),
    ],
)
def test_text_that_does_not_fit_is_one_line(changed, words):
    arrays = {"x_train": X, "y_train": TEXT[Y], "x_test": X, "y_test": TEXT[Y]}
    with pytest.raises(UserError, match=words):
        from_arrays(**arrays | changed)


@pytest.mark.parametrize("named", ["=so so\nwell\nill", "a\nb\nc"])
def test_names_beside_labels_that_are_text_are_the_same_or_refused(named, tmp_path):
    x = np.random.default_rng(0).integers(0, 255, (24, 28, 28), np.uint8)
    np.savez(tmp_path / "own.npz", x_train=x, x_test=x, y_train=TEXT[Y], y_test=TEXT[Y])
    (tmp_path / "labels.txt").write_text(named)
    if "well" in named:
        splits = digits.images(dataset=str(tmp_path / "own.npz"))
        assert np.array_equal(np.array(splits.classes)[splits.test.labels], TEXT[Y])
    else:
        with pytest.raises(UserError, match=r"own\.npz has the labels .*ill.*, labels\.txt .*'a'.* Name the same"):
            digits.images(dataset=str(tmp_path / "own.npz"))


def test_text_among_several_targets_is_refused():
    with pytest.raises(UserError, match=r"y_train\['b'\] holds <U\d, expected numbers"):
        from_arrays(X, {"a": Y, "b": TEXT[Y]}, X, {"a": Y, "b": TEXT[Y]})


@pytest.mark.parametrize("y", [Y > 0, np.eye(2, dtype=bool)[np.minimum(Y, 1)]], ids=["one", "rows"])
def test_yes_and_no_are_classes_as_numbers(y):
    splits = from_arrays(X, y, X, y)()
    targets = splits.test.take(np.arange(24))[1]
    assert splits.classes == ("0", "1") and targets.dtype == np.int64 and np.array_equal(targets, y)
    assert np.array_equal(splits.test.labels, Y > 0)


def test_one_hot_rows_are_classes_and_stay_as_they_are():
    eye = np.eye(3, dtype="float32")[Y]
    splits = from_arrays(X, eye, X, eye, classes=["a", "b", "c"], class_weight={2: 4.0})()
    assert splits.classes == ("a", "b", "c") and np.array_equal(splits.test.labels, Y)
    assert np.array_equal(splits.test.take(np.arange(24))[1], eye)
    _, _, weights = splits.train.take(np.arange(20))
    assert np.array_equal(weights, np.where(splits.train.labels == 2, 4, 1))
    for other in (np.where(eye == 1, 0.9, 0.05), np.minimum(eye + eye[::-1], 1)):  # smoothed; several labels
        assert from_arrays(X, other, X, other)().classes == ()


def test_a_class_without_examples_is_said_and_one_without_training_examples_refused():
    y = Y + 6
    splits = from_arrays(X, y, X + 0.5, y)()
    assert len(splits.classes) == 9
    assert splits.source["notes"] == ["no split has an example of '0', '1', '2' and 3 more"]
    splits = from_arrays(X, Y, X + 0.5, np.minimum(Y, 1))()
    assert splits.source["notes"] == ["test has no example of '2'"]
    with pytest.raises(UserError, match="mine: train has no example of '2'"):
        from_arrays(X, np.minimum(Y, 1), X, Y, name="mine")


def test_copies_of_rows_in_two_splits_are_said_first():
    y, test = np.arange(24) % 2, np.concatenate([X[:5], X[:7] + 0.5])
    found = from_arrays(X, y, test, y[:12], x_validation=X[20:], y_validation=y[20:])()
    assert found.source["notes"] == [
        "5 of 12 test examples are exact copies of train examples",
        "4 of 4 validation examples are exact copies of train examples",
    ]
    assert "notes" not in from_arrays(X, y, X + 0.5, y)().source
    left, right = {"a": X, "b": y}, {"a": X, "b": 1 - y}  # copies only where all inputs are
    assert "notes" not in from_arrays(left, y, right, y)().source


@pytest.mark.parametrize("shape", [(), (1,), (3,)], ids=str)
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
    with pytest.raises(UserError, match="targets of arrays are pictures, which random transforms would not move"):
        other.augmented(Augmentation(rotation_range=30))


@pytest.mark.parametrize("several", [list, tuple, dict])
def test_weights_of_examples_have_the_structure_of_the_targets_as_in_keras(several):
    y = {"a": np.arange(24.0), "b": X} if several is dict else several([np.arange(24.0), X])
    w = np.arange(24.0) ** 2
    for weights in (w, keras.tree.map_structure(lambda _: w, y)):
        _, targets, found = from_arrays(X, y, X, y, sample_weight=weights)().train.take(np.arange(20))
        rows = keras.tree.flatten(targets)[0]
        assert [each.tolist() for each in keras.tree.flatten(found)] == [(rows**2).tolist()] * 2
    for weights, words in (
        ([w, w, w], "has not the structure"),
        (w[:9], r"have \[9, 24\] examples"),
        (w * np.nan, "NaN"),
    ):
        with pytest.raises(UserError, match=f"sample_weight.* {words}"):
            from_arrays(X, y, X, y, sample_weight=weights)
    with pytest.raises(UserError, match="class_weight and sample_weight are given"):
        from_arrays(X, Y, X, Y, sample_weight=w, class_weight={0: 2.0})
