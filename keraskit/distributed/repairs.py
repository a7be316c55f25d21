"""What Keras's `fit` needs to train on several devices or machines, and to lose no time between epochs."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any
from unittest import mock

import keras
import tensorflow as tf

from keraskit.datasets import pipeline


def distribute(dataset: tf.data.Dataset, strategy: tf.distribute.Strategy, devices: int) -> Any:
    """A dataset of this process's shares, one device's after another's, as `fit` takes it under the strategy.

    Where a process has one device, that is the dataset itself, which Keras takes for distributed already.
    TensorFlow's own copies each batch through a second pipeline, which takes 80 ms to make at the beginning of an
    epoch, and asks all workers before each step whether there is more: here all have the same number of steps.
    """
    if devices == 1:
        made = copy.copy(dataset)
        made.__class__ = type("OneShare", (type(dataset), tf.distribute.DistributedDataset), {})
        return made
    distributed = strategy.distribute_datasets_from_function(lambda _: dataset)
    # It counts every device's part, and Keras takes them for steps.
    distributed._cardinality = int(dataset.cardinality()) // devices
    return distributed


@contextlib.contextmanager
def fit_repaired(strategy: tf.distribute.Strategy | None) -> Iterator[None]:
    """Keras's `fit` made right and fast under the strategy, for as long as this lasts."""
    with contextlib.ExitStack() as stack:
        if strategy:
            stack.enter_context(_untuned())
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            stack.enter_context(_reducing())
        yield


@contextlib.contextmanager
def _untuned() -> Iterator[None]:
    """tf.data's autotuning off in the datasets that a strategy makes for each device.

    They take no options of the dataset that they hand on, and each epoch would wait for them (`pipeline.untuned`).
    """
    from tensorflow.python.data.ops import multi_device_iterator_ops as iterators

    create = iterators._create_device_dataset
    with mock.patch.object(iterators, "_create_device_dataset", lambda *given: pipeline.untuned(create(*given))):
        yield


@contextlib.contextmanager
def _reducing() -> Iterator[None]:
    """Metrics reduced over several machines.

    Keras's trainer reduces a whole nest of per-replica values at once to build the model, which is built already, and
    asks for the mean along an axis of scalars. Here the first is left out, the second the mean of the values: of all
    at once, since each exchange takes its time.
    """
    from keras.src.backend.tensorflow import trainer

    whole = trainer.reduce_per_replica

    def reduce_per_replica(values: Any, strategy: tf.distribute.Strategy, reduction: str) -> Any:
        if reduction not in ("auto", "mean"):
            return whole(values, strategy, reduction)
        shapes = [strategy.experimental_local_results(value)[0].shape for value in keras.tree.flatten(values)]
        together = strategy.run(lambda each: tf.concat([_row(v) for v in keras.tree.flatten(each)], 0), args=(values,))
        sizes = [shape.num_elements() for shape in shapes]
        parts = tf.split(strategy.reduce("MEAN", together, axis=None), sizes)
        means = [tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]
        return keras.tree.pack_sequence_as(values, means)

    with (
        mock.patch.object(trainer, "reduce_per_replica", reduce_per_replica),
        mock.patch.object(trainer.TensorFlowTrainer, "_maybe_symbolic_build", lambda *_, **__: None),
    ):
        yield


def _row(value: Any) -> tf.Tensor:
    """A metric, of whatever shape and kind, as a row that others can follow."""
    return tf.reshape(tf.cast(value, tf.float32), [-1])
