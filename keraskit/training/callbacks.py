"""Callbacks that save the best model, the history and checkpoints."""

import math
import time
from typing import Any

import keras

from keraskit import signals
from keraskit.errors import UserError
from keraskit.files import MODEL
from keraskit.models import weights
from keraskit.runs import metrics
from keraskit.runs.folder import CHECKPOINT, RunFolder
from keraskit.training import checkpoint
from keraskit.training.checkpoint import Checkpoint, Position
from keraskit.training.setup import TrainingSetup
from keraskit.training.user_callbacks import averages


class KeepBest(keras.callbacks.Callback):
    """Keep the history, and the best model by the monitored validation metric; without a folder, save nothing.

    Ties are broken by the lower validation loss: accuracies on few examples are often equal. Vector metrics are split
    into one log entry per element, so this callback must come before all callbacks that read the logs.
    """

    def __init__(self, setup: TrainingSetup, folder: RunFolder | None, position: Position) -> None:
        super().__init__()
        self.setup, self.folder, self.rows, self.best_epoch = setup, folder, [*position.rows], position.best_epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        numbers = metrics.flat(logs)
        logs.clear()
        logs.update(numbers)
        self.rows.append({"epoch": epoch + 1, **numbers, "seconds": round(time.monotonic() - self._started, 3)})
        if not self.best_epoch or self._score(self.rows[-1]) > self._score(self.rows[self.best_epoch - 1]):
            self.best_epoch = epoch + 1
            self.setup.update_model()
            if self.folder:
                with self.folder.atomic(MODEL, durable=True) as path, weights.uncompiled(self.setup.model):
                    self.setup.model.save(path)
        if self.folder:
            self.folder.write_history(self.rows)

    def _score(self, row: dict[str, float]) -> tuple[float, float]:
        """Return the epoch's score, (monitored metric, -loss): higher is better, NaN is worst."""
        monitor, sign = self.setup.monitor
        if monitor not in row:
            raise UserError(f"The run monitors {monitor}; measured are {', '.join(row)}.", "Monitor one of these.")
        score, loss = sign * row[monitor], row.get("val_loss", 0.0)
        return -math.inf if math.isnan(score) else score, -math.inf if math.isnan(loss) else -loss


class Averages(keras.callbacks.Callback):
    """Validate and save the optimizer's averaged weights (`use_ema`), held by the model from validation to epoch end.

    SwapEMAWeights swaps by adding and subtracting, which would change the last bits of the trained weights.
    """

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        weights = self.model.trainable_variables
        self._trained = []
        if averages(self.model.optimizer):
            self._trained = [variable.numpy() for variable in weights]
            self.model.optimizer.finalize_variable_values(weights)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        with self.model.distribute_strategy.scope():
            for variable, value in zip(self.model.trainable_variables, self._trained, strict=False):
                variable.assign(value)


class Checkpoints(keras.callbacks.Callback):
    """Save checkpoints, restore the one in `start`, and stop the run after a signal, which `patience` records.

    Must come last, so that it saves and restores the other callbacks as they are after the same step.
    """

    def __init__(
        self, setup: TrainingSetup, best: KeepBest, start: Checkpoint | None, patience: signals.Patience
    ) -> None:
        super().__init__()
        self.best, self.start, self.patience, self.user = best, start, patience, setup.callbacks
        self.steps, self.every = setup.epochs.steps, setup.settings.save_every or setup.epochs.steps
        self._within = not setup.devices.cluster.workers  # reading metrics in mid-epoch would involve all workers

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.start:
            self.start.restore(self.model, self.user)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._done = epoch, 0
        if self.start and self.start.position.step:  # undo what the start of the epoch has changed
            self.start.restore(self.model, self.user)
            self._done = self.user.done = self.start.position.step
        self.start = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Save if a checkpoint is due or a signal has come. `batch` is the last step of an execution, counted from 0.

        After an epoch's last step, or if a callback has stopped the training, `on_epoch_end` saves instead. Raises
        UserError if the loss is no finite number.
        """
        if not math.isfinite(loss := (logs or {}).get("loss", 0.0)):
            where = f"by step {min(batch + 1, self.steps)} of epoch {self._epoch + 1}"
            raise UserError(f"The loss became {loss} {where}.", "Lower --learning-rate.")
        before, self._done = self._done, max(self._done, min(batch + 1, self.steps))
        due = self._done // self.every > before // self.every or self.patience.asked
        if due and self._within and self._done < self.steps and not self.model.stop_training:
            self.save(self._epoch, self._done, f"after step {self._done} of epoch {self._epoch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.save(epoch + 1, 0, f"after epoch {epoch + 1}")

    def save(self, epoch: int, step: int, when: str) -> None:
        """Write a checkpoint. Raises Stopped after a signal, OSError if the file cannot be written."""
        best = self.best
        if not best.folder:
            return
        callbacks, arrays = self.user.state()
        position = Position(
            epoch=epoch,
            step=step,
            rows=best.rows,
            best_epoch=best.best_epoch,
            stopped=self.model.stop_training,
            callbacks=callbacks,
        )
        with best.folder.atomic(CHECKPOINT, durable=True) as path:
            checkpoint.write(path, self.model, position, arrays)
        if self.patience.asked:
            raise signals.Stopped(self.patience.asked, f"Interrupted {when}, and saved.")
