"""Load untrusted model and weight files: bound the sizes they declare, and leave the rest to Keras."""

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
MOST_CONFIG = 10_000_000  # bytes; Keras's largest application takes 1.5 million
MOST_CONFIGS = 30_000  # of layers, initializers and so on in it; Keras's largest has 13,083
MOST_RATIO, SLACK = 100, 16_000_000  # of bytes declared to bytes stored, and bytes allowed beyond it
DEPTH, MOST_OBJECTS = 50, 50_000  # of groups in a file, and of groups and arrays; Keras's largest has 2,000
MOST_OUTPUT, MOST_OUTPUTS = 1_000_000_000, 20_000_000_000  # bytes of a layer's, and all layers', output for one example


def load(path: Path) -> keras.Model:
    """Load a `.keras` file, uncompiled, in Keras's safe mode, which refuses code, links and external files.

    Raises ValueError if the file declares more than it holds; Keras may raise any exception.
    """
    with built_once(), unallocated():
        model = keras.saving.deserialize_keras_object({**check(path), "compile_config": None}, safe_mode=True)
    if not isinstance(model, keras.Model):
        raise ValueError(f"refused: it holds a {type(model).__name__}, no model")
    operations = [each for layer in model._flatten_layers() for each in getattr(layer, "operations", [layer])]
    outputs = [(op.name, out.shape) for op in operations for node in op._inbound_nodes for out in node.output_tensors]
    sizes = [(4 * math.prod(size or 1 for size in shape), name) for name, shape in outputs]
    (most, name), total = max(sizes, default=(0, "")), sum(size for size, _ in sizes)
    if most > MOST_OUTPUT or total > MOST_OUTPUTS:
        raise ValueError(f"refused: its layers give out {total:,} bytes for one example, {name} {most:,}")
    declared, stored = sum(math.prod(variable.shape) for variable in model.variables), path.stat().st_size
    if declared > stored + SLACK:  # a weight takes at least one byte
        raise ValueError(f"refused: it declares {declared:,} weights, and has {stored:,} bytes")
    with built_once():
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def check(path: Path) -> Any:
    """Raise ValueError if a `.keras` or HDF5 file unpacks to far more than its size; return the former's config."""
    if path.suffix != ".keras":
        with h5py.File(path) as file:
            return _check_arrays(file, path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        if (size := archive.getinfo(CONFIG).file_size) > MOST_CONFIG:
            raise ValueError(f"refused: its {CONFIG} claims {size:,} bytes")
        if (size := sum(each.file_size for each in archive.infolist())) > MOST_RATIO * path.stat().st_size + SLACK:
            raise ValueError(f"refused: its files claim {size:,} bytes")
        with h5py.File(io.BytesIO(archive.read(WEIGHTS))) as file:
            _check_arrays(file, path.stat().st_size)
        config = archive.read(CONFIG)
        if (count := config.count(b"{")) > MOST_CONFIGS:
            raise ValueError(f"refused: its {CONFIG} has {count:,} layers and the like; {MOST_CONFIGS:,} are allowed")
        return json.loads(config)


def _check_arrays(file: h5py.File, stored: int) -> None:
    """Raise ValueError if the arrays of an HDF5 file are far larger than its `stored` bytes."""
    sizes: list[int] = []

    def look(name: str, found: Any) -> None:
        sizes.append(math.prod(found.shape or ()) * found.dtype.itemsize if isinstance(found, h5py.Dataset) else 0)
        if name.count("/") > DEPTH or len(sizes) > MOST_OBJECTS:  # each takes longer to visit than the last
            raise ValueError(f"refused: it has more than {MOST_OBJECTS:,} groups and arrays, or {DEPTH} in each other")

    file.visititems(look)
    if sum(sizes) > MOST_RATIO * stored + SLACK:
        raise ValueError(f"refused: its arrays claim {sum(sizes) / 1e9:,.1f} GB, and it has {stored:,} bytes")


def reason(error: Exception) -> str:
    """Return the innermost message of Keras's nested errors."""
    message = str(error).rpartition("Exception encountered: ")[2].partition(" Full object config:")[0]
    return message.rpartition(":\n\n")[2].strip() or type(error).__name__


@contextlib.contextmanager
def unallocated() -> Iterator[None]:
    """Build models with shapes but without weights inside the block."""
    names = "uninitialized_variables", "global_seed_generator"
    before = {name: global_state.get_global_attribute(name) for name in names}
    global_state.set_global_attribute("uninitialized_variables", [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:  # else Keras would allocate these weights when the next scope ends
        for name, value in before.items():
            global_state.set_global_attribute(name, value)


def built_once() -> contextlib.AbstractContextManager[object]:
    """Build a Sequential model once when it is loaded; Keras builds it anew for each layer, in quadratic time."""
    add = keras.Sequential.add
    return mock.patch.object(keras.Sequential, "add", lambda model, layer, **_: add(model, layer, rebuild=False))


def uncompiled(model: keras.Model) -> contextlib.AbstractContextManager[object]:
    """Hide the optimizer inside the block: a model saved so loads in plain Keras without a warning."""
    return mock.patch.multiple(model, compiled=False, optimizer=None)
