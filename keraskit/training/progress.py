"""Shows how training goes: Keras's bar on a terminal, elsewhere one plain line per epoch with the time left."""

import sys
import time
from typing import Any

import keras


class EpochLines(keras.callbacks.Callback):
    """Prints a line per epoch: `epoch 3/10  loss 0.0512  accuracy 0.9841  ...  1.6 s  about 11 s left`."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        self._first: int | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note when the epoch began."""
        self._first = epoch if self._first is None else self._first
        self._epoch_started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the line."""
        now, epochs = time.monotonic(), self.params["epochs"]
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        done = epoch + 1 - (self._first or 0)
        left = (now - self._started) / done * (epochs - epoch - 1)
        remaining = f"  about {duration(left)} left" if epoch + 1 < epochs else ""
        width = len(str(epochs))
        print(
            f"epoch {epoch + 1:{width}}/{epochs}  {numbers}  {now - self._epoch_started:.1f} s{remaining}", flush=True
        )


def for_this_output() -> tuple[int, list[keras.callbacks.Callback]]:
    """`fit`'s verbose, and the callbacks that go with it. A bar would fill a log file with backspaces."""
    return (1, []) if sys.stdout is not None and sys.stdout.isatty() else (0, [EpochLines()])


def duration(seconds: float) -> str:
    """`95` as `1 min 35 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
