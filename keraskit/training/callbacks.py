"""Callbacks that keep on disk what a run must not lose: the best model, the history, and where training stands."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import keras
import numpy as np

from keraskit import signals
from keraskit.datasets.epochs import ShuffledEpochs
from keraskit.errors import UserError
from keraskit.runs.folder import CHECKPOINT, MODEL, STATISTICS, RunFolder
from keraskit.training import checkpoint
from keraskit.training.checkpoint import Position
from keraskit.training.monitor import averages
from keraskit.training.setup import TrainingSetup
from keraskit.training.user_callbacks import UserCallbacks


class SetEpoch(keras.callbacks.Callback):
    """Tells the input pipeline which epoch begins."""

    def __init__(self, epochs: ShuffledEpochs) -> None:
        super().__init__()
        self._epochs = epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epochs.begin(epoch, last=epoch + 1 == self.params["epochs"])


class Averages:
    """An optimizer's averages of weights (`use_ema`), which from validation to its end an epoch's model holds.

    So they are what is validated, kept and tested, as with `SwapEMAWeights`; which swaps by sums and differences, and
    would change the last bits of what is trained on.
    """

    def __init__(self, model: keras.Model, scope: Callable[[], AbstractContextManager[Any]]) -> None:
        self._model, self._scope = model, scope
        self._trained: list[np.ndarray] = []

    def show(self) -> None:
        """Set the weights to their averages."""
        optimizer, weights = self._model.optimizer, self._model.trainable_variables
        if averages(optimizer) and not self._trained:
            self._trained = [variable.numpy() for variable in weights]
            type(optimizer).finalize_variable_values(optimizer, weights)

    def hide(self) -> None:
        """Set the weights back to what is trained on."""
        with self._scope():
            for variable, value in zip(self._model.trainable_variables, self._trained, strict=False):
                variable.assign(value)
        self._trained = []


class KeepBest(keras.callbacks.Callback):
    """Keeps the history, and the best model by the monitored validation metric; `Checkpoints` says when to write them.

    Of equally good ones the best has the lower validation loss: accuracies of few examples are often equal. A worker
    that writes nothing has no folder.
    """

    def __init__(self, folder: RunFolder | None, setup: TrainingSetup) -> None:
        super().__init__()
        self.folder, self.setup = folder, setup
        self.averages = Averages(setup.training_copy, setup.place.cluster.scope)
        self.rows: list[dict[str, float]] = []
        self.best_epoch = 0
        self.fitting = 0.0  # seconds, of processes before this one too
        self._best = -float("inf")
        self._model_sha256: str | None = None
        self._improved = False
        self._before = 0.0  # seconds of this epoch that another process spent

    def position(self, epoch: int, step: int) -> Position:
        """Where training stands after so many epochs, and steps of the next one."""
        spent = self._spent() if step else 0.0
        known = self.rows, self._best, self.best_epoch, self._model_sha256, self.model.stop_training
        return Position(epoch, step, spent, self.fitting + spent, *known)

    def take(self, position: Position) -> None:
        """Go on from there."""
        self.rows, self._best, self.best_epoch = list(position.rows), position.best, position.best_epoch
        self.fitting, self._before = position.fitting - position.spent, position.spent
        self._model_sha256 = position.model_sha256
        there = self._saved() and self.folder and self.folder.sha256(MODEL)
        if self.best_epoch and there != self._model_sha256:
            self._best = -float("inf")  # a later epoch's, whose end the checkpoint has not seen; or it is gone

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic() - self._before
        self._before = 0.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        numbers = dict(logs or {})
        self.rows.append({"epoch": epoch + 1, **numbers, "seconds": round(self._spent(), 3)})
        self.fitting += self._spent()
        score = self._score(self.rows[-1])
        losses = [row.get("val_loss", 0.0) for row in (self.rows[-1], self.rows[self.best_epoch - 1])]
        equal = score == self._best and losses[0] < losses[1]
        better = score > self._best or equal or not self._saved()
        self._improved = better and math.isfinite(numbers.get("loss", 0.0))  # weights without a loss are worth nothing
        if self._improved:
            self._best, self.best_epoch = score, epoch + 1
            if self.setup.head is not self.model:
                self.setup.head.set_weights(self.model.get_weights())

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        monitor = self.setup.monitor[0]
        if self.folder and all(math.isnan(row.get(monitor, math.nan)) for row in self.rows):
            print(f"NOTE: {monitor} was not a number in any epoch; the best was chosen by val_loss", flush=True)

    def _score(self, row: dict[str, float]) -> float:
        """Higher is better; whatever is not a number is worse than all numbers."""
        monitor, sign = self.setup.monitor
        value = row.get(monitor, math.nan)
        return -math.inf if math.isnan(value) else sign * value

    def write(self, folder: RunFolder) -> None:
        """Write the model if the last epoch's is the best so far, and the history."""
        augmentation = self.setup.splits.train.augmentation
        statistics = augmentation and augmentation.statistics
        if statistics and not (folder.path / STATISTICS).exists():
            with folder.atomic(STATISTICS) as path:
                statistics.save(path)
        if self._improved:
            with folder.atomic(MODEL, durable=True) as path, uncompiled(self.setup.model) as model:
                model.save(path)
            self._model_sha256 = folder.sha256(MODEL)
            self._improved = False
        folder.write_history(self.rows)

    def _spent(self) -> float:
        return time.monotonic() - self._started

    def _saved(self) -> bool:
        return self.folder is not None and (self.folder.path / MODEL).exists()


@contextmanager
def uncompiled(model: keras.Model) -> Iterator[keras.Model]:
    """The model without its optimizer, as it is summarised and saved: plain Keras then loads it without a warning."""
    compiled, model.compiled = model.compiled, False
    optimizer, model.optimizer = getattr(model, "optimizer", None), None
    try:
        yield model
    finally:
        model.compiled, model.optimizer = compiled, optimizer


class Checkpoints(keras.callbacks.Callback):
    """Writes everything at the end of each epoch, where training stands also within one; stops when a signal asked.

    Training goes on from the step `reached` of its first epoch, and after a stop by `command`.
    """

    def __init__(
        self, keeper: KeepBest, user: UserCallbacks, patience: signals.Patience, reached: int, command: str
    ) -> None:
        super().__init__()
        assert keeper.folder  # which this process has locked
        self.folder, self.keeper, self.user, self.command = keeper.folder, keeper, user, command
        setup = keeper.setup
        self.steps, self.every = setup.epochs.steps, setup.settings.save_every
        self.patience, self._reached = patience, reached
        self._within = not setup.place.cluster.workers  # else reading an epoch's metrics takes all workers

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Save if it is time, or if a signal has come. `batch` is the last step, from 0, of those handed over at once.

        After an epoch's last step, or where a callback has ended the training, the epoch's end is near, which saves
        more.
        """
        done = batch + 1
        due = self.every and done // self.every > self._reached // self.every
        self._reached = done
        ends = done == self.steps or self.model.stop_training
        if self._within and not ends and (due or self.patience.asked):
            self.save(self._epoch, done)
            self.stop_if_asked(f"after step {done} of epoch {self._epoch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._reached = 0
        self.save(epoch + 1, 0)
        self.stop_if_asked(f"after epoch {epoch + 1}")

    def stop_if_asked(self, when: str) -> None:
        """Raises Stopped when a signal has come."""
        if self.patience.asked:
            raise signals.Stopped(self.patience.asked, f"Interrupted {when}, and saved. Go on with: {self.command}")

    def save(self, epoch: int, step: int) -> None:
        """Write where training stands, after what must be there when it goes on. A kill in between repeats the epoch.

        Raises:
            UserError: the folder cannot be written, or is another by now; what was saved before is whole.
        """
        self.folder.check()
        try:
            self.keeper.write(self.folder)
            self.keeper.averages.hide()
            callbacks, arrays = self.user.state()
            position = dataclasses.replace(self.keeper.position(epoch, step), callbacks=callbacks)
            with self.folder.atomic(CHECKPOINT, durable=True) as path:
                checkpoint.write(path, self.model, position, arrays)
        except OSError as error:
            problem = f"{self.folder.path} cannot be written: {error.strerror or error}."
            advice = f"What was saved before is whole. When that is mended, go on with: {self.command}"
            raise UserError(problem, advice) from error
