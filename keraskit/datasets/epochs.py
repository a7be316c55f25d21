"""ShuffledEpochs: training batches of consecutive epochs, in an order determined by (seed, epoch)."""

from __future__ import annotations

from keraskit.datasets.pipeline import prefetched
from keraskit.datasets.splits import WHOLE, Shard, Split, ranges
from keraskit.start import tf

ENDLESS = 2**31


class ShuffledEpochs:
    """Training batches whose order and augmentation in epoch e depend only on (seed, e).

    So runs are reproducible, and a run resumed at any step of any epoch sees the same batches as an uninterrupted one.

    An epoch has `steps` batches (default: one pass over the split, whose last batch may be smaller). If an epoch takes
    more than one pass, each pass has its own order and augmentation. `shard` selects the shares of every batch to
    return if several devices or machines train together.
    """

    def __init__(
        self, split: Split, batch_size: int, seed: int, steps: int | None = None, shard: Shard = WHOLE
    ) -> None:
        self.split, self.batch_size, self.seed, self.shard = split, batch_size, seed, shard
        self._seen = steps * batch_size if steps else split.size
        self._ranges = ranges(self._seen, batch_size, shard)
        self.steps = len(self._ranges) // shard.local

    def batches(self, epoch: int = 0, step: int = 0, end: int = ENDLESS) -> tf.data.Dataset:
        """Return the batches from step `step` of epoch `epoch` up to the start of epoch `end`, all counted from 0.

        One dataset spans all epochs: a new iterator would cost 20 ms per epoch, and so the first batches of the next
        epoch are prepared during validation.
        """
        with tf.device("/CPU:0"):  # where tf.data runs, on any device
            epochs = tf.data.Dataset.range(epoch, end).flat_map(tf.autograph.experimental.do_not_convert(self.drawn))
            return prefetched(epochs.skip(step * self.shard.local), self.split.fetch)

    def drawn(self, epoch: tf.Tensor) -> tf.data.Dataset:
        """Return each step's indices in an epoch, with random numbers: row i * size + k for example k in pass i."""
        size, augmentation = self.split.size, self.split.augmentation
        orders, draws = [], []
        pair = tf.stack([tf.constant(self.seed, tf.int64), epoch])
        for i in range(-(-self._seen // size)):
            its_own = tf.random.experimental.stateless_fold_in(pair, i) if i else pair
            indices = tf.range(i * size, (i + 1) * size, dtype=tf.int64)
            orders.append(tf.random.experimental.stateless_shuffle(indices, seed=its_own))
            if augmentation and augmentation.is_random:
                draws.append(augmentation.draws(size, its_own))
        order, numbers = tf.concat(orders, 0), tf.concat(draws, 0) if draws else None

        @tf.autograph.experimental.do_not_convert
        def chosen(each: tf.Tensor) -> tuple[tf.Tensor, ...]:
            examples = order[each[0] : each[1]]
            indices = examples % size
            return (indices,) if numbers is None else (indices, tf.gather(numbers, examples))

        return tf.data.Dataset.from_tensor_slices(self._ranges).map(chosen)
