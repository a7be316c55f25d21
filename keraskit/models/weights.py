"""Load untrusted model and weight files: bound the sizes they declare, and leave the rest to Keras."""

import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import keras

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MOST_CONFIG = 10_000_000  # bytes; Keras's largest application takes 1.5 million
MOST_CONFIGS = 50_000  # of layers, initializers and so on, as often as they are called; Keras's largest has 13,083
MOST_RATIO, SLACK = 100, 16_000_000  # of bytes declared to bytes stored, and bytes allowed beyond it
DEPTH, MOST_OBJECTS = 50, 50_000  # of groups in a file, and of groups and arrays; Keras's largest has 2,000
MOST_OUTPUT, MOST_OUTPUTS = 300_000_000, 20_000_000_000  # bytes of a layer's, and all layers', output for one example


def load(path: Path, own: Mapping[str, Any] | None = None) -> keras.Model:
    """Load a `.keras` file, uncompiled, in Keras's safe mode, which refuses code, links and external files.

    `own` are custom classes and functions by name. Raises ValueError if it is refused, or any exception of Keras's.
    """
    config, add = {**check(path), "compile_config": None}, keras.Sequential.add
    # Keras builds a Sequential model anew for each layer, in quadratic time.
    with mock.patch.object(keras.Sequential, "add", lambda model, layer, **_: add(model, layer, rebuild=False)):
        check_built(lambda: keras.saving.deserialize_keras_object(config, own, safe_mode=True), path)
        return keras.saving.load_model(path, own, compile=False, safe_mode=True)


def check_built(build: Callable[[], Any], path: Path) -> None:
    """Raise ValueError if a model declares more weights than the file in `path` holds, or gives out too much."""
    model, stored = unallocated(build), path.stat().st_size
    if not isinstance(model, keras.Model):
        raise ValueError(f"refused: it holds a {type(model).__name__}, no model")
    ops = {each for layer in model._flatten_layers() for each in getattr(layer, "operations", [layer])}
    nodes = [(op, node) for op in ops for node in op._inbound_nodes]
    shapes = [(op.name, out.shape[1:]) for op, node in nodes for out in node.output_tensors]
    for op, node in nodes:
        if "Attention" in type(op).__name__:  # scores of each place of the first input for each of the second
            places = (side for each in node.input_tensors[:2] for side in each.shape[1:-1])
            shapes.append((op.name, (getattr(op, "num_heads", 1), *places)))
    sizes = [(4 * math.prod(side or 1 for side in shape), name) for name, shape in shapes]
    (most, name), total = max(sizes, default=(0, "")), sum(size for size, _ in sizes)
    if most > MOST_OUTPUT or total > MOST_OUTPUTS:
        raise ValueError(f"refused: its layers give out {total:,} bytes for one example, {name} {most:,}")
    declared = sum(math.prod(variable.shape) for variable in model.variables)
    if declared > stored + SLACK // 4:  # a weight takes at least one byte
        raise ValueError(f"refused: it declares {declared:,} weights, and has {stored:,} bytes")


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
        if (count := _count(config := json.loads(archive.read(CONFIG)))) > MOST_CONFIGS:
            raise ValueError(f"refused: its {CONFIG} has {count:,} layers and the like; {MOST_CONFIGS:,} are allowed")
        return config


def _count(tree: Any) -> int:
    """Count the objects of a configuration, those of a model within as often as it is called."""
    if isinstance(tree, dict):
        return len(tree.get("inbound_nodes") or "1") * (1 + _count([*tree.values()]))
    return sum(map(_count, tree)) if isinstance(tree, list) else 0


def _check_arrays(file: h5py.File, stored: int) -> None:
    """Raise ValueError if the arrays of an HDF5 file are far larger than its `stored` bytes."""
    sizes: list[int] = []

    def look(name: str, found: Any) -> None:
        whole = isinstance(found, h5py.Dataset) and (found.shape or (), found.chunks or ())  # a chunk is read whole
        sizes.append(max(map(math.prod, whole)) * found.dtype.itemsize if whole else 0)
        if name.count("/") > DEPTH or len(sizes) > MOST_OBJECTS:  # each takes longer to visit than the last
            raise ValueError(f"refused: it has more than {MOST_OBJECTS:,} groups and arrays, or {DEPTH} in each other")

    file.visititems(look)
    if sum(sizes) > MOST_RATIO * stored + SLACK:
        raise ValueError(f"refused: its arrays claim {sum(sizes) / 1e9:,.1f} GB, and it has {stored:,} bytes")


def unallocated(build: Callable[[], Any]) -> Any:
    """Call `build`, which builds a model, so that it has shapes but no weights."""

    def stateless() -> Any:
        with keras.StatelessScope(initialize_variables=False):
            return build()

    with ThreadPoolExecutor(1) as thread:  # Keras keeps a list of these weights, by thread, and would allocate them
        return thread.submit(stateless).result()


def uncompiled(model: keras.Model) -> AbstractContextManager[object]:
    """Hide the optimizer inside the block: a model saved so loads in plain Keras without a warning."""
    return mock.patch.multiple(model, compiled=False, optimizer=None)
