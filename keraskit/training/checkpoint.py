"""Callbacks that keep the best model and the history on disk while training goes on."""

from __future__ import annotations

import math
import time
from typing import Any

import keras

from keraskit.results.run_folder import MODEL, RunFolder


class SetEpoch(keras.callbacks.Callback):
    """Tells the input pipeline which epoch begins."""

    def __init__(self, variable: Any) -> None:
        super().__init__()
        self._variable = variable

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the variable."""
        self._variable.assign(epoch)


class KeepBest(keras.callbacks.Callback):
    """Writes model.keras whenever the monitored validation metric improves, and history.csv after every epoch.

    Args:
        folder: where to write.
        deliverable: the float32 model that is saved.
        learner: that model, or the part of it that learns; it takes the weights of the model in training.
        monitor: the metric in the logs. Losses and errors should fall, everything else should rise.
    """

    def __init__(self, folder: RunFolder, deliverable: keras.Model, learner: keras.Model, monitor: str) -> None:
        super().__init__()
        self.folder, self.deliverable, self.learner, self.monitor = folder, deliverable, learner, monitor
        self.rows: list[dict[str, float]] = []
        self.best_epoch = 0
        self._sign = -1.0 if any(word in monitor for word in ("loss", "error")) else 1.0
        self._best = -float("inf")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the epoch's clock."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the epoch; save the model if it is the best so far."""
        logs = logs or {}
        numbers = {name: float(value) for name, value in logs.items()}
        self.rows.append({"epoch": epoch + 1, **numbers, "seconds": round(time.monotonic() - self._started, 3)})
        self.folder.write_history(self.rows)
        score = self._sign * numbers[self.monitor]
        if score > self._best and math.isfinite(numbers["loss"]):  # weights that gave no loss are not worth keeping
            self._best, self.best_epoch = score, epoch + 1
            if self.learner is not self.model:
                self.learner.set_weights(self.model.get_weights())
            with self.folder.atomic(MODEL) as path:
                self.deliverable.save(path)
