"""Train with Keras's `fit`, from the first step or from a checkpoint; keep history, best model and checkpoints."""

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import keras
import tensorflow as tf

from keraskit import signals
from keraskit.errors import UserError, sentence
from keraskit.files import MODEL
from keraskit.models import weights
from keraskit.runs import metrics
from keraskit.runs.folder import CHECKPOINT, RunFolder
from keraskit.training import resume
from keraskit.training.resume import Checkpoint, Position
from keraskit.training.setup import TrainingSetup
from keraskit.training.user_callbacks import averages


def fit(setup: TrainingSetup, folder: RunFolder | None, start: Checkpoint) -> "KeepBest":
    """Train from the checkpoint `start`, or from the first step, and save the best model and checkpoints.

    `folder` is None for a worker that writes nothing. Returns the callback that holds the history and the best epoch.
    Raises Stopped after a signal, once everything is saved.
    """
    model, epochs, settings, cluster = setup.training_copy, setup.epochs, setup.settings, setup.devices.cluster
    validation = setup.training_data.validation.in_order(settings.batch_size, cluster.shard)
    position = start.position
    end = position.epoch if position.stopped else settings.epochs
    patience, best = signals.Patience(), KeepBest(setup, folder, position)
    callbacks = [best, setup.callbacks, Checkpoints(setup, best, start, patience)]
    if folder and settings.tensorboard:
        callbacks.insert(1, keras.callbacks.TensorBoard(folder.folder("tensorboard"), write_graph=False))
    with (
        signals.sent_to(signals.stop if cluster.workers else patience),  # others would wait for the worker that ends
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
    vars(model).pop("train_step", None)  # of acceleration: the caller may compile the model anew, with any loss
    best.stopped |= model.stop_training
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
    begins = itertools.cycle(range(0, steps, most))
    model.make_train_function()
    one, step = model.train_function, tf.function(model.train_step, autograph=False, jit_compile=model.jit_compile)

    @tf.function(autograph=False)
    def several(iterator: Any, count: tf.Tensor) -> dict[str, tf.Tensor]:
        first = step(iterator.get_next())
        found = tf.while_loop(lambda i, _: i < count, lambda i, _: (i + 1, step(iterator.get_next())), (1, first))
        return found[1]

    def execute(iterator: Any) -> dict[str, Any]:
        nonlocal done
        begin = next(begins)
        end = min(begin + most, steps)
        count = end - max(begin, done)
        done = 0 if end == steps else done
        if count <= 0:
            return {}
        return one(iterator) if most == 1 else several(iterator, tf.constant(count))

    return execute


class KeepBest(keras.callbacks.Callback):
    """Keep the history, and the best model by the monitored validation metric; without a folder, save nothing.

    Ties are broken by the lower validation loss: accuracies on few examples are often equal. Vector metrics are split
    into one log entry per element, so this callback must come before all callbacks that read the logs.
    """

    def __init__(self, setup: TrainingSetup, folder: RunFolder | None, position: Position) -> None:
        super().__init__()
        self.setup, self.folder, self.rows, self.best_epoch = setup, folder, [*position.rows], position.best_epoch
        self.position, self.stopped = position, position.stopped  # whether a callback ended the training

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.started = time.monotonic() - self.position.seconds * (epoch == self.position.epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        numbers = metrics.flat(logs)
        logs.clear()
        logs.update(numbers)
        self.rows.append({"epoch": epoch + 1, **numbers, "seconds": round(time.monotonic() - self.started, 3)})
        if best_epoch(self.rows, *self.setup.monitor) == epoch + 1:
            self.best_epoch = epoch + 1
            self.setup.update_model()
            if self.folder:
                with self.folder.atomic(MODEL, durable=True) as path, weights.uncompiled(self.setup.model):
                    self.setup.model.save(path)
                self.folder.update_manifest(best_epoch=self.best_epoch)
        if self.folder:
            self.folder.write_history(self.rows)


def best_epoch(rows: metrics.Rows, monitor: str, sign: float) -> int:
    """Return the first epoch, from 1, with the highest (monitored metric, -loss) of a history; NaN is worst."""
    if monitor not in rows[-1]:
        raise UserError(f"The run monitors {monitor}; measured are {', '.join(rows[-1])}.", "Monitor one of these.")
    scores = [(sign * row.get(monitor, math.nan), -row.get("val_loss", 0.0)) for row in rows]
    ranked = [tuple(-math.inf if math.isnan(each) else each for each in score) for score in scores]
    return 1 + ranked.index(max(ranked))


class Checkpoints(keras.callbacks.Callback):
    """Save checkpoints, restore the one in `start`, and stop the run after a signal, which `patience` records.

    Must come last, so that it saves and restores the other callbacks as they are after the same step. They see the
    optimizer's averaged weights (`use_ema`) from validation to epoch end; SwapEMAWeights swaps by adding and
    subtracting, which would change the last bits of the trained ones.
    """

    def __init__(self, setup: TrainingSetup, best: KeepBest, start: Checkpoint, patience: signals.Patience) -> None:
        super().__init__()
        self.best, self.start, self.patience, self.user = best, start, patience, setup.callbacks
        self.steps, self.every = setup.epochs.steps, setup.settings.save_every or setup.epochs.steps
        self._alone = not setup.devices.cluster.workers  # reading metrics would involve all workers

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.start.restore(self.model, self.user)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._done = epoch, 0
        position = self.start.position
        if position.step and position.epoch == epoch:  # undo what the start of the epoch has changed
            self.start.restore(self.model, self.user)
            self._done = self.user.done = position.step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Save if a checkpoint is due or a signal has come. `batch` is the last step of an execution, counted from 0.

        After an epoch's last step, or if a callback has stopped the training, `on_epoch_end` saves instead. Raises
        UserError if the loss is no finite number.
        """
        if not math.isfinite(loss := (logs or {}).get("loss", 0.0)):
            problem = f"The loss became {loss} by step {min(batch + 1, self.steps)} of epoch {self._epoch + 1}."
            raise UserError(problem, "Lower the learning rate, or the inputs' scale; labels count from 0.")
        before, self._done = self._done, max(self._done, min(batch + 1, self.steps))
        due = self._done // self.every > before // self.every or self.patience.asked
        if due and self._alone and self._done < self.steps and not self.model.stop_training:
            self.save(self._epoch, self._done)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._trained = []
        if averages(self.model.optimizer):
            self._trained = [variable.numpy() for variable in self.model.trainable_variables]
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        with self.model.distribute_strategy.scope():
            for variable, value in zip(self.model.trainable_variables, self._trained, strict=False):
                variable.assign(value)
        self.save(epoch + 1, 0)

    def save(self, epoch: int, step: int) -> None:
        """Write a checkpoint. Raises Stopped after a signal, OSError if the file cannot be written."""
        best, stopped = self.best, self.model.stop_training
        if not best.folder:
            return
        states, arrays = self.user.state()
        spent = time.monotonic() - best.started if step else 0.0
        position = Position(
            epoch=epoch, step=step, seconds=spent, rows=best.rows, best_epoch=best.best_epoch, stopped=stopped,
            callbacks=states,
        )  # fmt: skip
        with best.folder.atomic(CHECKPOINT, durable=True) as path:
            resume.write(path, self.model, position, arrays, self._alone)
        if self.patience.asked:
            when = f"step {step} of epoch {epoch + 1}" if step else f"epoch {epoch}"
            raise signals.Stopped(self.patience.asked, f"Interrupted after {when}, and saved.")
