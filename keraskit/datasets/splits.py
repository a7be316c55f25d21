"""Split and Splits: a data set in three parts, each of which hands out batches by index."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keraskit.augment import Augmentation
from keraskit.augment.transform import draws, transform
from keraskit.datasets.inputs import Inputs
from keraskit.datasets.layout import PARTS
from keraskit.errors import UserError

Batch = tuple[Any, Any]  # (inputs, targets), each a tensor or a dict of tensors


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set. A batch is loaded, augmented, scaled, standardised, and put into the model's shape.

    Args:
        size: the number of examples.
        load: given int64 indices of shape (batch,), returns (pictures from 0 to 255, labels). Runs inside tf.data.
        labels: the class index of each example, shape (size,).
        pictures: given indices, returns uint8 pictures of shape (n, height, width) or (n, height, width, 3).
        inputs: how pictures are scaled and shaped; None where the examples are no pictures and are fed as they are.
        targets: given the pictures and labels of a batch, returns what the model should answer (default: the labels).
        augmentation: transforms training pictures at random, and standardises those of every split once scaled.
        names: of the file that holds each example, where each has one.
    """

    size: int
    load: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    labels: np.ndarray
    pictures: Callable[[np.ndarray], np.ndarray]
    inputs: Inputs | None = None
    targets: Callable[[tf.Tensor, tf.Tensor], Any] = lambda _, labels: labels
    augmentation: Augmentation = Augmentation()  # noqa: RUF009  (frozen)
    names: Sequence[str] | None = None

    def fetch(self, indices: tf.Tensor, numbers: tf.Tensor | None = None) -> Batch:
        """What the model is fed for these examples; with random numbers, one row per example, augmented."""
        pictures, labels = self.load(indices)
        if numbers is not None:
            pictures = transform(self.augmentation, pictures, numbers)
        return self.fed(pictures), self.targets(pictures, labels)

    def fed(self, pictures: tf.Tensor) -> Any:
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
        return dataclasses.replace(self, size=size, labels=self.labels[:size])

    def in_order(self, batch_size: int) -> tf.data.Dataset:
        """Batches of all examples in their stored order, as they are, for evaluation and prediction."""
        return _in_order(self.size, batch_size, self.fetch).prefetch(tf.data.AUTOTUNE)

    def take(self, indices: np.ndarray) -> Batch:
        """The examples at these indices as numpy arrays."""
        batch = self.fetch(tf.constant(indices, tf.int64))
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), batch)

    def measured(self, augmentation: Augmentation) -> Augmentation:
        """The augmentation with the statistics of this split's pictures, on the scale that it will find them."""
        split = dataclasses.replace(self, augmentation=augmentation)
        return augmentation.fit(_in_order(self.size, 1_024, lambda i: split.scaled(split.load(i)[0])))

    def augmented(self, indices: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
        """Pictures as training sees them in the epoch of `seed`, float32 from 0 to 255, for a sheet."""
        numbers = tf.gather(draws(self.size, seed), indices)
        return transform(self.augmentation, self.load(tf.constant(indices, tf.int64))[0], numbers).numpy()


@dataclasses.dataclass(frozen=True)
class Splits:
    """A data set as a run uses it.

    Args:
        train, validation, test: the parts. Validation chooses the best epoch; test is read once, at the end.
        classes: the name of each class, in the order of the labels.
        source: what was read, for the manifest: name, path, sha256, counts, licence, and how it was found.
        reshape: where the data can follow a model's input: given its shape without the batch, returns the splits so.
    """

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    source: dict[str, Any]
    reshape: Callable[[tuple[int, ...]], Splits] | None = None

    def limited(self, limit: int | None) -> Splits:
        """The same with at most `limit` examples in each part."""
        return dataclasses.replace(self, **{part: getattr(self, part).limited(limit) for part in PARTS})

    def augmented(self, augmentation: Augmentation) -> Splits:
        """The same with training pictures augmented, and statistics of the training split where they are needed."""
        if augmentation == Augmentation():
            return self
        if self.train.inputs is None:
            name = self.source["name"]
            raise UserError(
                f"{name} holds no pictures, so there is nothing to augment.", "Leave the --augment flags out."
            )
        if augmentation.needs_fit and augmentation.statistics is None:
            augmentation = self.train.measured(augmentation)
        parts = {part: dataclasses.replace(getattr(self, part), augmentation=augmentation) for part in PARTS}
        return dataclasses.replace(self, **parts)

    def sizes(self) -> dict[str, int]:
        """How many examples each part has."""
        return {part: getattr(self, part).size for part in PARTS}


class ShuffledEpochs:
    """Training batches whose order and augmentation in epoch e depend on (seed, e) alone.

    Keras asks `dataset` for a new iterator at the start of each epoch; it then reads `epoch`, which a callback has
    set. So a run repeats, and a run that starts at epoch e sees what an unbroken one would have seen.

    Args:
        split: the training split.
        batch_size: examples in one step; the last step of an epoch has what is left.
        seed: the run's seed.
        steps: steps in an epoch (default: until every example was seen). Where that takes more than one pass over the
            split, each pass has its own order and augmentation.
    """

    def __init__(self, split: Split, batch_size: int, seed: int, steps: int | None = None) -> None:
        if split.size < 1:
            raise UserError("The training split is empty.", "Check the data, or raise --limit.")
        with tf.device("/CPU:0"):  # where tf.data runs, whatever trains
            self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False, name="epoch")
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.steps = steps or -(-split.size // batch_size)
        self._seen = steps * batch_size if steps else split.size
        self.dataset = self.after(0)

    def after(self, done: int) -> tf.data.Dataset:
        """The batches of an epoch that remain after so many steps."""

        def one_epoch(_: tf.Tensor) -> tf.data.Dataset:
            order, drawn = self._drawn(self.epoch)

            def fetch(chosen: tf.Tensor) -> Batch:
                random = tf.gather(drawn, chosen) if self.split.augmentation.is_random else None
                return self.split.fetch(chosen % self.split.size, random)

            return _batches(order, self._seen, self.batch_size, fetch, done)

        dataset = tf.data.Dataset.range(1).flat_map(one_epoch)
        return dataset.apply(tf.data.experimental.assert_cardinality(self.steps - done)).prefetch(tf.data.AUTOTUNE)

    def examples(self, epoch: int, first: int, last: int) -> np.ndarray:
        """Which examples of the split the steps from `first` to `last` of an epoch have, all counted from 0."""
        order = self._drawn(tf.constant(epoch, tf.int64))[0].numpy()[: self._seen]
        return order[first * self.batch_size : (last + 1) * self.batch_size] % self.split.size

    def _drawn(self, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The order of an epoch, and each example's random numbers. Example k of pass i has number i * size + k."""
        pair = tf.stack([tf.constant(self.seed, tf.int64), epoch])
        size = self.split.size
        order, numbers = [], []
        for i in range(-(-self._seen // size)):
            its_own = tf.random.experimental.stateless_fold_in(pair, i) if i else pair
            indices = tf.range(i * size, (i + 1) * size, dtype=tf.int64)
            order.append(tf.random.experimental.stateless_shuffle(indices, seed=its_own))
            numbers.append(draws(size, its_own))
        return tf.concat(order, 0), tf.concat(numbers, 0)


def _in_order(size: int, batch_size: int, fetch: Callable[[tf.Tensor], Any]) -> tf.data.Dataset:
    with tf.device("/CPU:0"):
        return _batches(tf.range(size, dtype=tf.int64), size, batch_size, fetch)


def _batches(
    order: tf.Tensor, size: int, batch_size: int, fetch: Callable[[tf.Tensor], Any], done: int = 0
) -> tf.data.Dataset:
    """Fetch whole batches by index, less the first `done`: one gather costs far less than stacking single examples."""
    starts = tf.data.Dataset.range(done * batch_size, size, batch_size)
    return starts.map(lambda start: fetch(order[start : start + batch_size]), num_parallel_calls=tf.data.AUTOTUNE)
