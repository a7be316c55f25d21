"""Training with Keras's `fit`, from the first step or from a checkpoint."""

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import keras
import tensorflow as tf

from keraskit import signals
from keraskit.errors import UserError, sentence
from keraskit.runs.folder import RunFolder
from keraskit.training.callbacks import Averages, Checkpoints, KeepBest
from keraskit.training.checkpoint import Checkpoint, Position
from keraskit.training.setup import TrainingSetup


def fit(setup: TrainingSetup, folder: RunFolder | None, start: Checkpoint | None = None) -> KeepBest:
    """Train from the first step, or from the checkpoint `start`, and save the best model and checkpoints.

    `folder` is None for a worker that writes nothing. Returns the callback that holds the history and the best epoch.
    Raises Stopped after a signal, once everything is saved.
    """
    model, epochs, settings, cluster = setup.training_copy, setup.epochs, setup.settings, setup.devices.cluster
    validation = setup.training_data.validation.in_order(settings.batch_size, cluster.shard)
    position = start.position if start else Position()
    end = position.epoch if position.stopped else settings.epochs
    patience, best = signals.Patience(), KeepBest(setup, folder, position)
    callbacks = [best, setup.callbacks, Averages(), Checkpoints(setup, best, start, patience)]
    if folder and settings.tensorboard:
        callbacks.insert(1, keras.callbacks.TensorBoard(folder.path / "tensorboard", write_graph=False))
    with (
        signals.sent_to(signals.stop if cluster.workers else patience),  # others would wait for a worker that ends
        setup.devices.scope,
        cluster.together(),
        enough_memory(settings.batch_size),
        mock.patch.object(model, "train_function", train_function(model, epochs.steps, position.step)),
    ):
        cluster.agree(first_epoch=position.epoch + 1)
        model.fit(
            cluster.distribute(epochs.batches(position.epoch, position.step, end)),
            steps_per_epoch=epochs.steps,
            validation_data=cluster.distribute(validation),
            initial_epoch=position.epoch,
            epochs=end,
            callbacks=callbacks,
            verbose=1 if sys.stdout is not None and sys.stdout.isatty() else 2,  # no progress bar in a log file
            shuffle=False,  # the dataset shuffles itself
        )
    if patience.asked:
        raise signals.Stopped(patience.asked, "Interrupted after training, and saved.")
    return best


@contextmanager
def enough_memory(batch_size: int) -> Iterator[None]:
    """Raise UserError if a batch does not fit into the device's memory."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        problem = f"A batch of {batch_size} does not fit into the memory of the device: {sentence(error.message)}"
        raise UserError(problem, f"Take less at once, such as --batch-size {max(batch_size // 2, 1)}.") from error


def train_function(model: keras.Model, steps: int, done: int) -> Callable[[Any], dict[str, Any]]:
    """Return the function that `fit` calls to run several steps at once; an epoch's last call runs the remaining steps.

    Keras's own would take steps of the next epoch. The first `done` steps are skipped: the iterator starts after them.
    """
    most = model.steps_per_execution

    def counts(done: int) -> list[int]:
        return [min(begin + most, steps) - max(begin, done) for begin in range(0, steps, most)]

    executions = itertools.chain(counts(done), itertools.cycle(counts(0)))
    model.make_train_function()
    one, step = model.train_function, tf.function(model.train_step, autograph=False, jit_compile=model.jit_compile)

    @tf.function(autograph=False)
    def several(iterator: Any, count: tf.Tensor) -> dict[str, tf.Tensor]:
        first = step(iterator.get_next())
        found = tf.while_loop(lambda i, _: i < count, lambda i, _: (i + 1, step(iterator.get_next())), (1, first))
        return found[1]

    def execute(iterator: Any) -> dict[str, Any]:
        count = next(executions)
        if count <= 0:
            return {}
        return one(iterator) if most == 1 else several(iterator, tf.constant(count))

    return execute
