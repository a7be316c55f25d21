"""Training itself: Keras's `fit`, from the first step or from where a checkpoint stands."""

import itertools
import math
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import keras
import tensorflow as tf

from keraskit import signals
from keraskit.datasets.epochs import ShuffledEpochs
from keraskit.datasets.pipeline import stopping
from keraskit.distributed.cluster import StopTogether
from keraskit.errors import UserError, printable
from keraskit.runs.folder import RunFolder
from keraskit.training import resources
from keraskit.training.callbacks import Averages, Checkpoints, KeepBest
from keraskit.training.checkpoint import Checkpoint, Position
from keraskit.training.setup import TrainingSetup

NAMED = 8  # files at most, of a batch that gave no loss


def fit(setup: TrainingSetup, folder: RunFolder | None, start: Checkpoint | None = None) -> KeepBest:
    """Train from the first step, or from where `start` stands, and keep on disk what must not be lost.

    A worker that writes nothing has no folder. Returns what knows the history and the best epoch.

    Raises:
        Stopped: a signal came, and everything is saved.
        RunStopped: an example can no longer be read.
        UserError: the loss is no number any more, or the checkpoint is damaged.
        OSError: nothing can be saved.
    """
    model, epochs, settings, cluster = setup.training_copy, setup.epochs, setup.settings, setup.devices.cluster
    validation = setup.training_data.validation.in_order(settings.batch_size, cluster.share)
    position = start.position if start else Position()
    end = position.epoch if position.stopped else settings.epochs
    patience, best = signals.Patience(), KeepBest(setup, folder, position)
    stop = StopTogether(cluster, patience)
    callbacks: list[keras.callbacks.Callback] = [StopOnNonFinite(epochs), best, setup.callbacks, stop, Averages()]
    callbacks.append(Checkpoints(setup, best, start, stop.agreed))
    if folder and settings.tensorboard:
        callbacks.insert(2, keras.callbacks.TensorBoard(folder.path / "tensorboard", write_graph=False))
    precision = setup.choices.precision.value
    agreed = {"the first epoch": position.epoch + 1, "--precision": precision, "steps in an epoch": epochs.steps}
    with (
        signals.sent_to(patience),
        setup.devices.scope,
        cluster.together(),
        resources.enough_memory(settings.batch_size),
        stopping(),
        mock.patch.object(model, "train_function", train_function(model, epochs.steps, position.step)),
    ):
        cluster.agree(**agreed)
        model.fit(
            cluster.distribute(epochs.batches(position.epoch, position.step, end)),
            steps_per_epoch=epochs.steps,
            validation_data=cluster.distribute(validation),
            initial_epoch=position.epoch,
            epochs=end,
            callbacks=callbacks,
            verbose=1 if sys.stdout is not None and sys.stdout.isatty() else 2,  # a bar would fill a file
            shuffle=False,  # the dataset shuffles itself
        )
    if patience.asked:
        raise signals.Stopped(patience.asked, "Interrupted after training, and saved.")
    return best


def train_function(model: keras.Model, steps: int, done: int) -> Callable[[Any], dict[str, Any]]:
    """Return what `fit` calls for an execution of several steps, where an epoch's last one has the steps that remain.

    Keras's own would take the next epoch's. The first `done` steps of all are skipped: the iterator begins after them.
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


class StopOnNonFinite(keras.callbacks.Callback):
    """End a run at the step whose loss is infinite or not a number, and name that step and its files."""

    def __init__(self, epochs: ShuffledEpochs) -> None:
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._first = batch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if math.isfinite(loss):
            return
        first, last = self._first, min(batch, self.epochs.steps - 1)
        where = f"step {last + 1}" if first == last else f"one of the steps {first + 1} to {last + 1}"
        what = "infinite" if math.isinf(loss) else "not a number"
        problem = f"The loss became {what} in {where} of epoch {self._epoch + 1}{self._files(first, last)}."
        raise UserError(problem, "Lower --learning-rate.")

    def _files(self, first: int, last: int) -> str:
        names = self.epochs.split.names
        if names is None:
            return ""
        chosen = [names[i] for i in self.epochs.examples(self._epoch, first, last)]
        more = f" and {len(chosen) - NAMED} more" if len(chosen) > NAMED else ""
        return f", of {printable(', '.join(chosen[:NAMED]))}{more}"
