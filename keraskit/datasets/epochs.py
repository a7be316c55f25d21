"""ShuffledEpochs: training batches, in each epoch in the epoch's own order, made ahead of the model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keraskit.datasets.pipeline import opened_by
from keraskit.datasets.splits import WHOLE, Batch, Share, Split, batches, ranges
from keraskit.errors import UserError
from keraskit.start import tf


class ShuffledEpochs:
    """Training batches whose order and augmentation in epoch e depend on (seed, e) alone.

    A callback calls `begin` at the start of each epoch, and then Keras asks `dataset` for an iterator. So a run
    repeats, and a run that starts at epoch e sees what an unbroken one would have seen.

    Keras asks once more when an epoch ends, and throws that iterator away (`EpochIterator._enumerate_iterator`). Here
    it becomes the next epoch's, whose first batches are then made ready while the model is validated and saved.

    Args:
        split: the training split.
        batch_size: examples in one step; the last step of an epoch has what is left.
        seed: the run's seed.
        steps: steps in an epoch (default: until every example was seen). Where that takes more than one pass over the
            split, each pass has its own order and augmentation.
        share: which share of every batch to hand out, where several devices or machines train together.
    """

    def __init__(
        self, split: Split, batch_size: int, seed: int, steps: int | None = None, share: Share = WHOLE
    ) -> None:
        if split.size < 1:
            raise UserError("The training split is empty.", "Check the data, or raise --limit.")
        self.split, self.batch_size, self.seed, self.share = split, batch_size, seed, share
        self._seen = steps * batch_size if steps else split.size
        self._ranges = ranges(self._seen, batch_size, share)
        self.steps = len(self._ranges) // share.local
        order, numbers = self._drawn(0)
        with tf.device("/CPU:0"):  # where tf.data runs, whatever trains
            self._order = tf.Variable(order, trainable=False, name="order")
            self._numbers = None if numbers is None else tf.Variable(numbers, trainable=False, name="numbers")
        self._epoch, self._begun, self._last = 0, True, False
        self._next: Iterator[Batch] | None = None
        self._batches = self.after(0)
        self.dataset = opened_by(self._batches, self._open)

    def begin(self, epoch: int, last: bool = False) -> None:
        """Draw the order and the random numbers of an epoch, counted from 0. After the last one, none is opened."""
        if epoch != self._epoch:
            self._draw(epoch)
        self._begun, self._last = True, last

    def _draw(self, epoch: int) -> None:
        order, numbers = self._drawn(epoch)
        self._order.assign(order)
        if self._numbers is not None:
            self._numbers.assign(numbers)
        self._epoch, self._next = epoch, None

    def _open(self) -> Iterator[Batch]:
        """The iterator of the epoch that has begun; asked again, that of the next."""
        if self._begun:
            iterator, self._begun, self._next = self._next or iter(self._batches), False, None
            return iterator
        if self._last:
            return iter(())
        self._draw(self._epoch + 1)
        self._next = iter(self._batches)
        return self._next

    def after(self, done: int) -> tf.data.Dataset:
        """The batches of the epoch that remain after so many steps."""

        def fetch(chosen: tf.Tensor) -> Batch:
            numbers = None if self._numbers is None else tf.gather(self._numbers, chosen)
            return self.split.fetch(chosen % self.split.size, numbers)

        return batches(self._order, self._ranges[done * self.share.local :], fetch)

    def examples(self, epoch: int, first: int, last: int) -> np.ndarray:
        """Which examples of the split the steps from `first` to `last` of an epoch have, all counted from 0."""
        order = self._drawn(epoch)[0].numpy()[: self._seen]
        return order[first * self.batch_size : (last + 1) * self.batch_size] % self.split.size

    def _drawn(self, epoch: int) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The order of an epoch, and each example's random numbers. Example k of pass i has number i * size + k."""
        size = self.split.size
        order, numbers = [], []
        with tf.device("/CPU:0"):
            pair = tf.constant([self.seed, epoch], tf.int64)
            for i in range(-(-self._seen // size)):
                its_own = tf.random.experimental.stateless_fold_in(pair, i) if i else pair
                indices = tf.range(i * size, (i + 1) * size, dtype=tf.int64)
                order.append(tf.random.experimental.stateless_shuffle(indices, seed=its_own))
                if self.split.augmentation and self.split.augmentation.is_random:
                    numbers.append(self.split.augmentation.draws(size, its_own))
            return tf.concat(order, 0), tf.concat(numbers, 0) if numbers else None
