"""What Keras's `fit` needs to train on several devices or machines, and to lose no time between epochs."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any
from unittest import mock

import keras
import tensorflow as tf

from keraskit.datasets import pipeline
from keraskit.models import keras_internals

WHOLE = getattr(*keras_internals.REDUCE_PER_REPLICA)


def distribute(dataset: tf.data.Dataset, strategy: tf.distribute.Strategy, devices: int) -> Any:
    """Return a dataset of this process's shards, one device's after another's, as `fit` takes it under the strategy.

    Where a process has one device, that is the dataset itself, which Keras takes for distributed already: TensorFlow's
    own takes 80 ms to make at the beginning of an epoch, and asks all workers before each step whether there is more.
    """
    if devices == 1:
        made = copy.copy(dataset)
        made.__class__ = type("OneShard", (type(dataset), tf.distribute.DistributedDataset), {})
        return made
    distributed = strategy.distribute_datasets_from_function(lambda _: dataset)
    if (batches := int(dataset.cardinality())) > 0:  # else it has no end
        keras_internals.set_cardinality(distributed, batches // devices)
    return distributed


@contextlib.contextmanager
def fit_repaired(strategy: tf.distribute.Strategy | None) -> Iterator[None]:
    """Make Keras's `fit` right and fast under the strategy, inside the block.

    Datasets that a strategy makes for each device do not take over the option that switches autotuning off. On several
    machines Keras would also reduce a nest of per-replica values at once to build the model, which is built already.
    """
    create = getattr(*keras_internals.DEVICE_DATASET)
    with contextlib.ExitStack() as stack:
        if strategy:
            untuned = lambda *given: pipeline.untuned(create(*given))  # noqa: E731
            stack.enter_context(mock.patch.object(*keras_internals.DEVICE_DATASET, untuned))
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            stack.enter_context(mock.patch.object(*keras_internals.REDUCE_PER_REPLICA, reduce_per_replica))
            stack.enter_context(mock.patch.object(*keras_internals.MAYBE_SYMBOLIC_BUILD, lambda *_, **__: None))
        yield


def reduce_per_replica(values: Any, strategy: tf.distribute.Strategy, reduction: str) -> Any:
    """Reduce metrics to their means: of all at once, since each exchange takes its time.

    Keras's trainer asks for the mean along an axis of scalars, which fails on several machines.
    """
    if reduction not in ("auto", "mean"):
        return WHOLE(values, strategy, reduction)
    flat = keras.tree.flatten(values)
    shapes = [strategy.experimental_local_results(value)[0].shape for value in flat]
    row = strategy.run(lambda *each: tf.concat([tf.reshape(tf.cast(v, tf.float32), [-1]) for v in each], 0), flat)
    parts = tf.split(strategy.reduce("MEAN", row, axis=None), [shape.num_elements() for shape in shapes])
    return keras.tree.pack_sequence_as(values, [tf.reshape(p, s) for p, s in zip(parts, shapes, strict=True)])
