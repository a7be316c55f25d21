"""Start TensorFlow without its start-up messages, at the first `import keras` after `import keraskit`.

TensorFlow prints a dozen lines before its own log level is read, so no environment variable silences them. Stderr is
held back while it starts; lines known to be harmless are dropped, all others are printed.
"""

import functools
import gc
import importlib.util
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

BEGAN = time.perf_counter()  # about the start of the program
_CHATTER = (
    "before absl::InitializeLog|oneDNN custom operations are on|Could not find cuda drivers|cpu_feature_guard"
    "|To enable the following instructions|XLA service|StreamExecutor|Compiled cluster using XLA"
    "|tf_tfl_flatbuffer_helpers|flatbuffer_export|fully_quantize: "
)
_NO_GPU_CHATTER = "failed call to cuInit|Cannot dlopen some GPU libraries|Skipping registering GPU"


@contextmanager
def quietly(known: str = "") -> Iterator[None]:
    """Hold back stderr inside the block, then print it without harmless lines and those that match `known`."""
    if os.environ.get("KERASKIT_DEBUG") or sys.stderr is None:
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # from here on: warnings and errors
    gpu = any(Path("/dev").glob("nvidia*")) or Path("/usr/lib/wsl/lib/libcuda.so.1").exists()
    no_gpu = "" if gpu else _NO_GPU_CHATTER
    chatter = re.compile("|".join(filter(None, (_CHATTER, no_gpu, known))).encode())
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            with suppress(OSError):  # a full disk
                os.write(2, b"".join(line for line in held if not chatter.search(line)))


class QuietImport:
    """Finder for `sys.meta_path` that makes the first import of Keras or TensorFlow quiet."""

    onednn: str | None = "1"  # to turn it on; a resumed run has what it had, None where that was TensorFlow's choice
    command = False  # a command loads it: that is said on a terminal, and other backends are refused

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the usual spec, with a quiet `exec_module`."""
        if name not in ("keras", "tensorflow"):
            return None
        sys.meta_path.remove(self)
        if spec := importlib.util.find_spec(name):
            loader: Any = spec.loader
            loader.exec_module = functools.partial(_execute, loader.exec_module)
        return spec


def _execute(load: Callable[[ModuleType], None], module: ModuleType) -> None:
    """Import Keras or TensorFlow and list devices, which takes 3 to 5 seconds."""
    if QuietImport.command and sys.stderr and sys.stderr.isatty():
        print("loading TensorFlow ...", file=sys.stderr, flush=True)
    if QuietImport.command:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # whatever ~/.keras/keras.json names
    gc.disable()  # scanning a million permanent objects takes a fifth of the time
    # TensorFlow leaves oneDNN off on CPUs without AVX512_VNNI.
    if QuietImport.onednn and platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", QuietImport.onednn)
    try:
        with quietly():
            load(module)
            if tf := sys.modules.get("tensorflow"):  # not with another backend
                tf.config.list_physical_devices()
                # Several models in one process each trace their own function, which TensorFlow warns of.
                tf.get_logger().addFilter(lambda record: "triggered tf.function retracing" not in record.getMessage())
    finally:
        gc.enable()
    if QuietImport.command:
        gc.freeze()  # else the collector scans all of it, for a second at exit alone
        start_tensorflow()


def start_tensorflow() -> None:
    """Import Keras with TensorFlow. Raises UserError for another backend."""
    import keras

    from keraskit.errors import UserError

    if keras.backend.backend() != "tensorflow":
        problem = f"Keras runs on {keras.backend.backend()} here, and keraskit needs TensorFlow."
        raise UserError(problem, "Set KERAS_BACKEND=tensorflow, or unset it.")


if TYPE_CHECKING:
    import tensorflow as tf
else:

    class _TensorFlow:
        """TensorFlow, imported on first use: recipes are read, and their models built, without it."""

        def __getattr__(self, name: str) -> Any:
            start_tensorflow()
            return getattr(importlib.import_module("tensorflow"), name)

    tf = _TensorFlow()
