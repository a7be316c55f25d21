"""from_arrays: use your own arrays as the data of a recipe, validated when they are passed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import keras
import numpy as np

from keraskit.datasets.array_files import checked, class_numbers, digest, explained
from keraskit.datasets.preprocessing import Inputs, Scale
from keraskit.datasets.splits import Arrays, Split, Splits
from keraskit.datasets.splitting import MOST_CLASSES, SPLITS, check_classes, copies, cut, fingerprints
from keraskit.errors import UserError, printable

SHARES = (5, 1)  # of training and validation, if no validation data is given


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
    scale: str | None = None,
    name: str = "arrays",
) -> Callable[[], Splits]:
    """Use your own arrays, as for `Model.fit`, as a recipe's `data`.

    Args:
        x_train, x_test: inputs, shape (n, ...), numbers or text; for several inputs a dict by name, or a list.
        y_train, y_test: targets, shape (n, ...); for several outputs a dict by name, or a list. Integers from 0 of
            shape (n,) or (n, 1), text, and one-hot rows are treated as classes.
        x_validation, y_validation: validation data, which selects the best epoch (default: a sixth of the training
            data, drawn at random with a fixed seed, each class in proportion).
        classes: class names, in the order of the labels (default: the labels). If `classes` or `class_weight` is given,
            floats that are whole numbers are treated as classes too.
        class_weight: the weight of each class in training, by name, or as in `fit` by label (default: 1).
        sample_weight: the weight of each training example, shape (n,); for several outputs, structured as the targets.
        scale: for uint8 images of shape (n, height, width), (..., 1) or (..., 3), "unit" if the model takes values in
            [0, 1], or another scale of `Inputs`: enables display, augmentation and prediction of image files. Targets
            that equal the inputs are scaled and augmented with them.
        name: the name of the data set, for the report.

    Returns a function without arguments that returns the splits. Raises UserError if arrays differ in length, hold NaN
    or infinite values, or if names and labels do not match.
    """
    if not (classes is None or (isinstance(classes, list | tuple) and all(isinstance(each, str) for each in classes))):
        raise UserError(f"{name}: classes is {classes!r}, expected a list of names, such as ['cat', 'dog'].")
    if not isinstance(name, str):
        raise UserError(f"name is {name!r}, expected a text.", "It names the data set in reports.")
    if not isinstance(class_weight, Mapping | None):
        raise UserError(f"{name}: class_weight is {class_weight!r}, expected a dict.", "Or: --class-weight balanced.")
    given = {"train": (x_train, y_train), "validation": (x_validation, y_validation), "test": (x_test, y_test)}
    if x_validation is None and y_validation is None:
        del given["validation"]
    x = {split: _arrays(pair[0], f"{name}: x_{split}") for split, pair in given.items()}
    y = {split: _arrays(pair[1], f"{name}: y_{split}", text=None) for split, pair in given.items()}
    for split in x:
        counts = {len(array) for each in (x[split], y[split]) for array in keras.tree.flatten(each) or [()]}
        if len(counts) != 1 or not min(counts):
            raise UserError(f"{name}: the arrays of {split} have {sorted(counts)} examples; need the same, above 0.")
        shapes, wanted = (keras.tree.map_structure(lambda a: a.shape[1:], (x[s], y[s])) for s in (split, "train"))
        if shapes != wanted:
            raise UserError(f"{name}: examples of {split} have the shapes {shapes}, those of train {wanted}.")
        first = keras.tree.flatten(x[split])[0]
        pictures = first is x[split] and first.dtype == np.uint8 and first.ndim in (3, 4)
        channels = [(3,)] if scale == "caffe" else [(), (1,), (3,)]
        if scale and not (pictures and first.shape[3:] in channels and scale in get_args(Scale)):
            problem = f"{name}: scale is {scale!r}, and x_{split} is {first.dtype} of the shape {first.shape}"
            advice = f"A scale, {', '.join(get_args(Scale))}, is for uint8 of (n, height, width), (..., 1) or (..., 3)"
            raise UserError(f"{problem}.", f"{advice}; caffe for the last.")
    same = (isinstance(y[s], np.ndarray) and np.array_equal(x[s].ravel(), y[s].ravel()) for s in x)
    reconstructs = bool(scale) and all(same)  # as in an autoencoder
    labels, names = _encode(y, name, classes, bool(classes or class_weight))
    if not names and (classes or class_weight):
        word = "classes" if classes else "class_weight"
        raise UserError(f"{name}: {word} is given, and the targets are no class numbers.", "Leave it out.")
    weights = dict.fromkeys(SPLITS) | {"train": _weights(sample_weight, y["train"], f"{name}: sample_weight")}
    if class_weight:
        if sample_weight is not None:
            raise UserError(f"{name}: class_weight and sample_weight are given.", "Give one, as Keras wants it.")
        weights["train"] = _of_classes(class_weight, names, y["train"].dtype.kind != "U", name)[labels["train"]]
    if names:  # text and booleans as integers
        y = {s: labels[s] if a.dtype.kind == "U" else a.astype(int) if a.dtype == bool else a for s, a in y.items()}
    if "validation" not in x:
        parts = [*map(np.sort, cut(len(keras.tree.flatten(x["train"])[0]), SHARES, labels["train"]))]
        for each in (x, y, weights, labels):
            taken = (lambda array, rows=rows: None if array is None else array[rows] for rows in parts)
            each |= {s: keras.tree.map_structure(take, each["train"]) for s, take in zip(SPLITS, taken, strict=False)}
        weights["validation"] = None
    flat = {split: keras.tree.flatten(x[split]) for split in SPLITS}  # floats as the model gets them
    notes = copies({s: fingerprints(*(a.astype("f4") if a.dtype.kind == "f" else a for a in flat[s])) for s in SPLITS})
    notes += check_classes(labels, names, name) if names else []

    def made(split: str) -> Split:
        inputs, known = x[split], {"labels": labels[split]}
        if scale:
            shape = (*inputs.shape[1:], 1)[:3]
            inputs = inputs[..., 0] if inputs.shape[3:] == (1,) else inputs
            known |= {"inputs": Inputs(shape[:2], shape[2], scale, shape)}  # type: ignore[arg-type]
        if reconstructs:
            return Split.of(inputs, np.zeros(len(inputs), np.uint8), weights[split], targets=None, **known)
        return Split.of(inputs, y[split], weights[split], **known)

    def load() -> Splits:
        used = keras.tree.flatten([(x[split], y[split], weights[split]) for split in SPLITS])
        source: dict[str, Any] = {"name": name, "path": "", "found": "arrays", **({"notes": notes} if notes else {})}
        splits = Splits(made("train"), made("validation"), made("test"), names, source)
        source |= {"counts": splits.sizes(), "sha256": digest(array for array in used if array is not None)}
        return splits

    return load


def _arrays(given: Arrays, which: str, text: bool | None = True) -> Arrays:
    """Convert to NumPy arrays of numbers, or `text` (None: if there is one); lists become tuples, as in `fit`."""
    given = given[0] if isinstance(given, list | tuple) and len(given) == 1 else given
    leaves = [
        checked(value, which + "".join(f"[{key!r}]" for key in path), not path if text is None else text)
        for path, value in keras.tree.flatten_with_path(given)
    ]
    return keras.tree.lists_to_tuples(keras.tree.pack_sequence_as(given, leaves))


def _weights(given: Arrays, y: Arrays, which: str) -> Arrays:
    """Return float32 weights structured as the targets, or a single array for all outputs. None for None."""
    if given is None:
        return None
    weights = keras.tree.map_structure(lambda each: each.astype(np.float32), _arrays(given, which, text=False))
    spread = weights if keras.tree.is_nested(weights) else keras.tree.map_structure(lambda _: weights, y)
    with explained(f"{which} has not the structure of the targets", "Give an array for each output."):
        keras.tree.assert_same_structure(spread, y)
    for each, target in zip(keras.tree.flatten(spread), keras.tree.flatten(y), strict=True):
        if each.shape != target.shape[: each.ndim]:
            raise UserError(f"{which} has the shape {each.shape}, its targets {target.shape}.", "Expected: (n,).")
    return weights


def _of_classes(given: Mapping[Any, float], names: Sequence[str], numbered: bool, which: str) -> np.ndarray:
    """Return the weight of each class, float32, shape (classes,). A text is a name first, then an index."""
    place = {key: k for k in range(len(names) * numbered) for key in (k, str(k))} | {n: k for k, n in enumerate(names)}
    keys = [" ".join(key.split()) if isinstance(key, str) else key for key in given]
    if odd := [key for key in keys if key not in place]:
        raise UserError(f"{which}: class_weight has the class {odd[0]!r}; classes are {', '.join(names)[:200]}.")
    weights = np.ones(len(names), np.float32)
    weights[[place[key] for key in keys]] = checked([*given.values()], f"{which}: class_weight")
    return weights


def _encode(
    y: Mapping[str, Any], where: str, names: Sequence[str] | None, declared: bool
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Encode targets as class indices, if they are integers from 0, text, one-hot rows or, if `declared`, whole floats.

    Returns the class index of each example by split, int64, and the names of the classes: `names`, or the labels,
    sorted if they are text; for other targets None, and no names. Raises UserError if only some targets are labels, if
    there is one class or too many, or if the names do not match.
    """
    found = {split: flat for split, each in y.items() if (flat := class_numbers(each, declared)) is not None}
    if not found or ("train" not in found and y["train"].size > len(y["train"])):  # several labels; by chance one a row
        return dict.fromkeys(y), ()
    if len(found) < len(y) or len({flat.dtype.kind == "U" for flat in found.values()}) > 1:
        raise UserError(f"{where}: only some targets are class numbers.", "Make those of every split alike.")
    together = np.concatenate([*found.values()])
    if together.dtype.kind == "U":
        known = list(names or np.unique(together).tolist())
        if strange := np.setdiff1d(together, known).tolist():
            raise UserError(f"{where}: the label {printable(strange[0])!r} is none of the named classes.")
        place = {value: k for k, value in enumerate(known)}
        found = {split: np.array([place[v] for v in flat.tolist()]) for split, flat in found.items()}
    else:
        columns = max(each.shape[-1] if each.ndim == 2 else 1 for each in y.values())
        known = [str(k) for k in range(min(max(int(together.max()) + 1, columns), MOST_CLASSES + 1))]
        if together.min() < 0 or len(known) > MOST_CLASSES:
            advice = f"Classes count from 0, for a hinge too, to {MOST_CLASSES:,}; targets that are no classes: floats."
            raise UserError(f"{where}: labels go from {together.min()} to {together.max()}.", advice)
    plain = tuple(" ".join(name.split()) for name in names or known)
    if not 2 <= len(known) == len(plain) == len({*plain} - {""}) <= MOST_CLASSES:
        problem = f"{where} has {len(known):,} classes, and {len({*plain} - {''}):,} different names"
        raise UserError(f"{problem}.", f"From two to {MOST_CLASSES:,} classes are possible, with a name each.")
    return {split: flat.astype(np.int64) for split, flat in found.items()}, plain
