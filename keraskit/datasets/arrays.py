"""from_arrays: arrays of your own as the data of a recipe, checked where they are given."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import keras
import numpy as np

from keraskit.config import SPLITS
from keraskit.datasets.array_files import FROM_1, count_classes, digest
from keraskit.datasets.preprocessing import Inputs, Scale
from keraskit.datasets.splits import Arrays, Split, Splits
from keraskit.errors import UserError


def from_arrays(
    x_train: Arrays,
    y_train: Arrays,
    x_test: Arrays,
    y_test: Arrays,
    *,
    x_validation: Arrays = None,
    y_validation: Arrays = None,
    classes: Sequence[str] | None = None,
    class_weight: Mapping[int, float] | None = None,
    scale: str | None = None,
    name: str = "arrays",
) -> Callable[[], Splits]:
    """Data of your own, for a recipe's `data`: arrays as `Model.fit` takes them.

    Args:
        x_train, x_test: inputs, shape (n, ...); of several inputs a dict by name.
        y_train, y_test: targets, shape (n, ...); of several outputs a dict by name. Whole numbers of shape (n,) or
            (n, 1) are classes, counted from 0 or from 1.
        x_validation, y_validation: what chooses the best epoch (default: every sixth example of the training arrays,
            always the same).
        classes: their names, in the order of the labels (default: the numbers).
        class_weight: how much the examples of a class count in training (default: 1).
        scale: for pictures from 0 to 255, of shape (n, height, width) or (n, height, width, 3), "unit" for a model that
            takes them from 0 to 1, or another scale of `Inputs`: so they can be augmented, and predicted from files.
        name: of the data, for the report.

    Returns:
        A function of no arguments that returns the splits.

    Raises:
        UserError: the arrays are not as many, or names and labels do not fit.
    """
    pairs = {"train": _counted(x_train, y_train, f"{name}: the arrays of train")}
    pairs["test"] = _counted(x_test, y_test, f"{name}: the arrays of test")
    if x_validation is None and y_validation is None:
        held = np.arange(len(keras.tree.flatten(pairs["train"])[0])) % 6 == 5
        x_validation, y_validation = keras.tree.map_structure(lambda array: array[held], pairs["train"])
        pairs["train"] = keras.tree.map_structure(lambda array: array[~held], pairs["train"])
    pairs["validation"] = _counted(x_validation, y_validation, f"{name}: the arrays of validation")
    shapes = {split: keras.tree.map_structure(lambda array: array.shape[1:], pair) for split, pair in pairs.items()}
    for split in SPLITS:
        if shapes[split] != shapes["train"]:
            problem = f"{name}: examples of {split} have the shapes {shapes[split]}, those of train {shapes['train']}"
            raise UserError(f"{problem}.", "A model takes one shape.")
    pictures = _are_pictures(pairs["train"][0])
    if scale and not (pictures and scale in get_args(Scale)):
        problem = f"{name}: scale {scale!r} is given, one of {', '.join(get_args(Scale))} for pictures"
        raise UserError(f"{problem}.", "They are uint8, of shape (n, height, width), (..., 1) or (..., 3).")
    labels = {split: y.reshape(-1).astype(np.int64) for split, (_, y) in pairs.items() if _are_labels(y)}
    first, names = _classes(labels, classes, class_weight or {}, name)

    def made(which: str) -> Split:
        x, y = pairs[which]
        known: dict[str, Any] = {"labels": labels[which] - first} if names else {}
        if pictures:
            shape = x.shape[1:] if x.ndim == 4 else (*x.shape[1:], 1)
            drawn = x[..., 0] if shape[-1] == 1 and x.ndim == 4 else x
            known["pictures"] = lambda indices: drawn[indices]
            if scale:
                x, known["inputs"] = drawn, Inputs(shape[:2], shape[-1], scale, shape)  # type: ignore[arg-type]
        weights = None
        if class_weight and which == "train":
            weights = np.array([class_weight.get(int(label), 1.0) for label in labels[which]])
        return Split.of(x, y - first if first else y, weights, **known)

    def load() -> Splits:
        arrays = [array for which in SPLITS for array in keras.tree.flatten(pairs[which])]
        counts = {which: len(keras.tree.flatten(pairs[which])[0]) for which in SPLITS}
        source = {"name": name, "path": "", "found": "arrays", "sha256": digest(arrays), "counts": counts}
        source |= {"notes": [FROM_1]} if first else {}
        return Splits(made("train"), made("validation"), made("test"), names, source)

    return load


def _counted(x: Arrays, y: Arrays, which: str) -> tuple[Arrays, Arrays]:
    """Both as arrays of NumPy's. Raises UserError unless they hold as many examples."""
    pair = keras.tree.map_structure(np.asarray, (x, y))
    arrays = keras.tree.flatten(pair)
    if any(array.dtype == object or not array.ndim for array in arrays):
        raise UserError(f"{which} are no arrays of numbers.", "Give NumPy arrays, a row for each example.")
    counts = {len(array) for array in arrays}
    if len(counts) != 1 or not min(counts):
        raise UserError(f"{which} have {sorted(counts)} examples; need the same, above 0.")
    return pair


def _are_pictures(x: Arrays) -> bool:
    """Whether inputs can be drawn: uint8 of shape (n, height, width), or with 1 or 3 channels."""
    alone = isinstance(x, np.ndarray) and x.dtype == np.uint8
    return alone and (x.ndim == 3 or (x.ndim == 4 and x.shape[-1] in (1, 3)))


def _are_labels(y: Arrays) -> bool:
    """Whether targets are class numbers, one per example."""
    return isinstance(y, np.ndarray) and y.dtype.kind in "iu" and y.size == len(y)


def _classes(
    labels: Mapping[str, np.ndarray], classes: Sequence[str] | None, weights: Mapping[int, float], name: str
) -> tuple[int, tuple[str, ...]]:
    """The lowest label, and the classes' names; none where the targets are no class numbers."""
    if "train" not in labels:
        if classes or weights:
            given = "classes" if classes else "class_weight"
            raise UserError(f"{name}: {given} is given, and the targets are no class numbers.", "Leave it out.")
        return 0, ()
    if len(labels) < len(SPLITS):
        raise UserError(f"{name}: only some targets are class numbers.", "Make those of every split whole numbers.")
    first, numbers = count_classes(labels, name)
    known = f"labels go from {first} to {numbers[-1]}"
    if classes and len(classes) != len(numbers):
        raise UserError(f"{name}: {known}; {len(classes)} are named.", "Name each class once.")
    for label, weight in weights.items():
        if str(label) not in numbers or not 0 <= weight < np.inf:
            problem = f"{name}: class_weight has {weight} for the class {label}; {known}"
            raise UserError(f"{problem}.", "A weight is a number from 0 up.")
    return first, tuple(classes or numbers)
