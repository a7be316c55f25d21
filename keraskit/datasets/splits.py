"""Split and Splits: a data set in three parts, each of which hands out batches by index."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keraskit.ahead import ahead
from keraskit.augment import Augmentation
from keraskit.augment.transform import draws, transform
from keraskit.datasets.inputs import Inputs
from keraskit.datasets.layout import PARTS
from keraskit.errors import UserError

Batch = tuple[Any, Any]  # (inputs, targets), each a tensor or a dict of tensors


@dataclasses.dataclass(frozen=True)
class Share:
    """Which of the equal parts of every batch this process takes: from `first` on, `local` of `replicas` parts."""

    replicas: int = 1
    first: int = 0
    local: int = 1


ALONE = Share()


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set. A batch is loaded, augmented, scaled, standardised, and put into the model's shape.

    Args:
        size: the number of examples.
        load: given int64 indices of shape (batch,), returns (pictures from 0 to 255, labels). Runs inside tf.data,
            in tensors alone: AutoGraph does not convert it.
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

    def in_order(self, batch_size: int, share: Share = ALONE) -> tf.data.Dataset:
        """Batches of all examples in their stored order, as they are, for evaluation and prediction."""
        return _in_order(self.size, batch_size, self.fetch, share)

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
        share: which part of every batch to hand out, where several devices or machines train together.
    """

    def __init__(
        self, split: Split, batch_size: int, seed: int, steps: int | None = None, share: Share = ALONE
    ) -> None:
        if split.size < 1:
            raise UserError("The training split is empty.", "Check the data, or raise --limit.")
        self.split, self.batch_size, self.seed, self.share = split, batch_size, seed, share
        self._seen = steps * batch_size if steps else split.size
        self._parts = shares(self._seen, batch_size, share)
        self.steps = len(self._parts) // share.local
        order, numbers = self._drawn(0)
        with tf.device("/CPU:0"):  # where tf.data runs, whatever trains
            self._order = tf.Variable(order, trainable=False, name="order")
            self._numbers = None if numbers is None else tf.Variable(numbers, trainable=False, name="numbers")
        self._epoch, self._begun, self._last = 0, True, False
        self._ahead: Iterator[Batch] | None = None
        self._batches = self.after(0)
        self.dataset = _opened_by(self._open, self._batches)

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
        self._epoch, self._ahead = epoch, None

    def _open(self) -> Iterator[Batch]:
        """The iterator of the epoch that has begun; asked again, that of the next."""
        if self._begun:
            iterator, self._begun, self._ahead = self._ahead or iter(self._batches), False, None
            return iterator
        if self._last:
            return iter(())
        self._draw(self._epoch + 1)
        self._ahead = iter(self._batches)
        return self._ahead

    def after(self, done: int) -> tf.data.Dataset:
        """The batches of the epoch that remain after so many steps."""

        def fetch(chosen: tf.Tensor) -> Batch:
            return self.split.fetch(
                chosen % self.split.size, None if self._numbers is None else tf.gather(self._numbers, chosen)
            )

        return _batches(self._order, self._parts[done * self.share.local :], fetch)

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
                if self.split.augmentation.is_random:
                    numbers.append(draws(size, its_own))
            return tf.concat(order, 0), tf.concat(numbers, 0) if numbers else None


def shares(size: int, batch_size: int, share: Share) -> np.ndarray:
    """Where each part begins and ends, shape (parts, 2), int64: batch by batch, in each this process's parts in turn.

    A last batch too small for every replica to get an example joins the one before. Raises UserError where there are
    fewer examples than replicas.
    """
    if size < share.replicas:
        raise UserError(f"{size} examples cannot be shared by {share.replicas} devices.", "Take fewer devices.")
    starts = np.arange(0, size, batch_size)
    ends = np.minimum(starts + batch_size, size)
    if ends[-1] - starts[-1] < share.replicas and len(starts) > 1:
        starts, ends = starts[:-1], np.append(ends[:-2], size)
    parts = np.arange(share.first, share.first + share.local + 1)
    bounds = starts[:, None] + (ends - starts)[:, None] * parts // share.replicas
    return np.stack([bounds[:, :-1], bounds[:, 1:]], axis=-1).reshape(-1, 2)


def _opened_by(opened: Callable[[], Iterator[Batch]], dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset, but Python's `iter` of it is what `opened` returns."""
    made = copy.copy(dataset)
    made.__class__ = type("Opened", (type(dataset),), {"__iter__": lambda _: opened()})
    return made


def _in_order(size: int, batch_size: int, fetch: Callable[[tf.Tensor], Any], share: Share = ALONE) -> tf.data.Dataset:
    with tf.device("/CPU:0"):
        return _batches(tf.range(size, dtype=tf.int64), shares(size, batch_size, share), fetch)


def _batches(order: tf.Tensor, parts: np.ndarray, fetch: Callable[[tf.Tensor], Any]) -> tf.data.Dataset:
    """Fetch whole batches by index: one gather a batch costs far less than stacking single examples."""
    return ahead(tf.data.Dataset.from_tensor_slices(parts), lambda part: fetch(order[part[0] : part[1]]))
