"""Shows how training goes: Keras's bar on a terminal, elsewhere a line per epoch."""

import sys
import time
from typing import Any

import keras


class EpochLines(keras.callbacks.Callback):
    """Print a line per epoch; from the second on, with the time left: the first compiles."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._ended = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        seconds, epochs = time.monotonic() - self._began, self.params["epochs"]
        self._ended += 1
        left = seconds * (epochs - epoch - 1)
        more = f"  about {duration(left)} left" if self._ended > 1 and left else ""
        numbers = "  ".join(f"{name} {float(value):.4f}" for name, value in (logs or {}).items())
        print(f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}  {numbers}  {seconds:.1f} s{more}", flush=True)


def for_this_output() -> tuple[int, list[keras.callbacks.Callback]]:
    """`fit`'s verbose, and the callbacks that go with it. A bar would fill a log file with backspaces."""
    return (1, []) if sys.stdout is not None and sys.stdout.isatty() else (0, [EpochLines()])


def duration(seconds: float) -> str:
    """`95` as `1 min 35 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
