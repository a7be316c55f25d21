"""Split and Splits: a data set in three parts, each of which hands out batches by index."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keraskit.errors import UserError

Batch = tuple[Any, Any]  # (inputs, targets), each a tensor or a dict of tensors
PARTS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set.

    Args:
        size: the number of examples.
        fetch: given int64 indices of shape (batch,), returns (inputs, targets). It runs inside tf.data.
        labels: the class index of each example, shape (size,).
        pictures: given indices, returns uint8 pictures of shape (n, height, width) or (n, height, width, 3).
    """

    size: int
    fetch: Callable[[tf.Tensor], Batch]
    labels: np.ndarray
    pictures: Callable[[np.ndarray], np.ndarray]

    def limited(self, limit: int | None) -> Split:
        """The first `limit` examples."""
        size = min(self.size, limit or self.size)
        return dataclasses.replace(self, size=size, labels=self.labels[:size])

    def in_order(self, batch_size: int) -> tf.data.Dataset:
        """Batches of all examples in their stored order, for evaluation and prediction."""
        batches = _batches(tf.range(self.size, dtype=tf.int64), self.size, batch_size, self.fetch)
        return batches.prefetch(tf.data.AUTOTUNE)

    def take(self, indices: np.ndarray) -> Batch:
        """The examples at these indices as numpy arrays."""
        batch = self.fetch(tf.constant(indices, tf.int64))
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), batch)


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

    def sizes(self) -> dict[str, int]:
        """How many examples each part has."""
        return {part: getattr(self, part).size for part in PARTS}


class ShuffledEpochs:
    """Training batches whose order in epoch e depends on (seed, e) alone.

    Keras asks `dataset` for a new iterator at the start of each epoch; it then reads `epoch`, which a callback has
    set. So a run repeats, and a run that starts at epoch e sees what an unbroken one would have seen.

    Args:
        split: the training split.
        batch_size: examples in one step; the last step of an epoch has what is left.
        seed: the run's seed.
        steps: end the epoch after this many steps (default: when every example was seen).
    """

    def __init__(self, split: Split, batch_size: int, seed: int, steps: int | None = None) -> None:
        if split.size < 1:
            raise UserError("The training split is empty.", "Check the data, or raise --limit.")
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False, name="epoch")
        self.steps = min(steps or split.size, -(-split.size // batch_size))

        def one_epoch(_: tf.Tensor) -> tf.data.Dataset:
            indices = tf.range(split.size, dtype=tf.int64)
            order = tf.random.experimental.stateless_shuffle(indices, seed=[tf.constant(seed, tf.int64), self.epoch])
            return _batches(order, split.size, batch_size, split.fetch).take(self.steps)

        dataset = tf.data.Dataset.range(1).flat_map(one_epoch)
        self.dataset = dataset.apply(tf.data.experimental.assert_cardinality(self.steps)).prefetch(tf.data.AUTOTUNE)


def _batches(order: tf.Tensor, size: int, batch_size: int, fetch: Callable[[tf.Tensor], Batch]) -> tf.data.Dataset:
    """Fetch whole batches by index: one gather a batch costs far less than stacking single examples."""
    starts = tf.data.Dataset.range(0, size, batch_size)
    return starts.map(lambda start: fetch(order[start : start + batch_size]), num_parallel_calls=tf.data.AUTOTUNE)
