"""Split and Splits: a data set in its three splits, each of which hands out batches by index."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keraskit.datasets.pipeline import ahead
from keraskit.datasets.preprocessing import Inputs
from keraskit.datasets.splitting import SPLITS, order
from keraskit.errors import UserError
from keraskit.start import tf

Arrays = Any  # a NumPy array; of several inputs or outputs a dict of them by name, or a tuple in the model's order
Batch = tuple[Any, ...]  # (inputs, targets) or (inputs, targets, weights), each in the structure of Arrays


@dataclasses.dataclass(frozen=True)
class Share:
    """Which of the equal shares of every batch this process takes: from `first` on, `local` of `replicas`."""

    replicas: int = 1
    first: int = 0
    local: int = 1


WHOLE = Share()


@dataclasses.dataclass(frozen=True)
class Split:
    """One split of a data set. A batch is loaded, augmented, and preprocessed as the model takes it.

    Args:
        size: the number of examples.
        load: given int64 indices of shape (batch,), returns the inputs, which for pictures are values from 0 to 255,
            and the targets. Runs inside tf.data, in tensors alone.
        labels: the class index of each example, shape (size,); None where there are no classes.
        pictures: given indices, returns uint8 pictures of shape (n, height, width) or (n, height, width, 3); None
            where the examples are no pictures.
        inputs: how pictures are scaled and shaped; None where the examples are fed as they are.
        targets: given the pictures and targets of a batch, returns what the model should predict; None where that is
            what the model is fed.
        augmentation: an `Augmentation`: transforms training pictures at random, and standardises those of every split.
        names: of the file that holds each example, where each has one.
        weights: of each example in the loss, tensors of shape (size,) in the structure of the targets; None for 1.
        shuffled: whether the stored order is random already, so that `limited` takes the first.
    """

    size: int
    load: Callable[[tf.Tensor], tuple[Any, Any]]
    labels: np.ndarray | None = None
    pictures: Callable[[np.ndarray], np.ndarray] | None = None
    inputs: Inputs | None = None
    targets: Callable[[Any, Any], Any] | None = lambda _, targets: targets
    augmentation: Any = None
    names: Sequence[str] | None = None
    weights: Any = None
    shuffled: bool = False

    @classmethod
    def of(cls, x: Arrays, y: Arrays, weights: Arrays = None, **known: Any) -> Split:
        """A split in memory: inputs, targets, and weights in the loss if any, one per example."""
        stored = tensors((x, y))
        return cls(len(keras.tree.flatten(x)[0]), lambda i: gathered(stored, i), weights=tensors(weights), **known)

    def fetch(self, indices: tf.Tensor, numbers: tf.Tensor | None = None) -> Batch:
        """What the model is fed for these examples; with random numbers, one row per example, augmented."""
        pictures, targets = self.load(indices)
        if numbers is not None and self.augmentation:
            pictures = self.augmentation.apply(pictures, numbers)
        fed = self.inputs.preprocess(pictures, self.augmentation) if self.inputs else pictures
        batch = fed, self.targets(pictures, targets) if self.targets else fed
        return batch if self.weights is None else (*batch, gathered(self.weights, indices))

    def limited(self, limit: int | None) -> Split:
        """At most `limit` examples, each class in proportion, in their stored order."""
        if not limit or limit >= self.size:
            return self
        chosen = np.arange(limit) if self.shuffled else np.sort(order(self.size, self.labels)[:limit])
        stored, pictures = tensors(chosen), self.pictures
        return dataclasses.replace(
            self,
            size=limit,
            load=lambda indices: self.load(tf.gather(stored, indices)),
            labels=None if self.labels is None else self.labels[chosen],
            pictures=(lambda indices: pictures(chosen[indices])) if pictures else None,
            names=None if self.names is None else [self.names[i] for i in chosen.tolist()],
            weights=gathered(self.weights, stored),
        )

    def in_a_column(self) -> Split:
        """With targets of shape (n, 1) in place of (n,)."""

        def load(indices: tf.Tensor) -> tuple[Any, Any]:
            inputs, targets = self.load(indices)
            return inputs, targets[:, None]

        return dataclasses.replace(self, load=load)

    def balanced(self) -> Split:
        """With weights by which each class counts the same: n / (classes * examples of the class)."""
        if self.labels is None:
            advice = "Labels are whole numbers, text, one-hot rows, or floats where from_arrays is given classes."
            raise UserError("The data has no classes, so --class-weight makes no sense.", advice)
        if self.weights is not None:
            raise UserError("The data has weights already, so --class-weight makes no sense.", "Leave one out.")
        counts = np.bincount(self.labels)
        weights = self.size / (np.count_nonzero(counts) * counts[self.labels])
        return dataclasses.replace(self, weights=tensors(weights.astype(np.float32)))

    def in_order(self, batch_size: int, share: Share = WHOLE) -> tf.data.Dataset:
        """Batches of all examples in their stored order, as they are, for evaluation and prediction."""
        return in_order(self.size, batch_size, self.fetch, share)

    def take(self, indices: np.ndarray) -> Batch:
        """The examples at these indices as numpy arrays."""
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), self.fetch(tf.constant(indices, tf.int64)))

    def augmented(self, indices: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
        """Pictures as training sees them in the epoch of `seed`, float32 from 0 to 255, for a sheet."""
        numbers = tf.gather(self.augmentation.draws(self.size, seed), indices)
        return self.augmentation.apply(self.load(tf.constant(indices, tf.int64))[0], numbers).numpy()


def tensors(arrays: Arrays) -> Any:
    """The arrays in the CPU's memory: the input pipeline runs there, whatever trains."""
    with tf.device("/CPU:0"):
        return None if arrays is None else keras.tree.map_structure(tf.constant, arrays)


def gathered(stored: Any, indices: tf.Tensor) -> Any:
    """The examples at these indices, of each tensor."""
    return None if stored is None else keras.tree.map_structure(lambda each: tf.gather(each, indices), stored)


@dataclasses.dataclass(frozen=True)
class Splits:
    """A data set as a run uses it.

    Args:
        train, validation, test: the splits. Validation chooses the best epoch; test is read once, at the end.
        classes: the name of each class, in the order of the labels; empty where there are no classes.
        source: what was read, for the manifest: name, path, sha256, counts, licence, and how it was found; `reference`
            is false where it is not the data that the recipes' own words and figures speak of; `notes`, lines to show.
        prints: `splitting.fingerprints` of the training examples' files, where they have some.
    """

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    source: dict[str, Any]
    prints: np.ndarray | None = None

    def load(self, shape: tuple[Any, ...]) -> Splits:
        """The same with pictures in the shape of the model's input, which is given without the batch.

        Raises UserError where they do not fill it.
        """
        inputs = self.train.inputs
        if inputs is None or isinstance(inputs.shape, dict) or None in shape or shape == inputs.shape:
            return self
        if inputs.channels == 3 or math.prod(shape) != math.prod(inputs.shape):
            problem = f"Pictures of {self.source['name']} have the shape {inputs.shape}, the model's input {shape}"
            raise UserError(f"{problem}.", "Grey ones take any shape of as many values.")
        inputs = dataclasses.replace(inputs, shape=tuple(shape))
        return self.map(lambda split: dataclasses.replace(split, inputs=inputs))

    def limited(self, limit: int | None) -> Splits:
        """The same with at most `limit` examples in each split."""
        return self.map(lambda split: split.limited(limit))

    def augmented(self, augmentation: Any) -> Splits:
        """The same with training pictures augmented, and statistics of the training split where they are needed."""
        if augmentation == type(augmentation)():
            return self
        train, name = self.train, self.source["name"]
        if train.inputs is None:
            raise UserError(f"{name} holds no pictures, so there is nothing to augment.", "Leave the augmentation out.")
        if augmentation.is_random and train.targets:
            targets = tf.nest.flatten(train.in_order(1).element_spec[1])
            if any(tuple(each.shape[1:3]) == train.inputs.size for each in targets):
                problem = f"The targets of {name} are pictures, which random transforms would not move as the inputs"
                raise UserError(f"{problem}.", "Leave the augmentation out.")
        if augmentation.needs_fit and augmentation.statistics is None:
            scaled = lambda i: train.inputs.scaled(train.load(i)[0], augmentation)  # noqa: E731
            augmentation = augmentation.fit(in_order(train.size, 1_024, scaled))
        return self.map(lambda split: dataclasses.replace(split, augmentation=augmentation))

    def sizes(self) -> dict[str, int]:
        """How many examples each split has."""
        return {name: getattr(self, name).size for name in SPLITS}

    def map(self, change: Callable[[Split], Split], names: Sequence[str] = SPLITS) -> Splits:
        """The same with each of these splits changed."""
        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in names}
        return dataclasses.replace(self, **changed)


def ranges(size: int, batch_size: int, share: Share) -> np.ndarray:
    """Where each share begins and ends, shape (n, 2), int64: batch by batch, in each the shares of this process.

    A last batch too small for every replica to get an example joins the one before. Raises UserError where there are
    fewer examples than replicas.
    """
    if size < share.replicas:
        raise UserError(f"{size} examples cannot be shared by {share.replicas} devices.", "Take fewer devices.")
    starts = np.arange(0, size, batch_size)
    ends = np.minimum(starts + batch_size, size)
    if ends[-1] - starts[-1] < share.replicas and len(starts) > 1:
        starts, ends = starts[:-1], np.append(ends[:-2], size)
    shares = np.arange(share.first, share.first + share.local + 1)
    bounds = starts[:, None] + (ends - starts)[:, None] * shares // share.replicas
    return np.stack([bounds[:, :-1], bounds[:, 1:]], axis=-1).reshape(-1, 2)


def in_order(size: int, batch_size: int, fetch: Callable[[tf.Tensor], Any], share: Share = WHOLE) -> tf.data.Dataset:
    """What `fetch` makes of the indices of each batch, in stored order."""
    with tf.device("/CPU:0"):
        return batches(tf.range(size, dtype=tf.int64), ranges(size, batch_size, share), fetch)


def batches(order: tf.Tensor, ranges: np.ndarray, fetch: Callable[[tf.Tensor], Any]) -> tf.data.Dataset:
    """Fetch whole batches by index: one gather a batch costs far less than stacking single examples."""
    return ahead(tf.data.Dataset.from_tensor_slices(ranges), lambda each: fetch(order[each[0] : each[1]]))
