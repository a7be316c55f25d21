"""Split and Splits: a data set in its three splits, each of which hands out batches by index."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keraskit.augment import Augmentation
from keraskit.augment.transform import draws, transform
from keraskit.config import SPLITS
from keraskit.datasets.array_files import digest
from keraskit.datasets.epochs import WHOLE, Batch, Share, in_order
from keraskit.datasets.preprocessing import SCALES, Inputs
from keraskit.errors import UserError

Arrays = Any  # a NumPy array, or a dict of them by the model's input or output


@dataclasses.dataclass(frozen=True)
class Split:
    """One split of a data set. A batch is loaded, augmented, scaled, standardised, and put into the model's shape.

    Args:
        size: the number of examples.
        load: given int64 indices of shape (batch,), returns the inputs, which for pictures are values from 0 to 255,
            the targets, and weights of the examples where there are any. Runs inside tf.data, in tensors alone.
        labels: the class index of each example, shape (size,); None where there are no classes.
        pictures: given indices, returns uint8 pictures of shape (n, height, width) or (n, height, width, 3); None
            where the examples are no pictures.
        inputs: how pictures are scaled and shaped; None where the examples are fed as they are.
        targets: given the pictures and targets of a batch, returns what the model should predict.
        augmentation: transforms training pictures at random, and standardises those of every split once scaled.
        names: of the file that holds each example, where each has one.
    """

    size: int
    load: Callable[[tf.Tensor], Batch]
    labels: np.ndarray | None = None
    pictures: Callable[[np.ndarray], np.ndarray] | None = None
    inputs: Inputs | None = None
    targets: Callable[[Any, Any], Any] = lambda _, targets: targets
    augmentation: Augmentation = Augmentation()  # noqa: RUF009  (frozen)
    names: Sequence[str] | None = None

    @classmethod
    def of(cls, x: Arrays, y: Arrays, weights: np.ndarray | None = None, **known: Any) -> Split:
        """A split that is in memory.

        Args:
            x: inputs, one per example.
            y: targets, as many.
            weights: of each example in the loss, shape (n,).
            known: further fields.
        """
        with tf.device("/CPU:0"):  # the input pipeline runs there, whatever trains
            arrays = (x, y) if weights is None else (x, y, weights.astype("float32"))
            stored = keras.tree.map_structure(tf.constant, arrays)

        def load(indices: tf.Tensor) -> Batch:
            return keras.tree.map_structure(lambda array: tf.gather(array, indices), stored)

        return cls(len(keras.tree.flatten(x)[0]), load, **known)

    def fetch(self, indices: tf.Tensor, numbers: tf.Tensor | None = None) -> Batch:
        """What the model is fed for these examples; with random numbers, one row per example, augmented."""
        pictures, targets, *weights = self.load(indices)
        if numbers is not None:
            pictures = transform(self.augmentation, pictures, numbers)
        return self.fed(pictures), self.targets(pictures, targets), *weights

    def fed(self, pictures: Any) -> Any:
        """What the model is fed for these pictures, as they are: a tensor, or a dict of them by input."""
        if self.inputs is None:
            return pictures
        return self.inputs.arranged(self.augmentation.standardize(self.scaled(pictures)))

    def scaled(self, pictures: tf.Tensor) -> tf.Tensor:
        """Pictures on the model's scale, unless the augmentation rescales from 0 to 255 itself."""
        own = self.augmentation.rescale or self.augmentation.preprocessing_function
        return self.inputs.scaled(pictures) if self.inputs and not own else pictures

    def limited(self, limit: int | None) -> Split:
        """The first `limit` examples."""
        size = min(self.size, limit or self.size)
        return dataclasses.replace(self, size=size, labels=None if self.labels is None else self.labels[:size])

    def in_order(self, batch_size: int, share: Share = WHOLE) -> tf.data.Dataset:
        """Batches of all examples in their stored order, as they are, for evaluation and prediction."""
        return in_order(self.size, batch_size, self.fetch, share)

    def take(self, indices: np.ndarray) -> Batch:
        """The examples at these indices as numpy arrays."""
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), self.fetch(tf.constant(indices, tf.int64)))

    def measured(self, augmentation: Augmentation) -> Augmentation:
        """The augmentation with the statistics of this split's pictures, on the scale that it will find them."""
        split = dataclasses.replace(self, augmentation=augmentation)
        return augmentation.fit(in_order(self.size, 1_024, lambda i: split.scaled(split.load(i)[0])))

    def augmented(self, indices: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
        """Pictures as training sees them in the epoch of `seed`, float32 from 0 to 255, for a sheet."""
        numbers = tf.gather(draws(self.size, seed), indices)
        return transform(self.augmentation, self.load(tf.constant(indices, tf.int64))[0], numbers).numpy()


@dataclasses.dataclass(frozen=True)
class Splits:
    """A data set as a run uses it.

    Args:
        train, validation, test: the splits. Validation chooses the best epoch; test is read once, at the end.
        classes: the name of each class, in the order of the labels; empty where there are no classes.
        source: what was read, for the manifest: name, path, sha256, counts, licence, and how it was found; `reference`
            is false where it is not the data that the recipes' own words and figures speak of; `notes`, lines to show.
        reshape: where the data can follow a model's input: given its shape without the batch, returns the splits so.
    """

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    source: dict[str, Any]
    reshape: Callable[[tuple[int, ...]], Splits] | None = None

    def limited(self, limit: int | None) -> Splits:
        """The same with at most `limit` examples in each split."""
        return self.map(lambda split: split.limited(limit)) if limit else self

    def augmented(self, augmentation: Augmentation) -> Splits:
        """The same with training pictures augmented, and statistics of the training split where they are needed."""
        if augmentation == Augmentation():
            return self
        if self.train.inputs is None:
            name = self.source["name"]
            raise UserError(f"{name} holds no pictures, so there is nothing to augment.", "Leave the augmentation out.")
        if augmentation.needs_fit and augmentation.statistics is None:
            augmentation = self.train.measured(augmentation)
        return self.map(lambda split: dataclasses.replace(split, augmentation=augmentation))

    def sizes(self) -> dict[str, int]:
        """How many examples each split has."""
        return {name: getattr(self, name).size for name in SPLITS}

    def map(self, change: Callable[[Split], Split]) -> Splits:
        """The same with each split changed, whatever shape it takes later."""
        whole = self.reshape

        def reshape(shape: tuple[int, ...]) -> Splits:
            assert whole
            return whole(shape).map(change)

        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in SPLITS}
        return dataclasses.replace(self, **changed, reshape=reshape if whole else None)


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
            (n, 1) are classes.
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
        pairs["train"], (x_validation, y_validation) = _held_out(*pairs["train"])
    pairs["validation"] = _counted(x_validation, y_validation, f"{name}: the arrays of validation")
    shapes = {split: keras.tree.map_structure(lambda array: array.shape[1:], pair) for split, pair in pairs.items()}
    for split in SPLITS:
        if shapes[split] != shapes["train"]:
            problem = f"{name}: examples of {split} have the shapes {shapes[split]}, those of train {shapes['train']}"
            raise UserError(f"{problem}.", "A model takes one shape.")
    pictures = _are_pictures(pairs["train"][0])
    if scale and not (pictures and scale in SCALES):
        problem = f"{name}: scale {scale!r} is given, one of {', '.join(SCALES)} for pictures"
        raise UserError(f"{problem}.", "They are uint8, of shape (n, height, width), (..., 1) or (..., 3).")
    labels = {split: _labels(y) for split, (_, y) in pairs.items()}
    names = _class_names(labels, classes, class_weight or {}, name)

    def load() -> Splits:
        def split(which: str) -> Split:
            x, y = pairs[which]
            known: dict[str, Any] = {"labels": labels[which] if names else None}
            if pictures:
                shape = x.shape[1:] if x.ndim == 4 else (*x.shape[1:], 1)
                grey = x[..., 0] if shape[-1] == 1 and x.ndim == 4 else x
                known["pictures"] = lambda indices: grey[indices]
                if scale:
                    x, known["inputs"] = grey, Inputs(shape[:2], shape[-1], scale, shape)  # type: ignore[arg-type]
            weights = None
            if class_weight and which == "train" and (own := labels[which]) is not None:
                weights = np.array([class_weight.get(int(label), 1.0) for label in own])
            return Split.of(x, y, weights, **known)

        arrays = [array for which in SPLITS for array in keras.tree.flatten(pairs[which])]
        counts = {which: len(keras.tree.flatten(pairs[which])[0]) for which in SPLITS}
        source = {"name": name, "path": "", "found": "arrays", "sha256": digest(arrays), "counts": counts}
        return Splits(split("train"), split("validation"), split("test"), names, source)

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


def _held_out(x: Arrays, y: Arrays) -> tuple[tuple[Arrays, Arrays], tuple[Arrays, Arrays]]:
    """Every sixth example for validation, and the others."""
    held = np.arange(len(keras.tree.flatten(x)[0])) % 6 == 5
    parts = [keras.tree.map_structure(lambda array, m=m: array[m], (x, y)) for m in (~held, held)]
    return parts[0], parts[1]


def _labels(y: Arrays) -> np.ndarray | None:
    """Class numbers, shape (n,), where the targets are such."""
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "iu" or y.size != len(y):
        return None
    return y.reshape(-1).astype(np.int64)


def _class_names(
    labels: dict[str, np.ndarray | None], classes: Sequence[str] | None, weights: Mapping[int, float], name: str
) -> tuple[str, ...]:
    if labels["train"] is None:
        if classes or weights:
            given = "classes" if classes else "class_weight"
            raise UserError(f"{name}: {given} is given, and the targets are no class numbers.", "Leave it out.")
        return ()
    known = [each for each in labels.values() if each is not None]
    if len(known) < len(labels):
        raise UserError(f"{name}: only some targets are class numbers.", "Make those of every split whole numbers.")
    low, count = min(each.min() for each in known), 1 + max(int(each.max()) for each in known)
    if low < 0 or (classes and len(classes) != count):
        named = f"; {len(classes)} are named" if classes else ""
        raise UserError(f"{name}: labels go from {low} to {count - 1}{named}.", "They are counted from 0.")
    for label, weight in weights.items():
        if label not in range(count) or not 0 <= weight < np.inf:
            problem = f"{name}: class_weight has {weight} for the class {label}; labels go from 0 to {count - 1}"
            raise UserError(f"{problem}.", "A weight is a number from 0 up.")
    return tuple(classes) if classes else tuple(map(str, range(count)))
