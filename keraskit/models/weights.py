"""Load model and weight files that anybody may have made: bound what they claim, and leave the rest to Keras."""

import contextlib
import io
import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import keras
from keras.src.backend.common import global_state  # no public name; see `unallocated`

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MOST_CONFIG = 10_000_000  # bytes; Keras's largest application takes one and a half million
MOST_RATIO, SLACK = 100, 16_000_000  # of bytes declared to bytes stored, and what is no bomb whatever the ratio
MOST_OUTPUT = 2_000_000_000  # bytes that one layer may make of one example


def load(path: Path) -> keras.Model:
    """Load a `.keras` file, uncompiled, in Keras's safe mode: it refuses code, links, and files outside of this one.

    Raises ValueError where the file claims more than it holds. Keras raises anything else for what it refuses.
    """
    with unallocated():
        model = keras.saving.deserialize_keras_object({**check(path), "compile_config": None}, safe_mode=True)
    if not isinstance(model, keras.Model):
        raise ValueError(f"refused: it holds a {type(model).__name__}, no model")
    operations = [each for layer in model._flatten_layers() for each in getattr(layer, "operations", [layer])]
    for tensor in (tensor for each in operations for node in each._inbound_nodes for tensor in node.output_tensors):
        if 4 * math.prod(size or 1 for size in tensor.shape) > MOST_OUTPUT:
            name = tensor._keras_history.operation.name
            raise ValueError(f"refused: its {name} gives out {tensor.shape} for one example")
    declared, stored = sum(math.prod(variable.shape) for variable in model.variables), path.stat().st_size
    if declared > stored + SLACK:  # each takes a byte at least
        raise ValueError(f"refused: it declares {declared:,} weights, and has {stored:,} bytes")
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def check(path: Path) -> Any:
    """Refuse a `.keras` or HDF5 file that would unpack to far more than it has; return the former's configuration."""
    if path.suffix != ".keras":
        with h5py.File(path) as file:
            return _check_arrays(file, path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            most = MOST_CONFIG if member.filename == CONFIG else MOST_RATIO * member.compress_size + SLACK
            if member.file_size > most:
                raise ValueError(f"refused: its {member.filename} claims {member.file_size:,} bytes")
        with h5py.File(io.BytesIO(archive.read(WEIGHTS))) as file:
            _check_arrays(file, archive.getinfo(WEIGHTS).file_size)
        return json.loads(archive.read(CONFIG))


def _check_arrays(file: h5py.File, stored: int) -> None:
    """Raise ValueError where the arrays of an HDF5 file of so many bytes are far larger than it."""
    sizes: list[int] = []

    def look(_: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset):
            sizes.append(math.prod(found.shape or ()) * found.dtype.itemsize)

    file.visititems(look)
    if sum(sizes) > MOST_RATIO * stored + SLACK:
        raise ValueError(f"refused: its arrays claim {sum(sizes) / 1e9:,.1f} GB, and it has {stored:,} bytes")


def reason(error: Exception) -> str:
    """The innermost of the reasons that Keras gives, one within another."""
    said = str(error).rpartition("Exception encountered: ")[2].partition(" Full object config:")[0]
    return said.rpartition(":\n\n")[2].strip() or type(error).__name__


@contextlib.contextmanager
def unallocated() -> Iterator[None]:
    """Build models with shapes and no weights."""
    before = {
        name: global_state.get_global_attribute(name) for name in ("uninitialized_variables", "global_seed_generator")
    }
    global_state.set_global_attribute("uninitialized_variables", [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:  # else Keras would allocate what was built with the next scope that ends
        for name, value in before.items():
            global_state.set_global_attribute(name, value)


def uncompiled(model: keras.Model) -> contextlib.AbstractContextManager[object]:
    """The model without its optimizer, as it is summarised and saved: plain Keras then loads it without a warning."""
    return mock.patch.multiple(model, compiled=False, optimizer=None)
