"""Patches for Keras's `fit` on several devices or machines, also to lose no time between epochs."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any
from unittest import mock

import keras
import tensorflow as tf

from keraskit.datasets import splits
from keraskit.models import keras_internals

WHOLE = getattr(*keras_internals.REDUCE_PER_REPLICA)


def distribute(dataset: tf.data.Dataset, strategy: tf.distribute.Strategy, devices: int) -> Any:
    """Return a dataset of this process's shards, device by device, for `fit` under the strategy.

    With one device per process, return the dataset itself, marked as distributed: TensorFlow's distributed dataset
    takes 80 ms to create at the start of an epoch, and asks all workers before each step whether data is left.
    """
    if devices == 1:
        made = copy.copy(dataset)
        made.__class__ = type("OneShard", (type(dataset), tf.distribute.DistributedDataset), {})
        return made
    distributed = strategy.distribute_datasets_from_function(lambda _: dataset)
    if (batches := int(dataset.cardinality())) > 0:  # otherwise it is infinite
        keras_internals.set_cardinality(distributed, batches // devices)
    return distributed


@contextlib.contextmanager
def fit_repaired(strategy: tf.distribute.Strategy | None) -> Iterator[None]:
    """Patch Keras's `fit` inside this context, to be correct and fast under the strategy.

    The datasets that a strategy creates for each device do not inherit the option that disables autotuning. Keras would
    also take the mean of per-replica batches to build the model, which is already built: shares may differ in size.
    """
    create = getattr(*keras_internals.DEVICE_DATASET)
    with contextlib.ExitStack() as stack:
        if strategy:
            untuned = lambda *given: splits.untuned(create(*given))  # noqa: E731
            stack.enter_context(mock.patch.object(*keras_internals.DEVICE_DATASET, untuned))
            stack.enter_context(mock.patch.object(*keras_internals.MAYBE_SYMBOLIC_BUILD, lambda *_, **__: None))
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            stack.enter_context(mock.patch.object(*keras_internals.REDUCE_PER_REPLICA, reduce_per_replica))
        yield


def reduce_per_replica(values: Any, strategy: tf.distribute.Strategy, reduction: str) -> Any:
    """Reduce all metrics to their means in one exchange between replicas, since each exchange takes time.

    Keras's trainer takes the mean of scalars along an axis, which fails on several machines.
    """
    if reduction not in ("auto", "mean"):
        return WHOLE(values, strategy, reduction)
    flat = keras.tree.flatten(values)
    shapes = [strategy.experimental_local_results(value)[0].shape for value in flat]
    row = strategy.run(lambda *each: tf.concat([tf.reshape(tf.cast(v, tf.float32), [-1]) for v in each], 0), flat)
    parts = tf.split(strategy.reduce("MEAN", row, axis=None), [shape.num_elements() for shape in shapes])
    return keras.tree.pack_sequence_as(values, [tf.reshape(p, s) for p, s in zip(parts, shapes, strict=True)])
