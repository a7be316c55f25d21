"""Shows how training goes: Keras's bar on a terminal, elsewhere plain lines; for long runs, the time it will take."""

import sys
import time
from typing import Any

import keras

LONG = 60.0  # seconds: from here on a run says beforehand how long it will take, and an epoch says where it is
MEASURE = 3.0  # seconds of steps that the first estimate is measured on


class Progress(keras.callbacks.Callback):
    """Says after the first steps how long the run will take.

    With `lines`, prints a line per epoch, and one a minute within a long epoch; otherwise Keras's bar does that.
    """

    def __init__(self, lines: bool) -> None:
        super().__init__()
        self.lines = lines
        self._said = False
        self._steps = 0  # timed so far; the first execution compiles and does not count
        self._stepping = self._between = 0.0  # seconds in timed steps, and around them (validation, saving)
        self._epochs_timed = 0
        self._first: int | None = None  # epoch; a run that goes on does not begin with the first

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._first = epoch if self._first is None else self._first
        self._epoch_started = self._line_at = self._last = time.monotonic()
        self._step = -1
        self._first_of_run = not self._epochs_timed

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        now = time.monotonic()
        if self._step >= 0 or not self._first_of_run:
            self._steps += batch - self._step
            self._stepping += now - self._last
        self._last, self._step = now, batch
        if not self._said and self._stepping > MEASURE:
            self._said = True
            if (left := self.left()) > LONG:
                start = "" if self.lines else "\r\033[K"
                step = self._stepping / self._steps
                print(f"{start}this will take about {duration(left)} ({step:.2g} s a step, measured)", flush=True)
        if self.lines and now - self._line_at > LONG:
            self._line_at = now
            where = f"epoch {self._epoch + 1}/{self.params['epochs']}  step {batch + 1}/{self.params['steps']}"
            print(f"{where}  {_numbers(logs)}  about {duration(self.left())} left", flush=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        now = time.monotonic()
        self._between += now - self._last
        self._epochs_timed += 1
        if self.lines:
            epochs = self.params["epochs"]
            more = f"  about {duration(self.left())} left" if epoch + 1 < epochs else ""
            where = f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}"
            print(f"{where}  {_numbers(logs)}  {now - self._epoch_started:.1f} s{more}", flush=True)

    def left(self) -> float:
        """Seconds that the run still needs, by the steps and the validations timed so far."""
        per_epoch = self.params["steps"]
        steps = per_epoch * (self.params["epochs"] - self._epoch) - (self._step + 1)
        after = self.params["epochs"] - (self._first or 0) - self._epochs_timed
        between = self._between / self._epochs_timed if self._epochs_timed else 0.0
        step = self._stepping / self._steps if self._steps else 0.0
        return step * steps + between * after


def _numbers(logs: dict[str, Any] | None) -> str:
    return "  ".join(f"{name} {float(value):.4f}" for name, value in (logs or {}).items())


def for_this_output() -> tuple[int, list[keras.callbacks.Callback]]:
    """`fit`'s verbose, and the callbacks that go with it. A bar would fill a log file with backspaces."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return int(terminal), [Progress(lines=not terminal)]


def duration(seconds: float) -> str:
    """`95` as `1 min 35 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
