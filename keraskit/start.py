"""Starts TensorFlow for a program: keeps its start-up chatter off the screen and passes on whatever else it says.

Notes when the command began that it is started for, so that a run can count this as a part of its time.

TensorFlow prints a dozen lines before its own log level is read, so no environment variable silences them. We hold
back the process's stderr while it starts, drop the lines known to concern nobody, and print all others.
"""

import gc
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from keraskit import stand_ins
from keraskit.errors import UserError

_CHATTER = (
    "before absl::InitializeLog|oneDNN custom operations are on|Could not find cuda drivers|cpu_feature_guard"
    "|To enable the following instructions|XLA service|StreamExecutor|Compiled cluster using XLA"
    "|tf_tfl_flatbuffer_helpers|flatbuffer_export|fully_quantize: "
)
_NO_GPU_CHATTER = "failed call to cuInit|Cannot dlopen some GPU libraries|Skipping registering GPU"
_began: list[float] = []  # when a command began, by time.monotonic, until its run asks
_held: list[int] = []  # the real stderr while it is held back
_started: list[bool] = []  # whether TensorFlow was, by us
_frozen: list[bool] = []  # whether the collector was told to leave it alone


def begin(ago: float = 0.0) -> None:
    """Note that a command begins, or began so many seconds ago."""
    _began[:] = [time.monotonic() - ago]


def spent() -> float:
    """Seconds since the command began; 0 for a run that another one started, and without a command."""
    return time.monotonic() - _began.pop() if _began else 0.0


@contextmanager
def quietly(known: str = "") -> Iterator[None]:
    """Hold back stderr inside the block, then print what matters of it: lines with `known` in them do not either."""
    if _held or os.environ.get("KERASKIT_DEBUG"):
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # from here on: warnings and errors
    no_gpu = "" if any(Path("/dev").glob("nvidia*")) else _NO_GPU_CHATTER
    chatter = re.compile("|".join(filter(None, (_CHATTER, no_gpu, known))).encode())
    try:
        sys.stderr.flush()
        real = os.dup(2)
    except (OSError, AttributeError):  # no stderr at all: nothing to keep quiet
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        _held.append(real)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(_held.pop(), 2)
            os.close(real)
            held.seek(0)
            for line in held:
                if not chatter.search(line):
                    os.write(2, line)


def asked_by_the_program() -> bool:
    """Whether the file that runs as the program is importing something of keraskit now, not a library or a session."""
    frame: FrameType | None = sys._getframe(1)
    while frame and frame.f_globals.get("__name__") in ("keraskit", "importlib._bootstrap"):
        frame = frame.f_back
    return bool(frame and frame.f_globals.get("__name__") == "__main__" and "__file__" in frame.f_globals)


def import_keras() -> None:
    """Import Keras, and TensorFlow if Keras computes with it, and look for devices, without the chatter.

    Takes 3 to 5 seconds the first time.
    """
    if _started or stand_ins.active():
        return
    collecting = gc.isenabled()
    gc.disable()  # to look through a million objects that stay for good takes a fifth of the time
    try:
        with quietly():
            import keras

            if keras.backend.backend() == "tensorflow":
                import tensorflow as tf

                tf.config.list_physical_devices()
                # Several models in one process each compile their own function: TensorFlow tells programmers of it.
                tf.get_logger().addFilter(lambda record: "triggered tf.function retracing" not in record.getMessage())
    finally:
        if collecting:
            gc.enable()
    _started.append(True)


def start_tensorflow() -> None:
    """The same. Raises UserError where Keras computes with something else."""
    import_keras()
    import keras

    if keras.backend.backend() != "tensorflow":
        problem = f"Keras runs on {keras.backend.backend()} here, and keraskit needs TensorFlow."
        raise UserError(problem, "Set KERAS_BACKEND=tensorflow, or unset it.")


def wait_for_tensorflow() -> None:
    """Import TensorFlow for a command, and say so where somebody waits."""
    waiting = sys.stderr is not None and sys.stderr.isatty() and not _started
    if waiting:
        print("loading TensorFlow ...", end="\r", file=sys.stderr, flush=True)
    start_tensorflow()
    if waiting:
        print("\033[K", end="\r", file=sys.stderr, flush=True)
    keep_tensorflow()


def keep_tensorflow() -> None:
    """Where it was started, spare the collector its million objects, for good: at the end alone they take a second."""
    if _started and not _frozen:
        _frozen.append(True)
        gc.freeze()


if TYPE_CHECKING:
    import tensorflow as tf
else:

    class _TensorFlow:
        """The module, imported at the first use: recipes are read, and their models built, without it."""

        def __getattr__(self, name: str) -> Any:
            start_tensorflow()
            import tensorflow

            return getattr(tensorflow, name)

    tf = _TensorFlow()
