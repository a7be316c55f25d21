"""Split and Splits: a data set in three splits, which return batches by index; ShuffledEpochs: those of training."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keraskit import system
from keraskit.datasets.preprocessing import Inputs
from keraskit.datasets.splitting import SPLITS, order
from keraskit.errors import UserError
from keraskit.start import tf

Arrays = Any  # a NumPy array; for several inputs or outputs a dict of arrays by name, or a tuple in the model's order
Batch = tuple[Any, ...]  # (inputs, targets) or (inputs, targets, weights), each in the structure of Arrays
MOST_CALLS = 8  # in parallel: each batch takes memory


@dataclasses.dataclass(frozen=True)
class Shard:
    """The equal shares of every batch that this process takes: `local` of `replicas` shares, starting at `first`."""

    replicas: int = 1
    first: int = 0
    local: int = 1


WHOLE = Shard()


@dataclasses.dataclass(frozen=True)
class Split:
    """One split of a data set. A batch is loaded, augmented, and preprocessed for the model."""

    size: int  # the number of examples
    # Function of int64 indices, shape (batch,), that returns inputs and targets; runs on tensors in tf.data.
    load: Callable[[tf.Tensor], tuple[Any, Any]]
    labels: np.ndarray | None = None  # the class index of each example, shape (size,); None without classes
    # How to scale and reshape the images that `load` returns, uint8 of shape (n, height, width) or
    # (n, height, width, 3); None if the examples are fed unchanged.
    inputs: Inputs | None = None
    # Function of a batch's images and targets that returns the model's targets; None to predict the inputs.
    targets: Callable[[Any, Any], Any] | None = lambda _, targets: targets
    augmentation: Any = None  # an `Augmentation`: transforms training images at random, standardises every split's
    names: Sequence[str] | None = None  # the file name of each example, if examples come from files
    weights: Any = None  # of each example in the loss, tensors of shape (size,), perhaps one for each target; or None
    shuffled: bool = False  # whether the stored order is already random, so that `limited` takes the first examples

    @classmethod
    def of(cls, x: Arrays, y: Arrays, weights: Arrays = None, **known: Any) -> Split:
        """Create a split from arrays in memory: inputs, targets and optional loss weights, one row per example."""
        stored = tensors((x, y))
        return cls(len(keras.tree.flatten(x)[0]), lambda i: gathered(stored, i), weights=tensors(weights), **known)

    def fetch(self, indices: tf.Tensor, numbers: tf.Tensor | None = None) -> Batch:
        """Return the batch of these examples; augmented if random numbers are given, one row per example."""
        pictures, targets = self.load(indices)
        if numbers is not None and self.augmentation:
            pictures = self.augmentation.apply(pictures, numbers)
        inputs = self.inputs.preprocess(pictures, self.augmentation) if self.inputs else pictures
        batch = inputs, self.targets(pictures, targets) if self.targets else inputs
        return batch if self.weights is None else (*batch, gathered(self.weights, indices))

    def in_order(self, batch_size: int, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Return batches of all examples in their stored order, without augmentation, for evaluation and prediction.

        Batches are fetched by index: one gather per batch is far cheaper than stacking single examples.
        """
        with tf.device("/CPU:0"):
            every = tf.range(self.size, dtype=tf.int64)
            begins = tf.data.Dataset.from_tensor_slices(ranges(self.size, batch_size, shard))
            return prefetched(begins, lambda each: self.fetch(every[each[0] : each[1]]))

    @functools.cached_property
    def element_spec(self) -> Batch:
        """Shapes and dtypes of a batch, as those of a dataset."""
        return self.in_order(1).element_spec

    def take(self, indices: np.ndarray) -> Batch:
        """Return the examples at these indices as NumPy arrays."""
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), self.fetch(tf.constant(indices, tf.int64)))

    def pictures(self, indices: np.ndarray) -> np.ndarray:
        """Return the images at these indices, as `load` returns them."""
        return self.load(tf.constant(indices, tf.int64))[0].numpy()

    def limited(self, limit: int | None) -> Split:
        """Return at most `limit` examples, each class in proportion, in their stored order."""
        if not limit or limit >= self.size:
            return self
        return self.subset(np.arange(limit) if self.shuffled else np.sort(order(self.size, self.labels)[:limit]))

    def subset(self, chosen: np.ndarray) -> Split:
        """Return the examples at these indices."""
        stored, load, names = tensors(chosen), self.load, self.names
        return dataclasses.replace(
            self,
            size=len(chosen),
            load=lambda indices: load(tf.gather(stored, indices)),
            labels=None if self.labels is None else self.labels[chosen],
            names=None if names is None else [names[i] for i in chosen.tolist()],
            weights=gathered(self.weights, stored),
        )

    def balanced(self) -> Split:
        """Return a split with balanced class weights, n / (classes * examples of the class)."""
        if self.labels is None or self.weights is not None:
            raise UserError("--class-weight is for data with classes and without weights of its own.", "Leave it out.")
        if keras.tree.is_nested(self.element_spec[1]):
            raise UserError("--class-weight is for models of one output.", "Leave it out.")
        counts = np.bincount(self.labels)
        weights = self.size / (np.count_nonzero(counts) * counts[self.labels])
        return dataclasses.replace(self, weights=tensors(weights.astype(np.float32)))


def prefetched(dataset: tf.data.Dataset, function: Callable[..., Any]) -> tf.data.Dataset:
    """Map a function over a dataset in parallel and in order, and prefetch.

    AutoGraph is disabled: there is nothing to convert, and parsing the code takes half a second.
    """
    function = tf.autograph.experimental.do_not_convert(function)
    return untuned(dataset.map(function, num_parallel_calls=min(system.cores(), MOST_CALLS)).prefetch(2))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Disable tf.data's autotuning.

    Autotuning wakes up after 10, 30, 70, 150 ms and so on, doubling its interval, and an iterator that ends often waits
    for the next wake-up: an epoch of 6 s took up to 10 s.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def tensors(arrays: Arrays) -> Any:
    """Convert arrays to tensors in CPU memory, where the input pipeline runs; float64 to Keras's float, as in `fit`."""
    with tf.device("/CPU:0"):
        return None if arrays is None else keras.tree.map_structure(_tensor, arrays)


def _tensor(array: Any) -> tf.Tensor:
    return tf.constant(array, keras.config.floatx() if getattr(array, "dtype", None) == np.float64 else None)


def gathered(stored: Any, indices: tf.Tensor) -> Any:
    """Gather the examples at these indices from each tensor."""
    return None if stored is None else keras.tree.map_structure(lambda each: tf.gather(each, indices), stored)


def ranges(size: int, batch_size: int, shard: Shard) -> np.ndarray:
    """Return start and end of each share of this process, batch by batch; int64, shape (n, 2).

    A last batch with fewer examples than replicas is merged into the one before. Raises UserError if there are fewer
    examples than replicas.
    """
    if size < shard.replicas:
        raise UserError(f"{size} examples cannot be shared by {shard.replicas} devices.", "Take fewer devices.")
    starts = np.arange(0, size, batch_size)
    ends = np.minimum(starts + batch_size, size)
    if ends[-1] - starts[-1] < shard.replicas and len(starts) > 1:
        starts, ends = starts[:-1], np.append(ends[:-2], size)
    shares = np.arange(shard.first, shard.first + shard.local + 1)
    bounds = starts[:, None] + (ends - starts)[:, None] * shares // shard.replicas
    return np.stack([bounds[:, :-1], bounds[:, 1:]], axis=-1).reshape(-1, 2)


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

    def batches(self, epoch: int = 0, step: int = 0, end: int = 2**31) -> tf.data.Dataset:
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


@dataclasses.dataclass(frozen=True)
class Splits:
    """The data set of a run."""

    train: Split
    validation: Split  # selects the best epoch
    test: Split  # is read once, at the end
    classes: tuple[str, ...]  # the name of each, in the order of the labels; empty without classes
    # A description of the data for the manifest. `reference` is false if the recipes' documented results do not apply
    # to this data; `notes` are lines to print.
    source: dict[str, Any]
    prints: np.ndarray | None = None  # 64 bits of the SHA-256 of each training example's file, if they come from files

    def load(self, shape: Any) -> Splits:
        """Reshape images to the model's input shape, without the batch axis, or to a dict of shapes by input name.

        Raises UserError if the shapes do not match.
        """
        inputs = self.train.inputs
        if inputs is None or isinstance(inputs.shape, dict) or None in shape or shape == inputs.shape:
            return self
        if not isinstance(shape, dict) and (inputs.channels == 3 or math.prod(shape) != math.prod(inputs.shape)):
            problem = f"Pictures of {self.source['name']} have the shape {inputs.shape}, the model's input {shape}"
            raise UserError(f"{problem}.", "Grey ones take any shape of as many values.")
        inputs = dataclasses.replace(inputs, shape=shape)
        return self.map(lambda split: dataclasses.replace(split, inputs=inputs))

    def limited(self, limit: int | None) -> Splits:
        """Limit each split to at most `limit` examples."""
        return self.map(lambda split: split.limited(limit))

    def augmented(self, augmentation: Any) -> Splits:
        """Set the augmentation, and fit it to the training split if it needs statistics."""
        if augmentation == type(augmentation)():
            return self
        train, inputs = self.train, self.train.inputs
        if inputs is None:
            advice = 'Leave it out, or give uint8 pictures and their scale, as in from_arrays(..., scale="unit").'
            raise UserError(f"{self.source['name']} holds no pictures to augment.", advice)
        if augmentation.is_random and train.targets:
            targets = tf.nest.flatten(train.element_spec[1])
            flat = [(math.prod(inputs.size),)] * (train.labels is None)
            if any(tuple(each.shape[1:3]) == inputs.size or tuple(each.shape[1:]) in flat for each in targets):
                raise UserError("Random transforms would not move targets that are pictures.", "Leave out --augment.")
        if augmentation.needs_fit:
            parts = np.split(np.arange(train.size), range(1_024, train.size, 1_024))
            augmentation = augmentation.fit(inputs.scaled(train.pictures(i), augmentation) for i in parts)
        return self.map(lambda split: dataclasses.replace(split, augmentation=augmentation))

    def sizes(self) -> dict[str, int]:
        """Return the number of examples in each split."""
        return {name: getattr(self, name).size for name in SPLITS}

    def map(self, change: Callable[[Split], Split]) -> Splits:
        """Apply `change` to each split."""
        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in SPLITS}
        return dataclasses.replace(self, **changed)
