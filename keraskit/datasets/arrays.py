"""from_arrays: arrays of your own as the data of a recipe, checked where they are given."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import keras
import numpy as np

from keraskit.datasets.array_files import digest
from keraskit.datasets.checks import FROM_1, Labels, as_text, check_values, encode, notes_of
from keraskit.datasets.preprocessing import Inputs, Scale
from keraskit.datasets.splits import Arrays, Split, Splits
from keraskit.datasets.splitting import SPLITS, cut
from keraskit.errors import UserError

SHARES = (5, 1)  # of training and validation, where no validation is given


def from_arrays(
    x_train: Arrays,
    y_train: Arrays,
    x_test: Arrays,
    y_test: Arrays,
    *,
    x_validation: Arrays = None,
    y_validation: Arrays = None,
    classes: Sequence[str] | None = None,
    class_weight: Mapping[Any, float] | None = None,
    sample_weight: Arrays = None,
    sample_weight_validation: Arrays = None,
    scale: str | None = None,
    name: str = "arrays",
) -> Callable[[], Splits]:
    """Data of your own, for a recipe's `data`: arrays as `Model.fit` takes them.

    Args:
        x_train, x_test: inputs, shape (n, ...), numbers or text; of several inputs a dict by name, or a list.
        y_train, y_test: targets, shape (n, ...); of several outputs a dict by name, or a list. Whole numbers of shape
            (n,) or (n, 1), counted from 0 or from 1, text, and one-hot rows are classes.
        x_validation, y_validation: what chooses the best epoch (default: a sixth of the training arrays at random, each
            class in proportion, always the same).
        classes: their names, in the order of the labels (default: the labels). With them, or class_weight, floats that
            are whole numbers are classes too.
        class_weight: by label, how much its examples count in training (default: 1).
        sample_weight, sample_weight_validation: how much each example counts in the loss, shape (n,); of several
            outputs as the targets.
        scale: for pictures from 0 to 255, of shape (n, height, width) or (n, height, width, 3), "unit" for a model that
            takes them from 0 to 1, or another scale of `Inputs`: so they can be augmented, and predicted from files.
            Targets that are the inputs themselves are scaled and augmented with them.
        name: of the data, for the report.

    Returns:
        A function of no arguments that returns the splits.

    Raises:
        UserError: the arrays are not as many, hold what is no finite number, or names and labels do not fit.
    """
    if not hasattr(keras, "__version__"):  # a stand-in: the file is read for its flags
        return lambda: None  # type: ignore[return-value]
    given = {"train": (x_train, y_train), "validation": (x_validation, y_validation), "test": (x_test, y_test)}
    if x_validation is None and y_validation is None:
        del given["validation"]
    x = {split: _arrays(pair[0], f"{name}: x_{split}") for split, pair in given.items()}
    y = {split: _arrays(pair[1], f"{name}: y_{split}") for split, pair in given.items()}
    for split in x:
        _check_counts((x[split], y[split]), f"{name}: the arrays of {split}")
        shapes, wanted = (keras.tree.map_structure(lambda a: a.shape[1:], (x[s], y[s])) for s in (split, "train"))
        if shapes != wanted:
            raise UserError(f"{name}: examples of {split} have the shapes {shapes}, those of train {wanted}.")
    pictures = _are_pictures(x["train"])
    if scale and not (pictures and scale in get_args(Scale)):
        problem = f"{name}: scale {scale!r} is given, one of {', '.join(get_args(Scale))} for pictures"
        raise UserError(f"{problem}.", "They are uint8, of shape (n, height, width), (..., 1) or (..., 3).")
    labels = encode(y, name, classes, declared=bool(classes or class_weight))
    if labels is None and (classes or class_weight):
        problem = f"{name}: {'classes' if classes else 'class_weight'} is given, and the targets are no class numbers"
        raise UserError(f"{problem}.", "Leave it out.")
    if class_weight and sample_weight is not None:
        raise UserError(f"{name}: class_weight and sample_weight are given.", "Give one, as Keras wants it.")
    index: dict[str, Any] = dict(labels.indices) if labels else dict.fromkeys(y)
    y = {split: labels.targets(split, each) for split, each in y.items()} if labels else y
    weights = dict.fromkeys(SPLITS) | {
        "train": _weights(sample_weight, y["train"], f"{name}: sample_weight"),
        "validation": _weights(sample_weight_validation, y.get("validation"), f"{name}: sample_weight_validation"),
    }
    reconstructs = bool(scale) and all(_same(x[split], y[split]) for split in x)
    if "validation" not in x:
        parts = cut(len(keras.tree.flatten(x["train"])[0]), SHARES, index["train"])
        for each in (x, y, weights, index):
            each |= dict(zip(SPLITS, [_taken(each["train"], np.sort(rows)) for rows in parts], strict=False))
    if class_weight and labels:
        weights["train"] = _of_classes(class_weight, labels, name)[index["train"]]
    names = labels.names if labels else ()
    notes = notes_of({split: keras.tree.flatten(x[split]) for split in SPLITS}, index if labels else {}, names, name)
    notes += [FROM_1] if labels and labels.first else []

    def made(split: str) -> Split:
        inputs, known = x[split], {"labels": index[split]} if labels else {}
        if pictures:
            shape = inputs.shape[1:] if inputs.ndim == 4 else (*inputs.shape[1:], 1)
            drawn = inputs[..., 0] if shape[-1] == 1 and inputs.ndim == 4 else inputs
            known["pictures"] = lambda indices: drawn[indices]
            if scale:
                inputs, known["inputs"] = drawn, Inputs(shape[:2], shape[-1], scale, shape)  # type: ignore[arg-type]
        if reconstructs:
            return Split.of(inputs, np.zeros(len(inputs), np.uint8), weights[split], targets=None, **known)
        return Split.of(inputs, y[split], weights[split], **known)

    def load() -> Splits:
        used = keras.tree.flatten([(x[split], y[split], weights[split]) for split in SPLITS])
        sha256 = digest(array for array in used if array is not None)
        source: dict[str, Any] = {"name": name, "path": "", "found": "arrays", "sha256": sha256}
        source |= {"notes": notes} if notes else {}
        splits = Splits(made("train"), made("validation"), made("test"), names, source)
        source["counts"] = splits.sizes()
        return splits

    return load


def _arrays(given: Arrays, which: str) -> Arrays:
    """NumPy's arrays, checked; lists as tuples, as `fit` has them."""
    if isinstance(given, list | tuple) and len(given) == 1:
        given = given[0]
    several = keras.tree.is_nested(given)

    def array(path: tuple[Any, ...], value: Any) -> np.ndarray:
        place = which + "".join(f"[{key!r}]" for key in path)
        found = as_text(np.asarray(value))
        if not found.ndim:
            raise UserError(f"{place} is no array.", "Give NumPy arrays, a row for each example.")
        if found.dtype.kind != "U" or (several and ": y_" in which):
            check_values(found, place)
        return found

    leaves = [array(path, value) for path, value in keras.tree.flatten_with_path(given)]
    return keras.tree.lists_to_tuples(keras.tree.pack_sequence_as(given, leaves))


def _taken(arrays: Arrays, rows: np.ndarray) -> Arrays:
    """These rows of each array; None of None."""
    return None if arrays is None else keras.tree.map_structure(lambda array: array[rows], arrays)


def _check_counts(pair: Arrays, which: str) -> None:
    """Raise UserError unless all arrays hold as many examples."""
    counts = {len(array) for array in keras.tree.flatten(pair)}
    if len(counts) != 1 or not min(counts):
        raise UserError(f"{which} have {sorted(counts)} examples; need the same, above 0.")


def _are_pictures(x: Arrays) -> bool:
    """Whether inputs can be drawn: uint8 of shape (n, height, width), or with 1 or 3 channels."""
    alone = isinstance(x, np.ndarray) and x.dtype == np.uint8
    return alone and (x.ndim == 3 or (x.ndim == 4 and x.shape[-1] in (1, 3)))


def _same(x: Arrays, y: Arrays) -> bool:
    """Whether targets are the inputs, as an autoencoder's are."""
    return isinstance(y, np.ndarray) and y.size == x.size and np.array_equal(x.reshape(-1), y.reshape(-1))


def _weights(given: Arrays, y: Arrays, which: str) -> Arrays:
    """Weights in the structure of the targets; one array is for all outputs. None for none."""
    if given is None:
        return None
    weights = keras.tree.map_structure(lambda array: array.astype(np.float32), _arrays(given, which))
    if not keras.tree.is_nested(weights):
        weights = keras.tree.map_structure(lambda _: weights, y)
    try:
        keras.tree.assert_same_structure(weights, y)
    except ValueError as error:
        raise UserError(f"{which} has not the structure of the targets.", "Give an array for each output.") from error
    _check_counts((weights, y), f"{which} and its targets")
    return weights


def _of_classes(given: Mapping[Any, float], labels: Labels, name: str) -> np.ndarray:
    """The weight of each class, shape (classes,), float32."""
    place = {called: i for each in (labels.names, labels.values) for i, called in enumerate(each)}
    weights = np.ones(len(labels.names), np.float32)
    for label, weight in given.items():
        called = f"{label:g}" if isinstance(label, float) else str(label)
        if called not in place or not 0 <= weight < np.inf:
            problem = f"{name}: class_weight has {weight} for the class {label}; labels are {', '.join(labels.values)}"
            raise UserError(f"{problem:.300}.", "A weight is a number from 0 up.")
        weights[place[called]] = weight
    return weights
