"""Starts TensorFlow for a program: keeps its start-up chatter off the screen and passes on whatever else it says.

Notes when the command began that it is started for, so that a run can count this as a part of its time.

TensorFlow prints a dozen lines before its own log level is read, so no environment variable silences them. We hold
back the process's stderr while it starts, drop the lines known to concern nobody, and print all others.
"""

import gc
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import FrameType, ModuleType

from keraskit.errors import UserError

_CHATTER = re.compile(
    rb"before absl::InitializeLog|oneDNN custom operations are on|Could not find cuda drivers|cpu_feature_guard"
    rb"|To enable the following instructions|XLA service|StreamExecutor|Compiled cluster using XLA"
)
_NO_GPU_CHATTER = re.compile(rb"failed call to cuInit|Cannot dlopen some GPU libraries|Skipping registering GPU")
_began: list[float] = []  # when a command began, by time.monotonic, until its run asks
_held: list[int] = []  # the real stderr while it is held back


def begin(ago: float = 0.0) -> None:
    """Note that a command begins, or began so many seconds ago."""
    _began[:] = [time.monotonic() - ago]


def spent() -> float:
    """Seconds since the command began; 0 for a run that another one started, and without a command."""
    return time.monotonic() - _began.pop() if _began else 0.0


@contextmanager
def quietly() -> Iterator[None]:
    """Hold back stderr for the length of a `with` block, and then print what matters of it."""
    if _held or os.environ.get("KERASKIT_DEBUG"):
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # from here on: warnings and errors
    try:
        sys.stderr.flush()
        real = os.dup(2)
    except (OSError, AttributeError):  # no stderr at all: nothing to keep quiet
        yield
        return
    with tempfile.TemporaryFile(buffering=0) as file:
        os.dup2(file.fileno(), 2)
        _held.append(real)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(_held.pop(), 2)
            file.seek(0)
            no_gpu = not any(Path("/dev").glob("nvidia*"))
            for line in file.readlines():
                if not _CHATTER.search(line) and not (no_gpu and _NO_GPU_CHATTER.search(line)):
                    os.write(real, line)
            os.close(real)


def asked_by_the_program() -> bool:
    """Whether the file that runs as the program is importing something of keraskit now, not a library or a session."""
    frame: FrameType | None = sys._getframe(1)
    while frame and frame.f_globals.get("__name__") in ("keraskit", "importlib._bootstrap"):
        frame = frame.f_back
    return bool(frame and frame.f_globals.get("__name__") == "__main__" and "__file__" in frame.f_globals)


def quiet_import() -> None:
    """Keep the chatter off the screen when TensorFlow is imported, which the next line of a recipe does."""
    if "tensorflow" not in sys.modules and not any(isinstance(finder, _QuietImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuietImport())


class _QuietImport(MetaPathFinder):
    """Finds TensorFlow as it would be found without it, once, and holds back stderr for as long as it loads."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """TensorFlow's spec; None for all others, which are found elsewhere."""
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec and spec.loader:
            load = spec.loader.exec_module

            def load_quietly(module: ModuleType) -> None:
                with quietly(), _uncollected():
                    load(module)

            spec.loader.exec_module = load_quietly  # type: ignore[method-assign]
        return spec


@contextmanager
def _uncollected() -> Iterator[None]:
    """Import modules, whose million objects stay for good, without the garbage collector looking through them.

    That is a fifth of the time that importing TensorFlow takes.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _is_for_users(record: logging.LogRecord) -> bool:
    """Several models in one process each compile their own function; TensorFlow tells programmers that it noticed."""
    return "triggered tf.function retracing" not in record.getMessage()


def start_tensorflow() -> None:
    """Import TensorFlow and Keras and look for devices, without the chatter. Takes 3 to 5 seconds the first time."""
    with quietly(), _uncollected():
        import keras
        import tensorflow as tf

        tf.config.list_physical_devices()
        tf.get_logger().addFilter(_is_for_users)
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"Keras runs on {keras.backend.backend()} here, and keraskit needs TensorFlow.",
            "Set KERAS_BACKEND=tensorflow, or unset it.",
        )


def wait_for_tensorflow() -> None:
    """Import TensorFlow, and say so where somebody waits."""
    waiting = sys.stderr.isatty() and "tensorflow" not in sys.modules
    if waiting:
        print("loading TensorFlow ...", end="\r", file=sys.stderr, flush=True)
    start_tensorflow()
    if waiting:
        print("\033[K", end="\r", file=sys.stderr, flush=True)
