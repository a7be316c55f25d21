"""Opens model and weight files that anybody may have made: bounds what they claim, and leaves the rest to Keras."""

import inspect
import io
import json
import math
import random
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras
from keras.src.backend.common import global_state  # no public name; see `unallocated`

from keraskit.errors import UserError, sentence

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MOST_CONFIG = 10_000_000  # bytes; Keras's largest application takes one and a half million
MOST_RATIO = 100  # of what is declared to what is stored; weights hardly shrink
SLACK = 16_000_000  # bytes that are no bomb, whatever the ratio
MOST_NODES, MOST_DEPTH = 20_000, 50  # in an HDF5 file; looking at so many takes a second
MOST_OUTPUT = 2_000_000_000  # bytes that one layer may make of one example


def load(path: Path) -> keras.Model:
    """Load a `.keras` file, uncompiled, in Keras's safe mode: it refuses code, links, and files outside of this one.

    Raises:
        ValueError: it claims more than it holds; the message says what. Keras raises anything else for what it refuses.
    """
    config = check(path)
    with unallocated():
        model = _made(config)
    for layer in model._flatten_layers():
        for tensor in keras.tree.flatten(_output(layer)):
            if 4 * math.prod(size or 1 for size in tensor.shape) > MOST_OUTPUT:
                raise ValueError(f"refused: its layer {layer.name} gives out {tensor.shape} for one example")
    declared, stored = sum(math.prod(variable.shape) for variable in model.variables), path.stat().st_size
    if declared > stored + SLACK:  # each takes a byte at least
        raise ValueError(f"refused: it declares {declared:,} weights, and has {stored:,} bytes")
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _made(config: Any) -> keras.Model:
    """Build the model that a configuration describes."""
    if not isinstance(config, dict):
        raise ValueError(f"its {CONFIG} describes no model")
    model = keras.saving.deserialize_keras_object({**config, "compile_config": None}, safe_mode=True)
    if not isinstance(model, keras.Model):
        raise ValueError(f"it holds a {type(model).__name__}, no model")
    return model


def check(path: Path) -> Any:
    """Refuse a `.keras` or HDF5 file that would unpack to far more than it has. Returns the former's configuration.

    Raises:
        OSError: it is no HDF5 file.
        ValueError: it is no archive of Keras's, is damaged or refused; the message says why.
    """
    if path.suffix != ".keras":
        with h5py.File(path) as file:
            return _bound(file, path.stat().st_size)
    if not zipfile.is_zipfile(path):
        raise ValueError("refused: it is no .keras file, or half of one")
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.file_size > MOST_RATIO * member.compress_size + SLACK:
                sizes = f"{member.compress_size:,} bytes that claim to be {member.file_size:,}"
                raise ValueError(f"refused: its {member.filename} has {sizes}")
        if archive.getinfo(CONFIG).file_size > MOST_CONFIG:
            raise ValueError(f"refused: its {CONFIG} has more than {MOST_CONFIG:,} bytes")
        with h5py.File(io.BytesIO(archive.read(WEIGHTS))) as file:
            _bound(file, archive.getinfo(WEIGHTS).file_size)
        return json.loads(archive.read(CONFIG))


def _bound(file: h5py.File, size: int) -> None:
    """Raise ValueError if an HDF5 file of so many bytes holds much larger arrays, or groups without end."""
    total = count = 0

    def look(name: str, found: Any) -> str | None:  # what a visitor returns ends the visit
        nonlocal total, count
        count += 1
        if name.count("/") > MOST_DEPTH or count > MOST_NODES:
            return f"it has more than {MOST_NODES:,} groups and arrays, or some nested deeper than {MOST_DEPTH}"
        if isinstance(found, h5py.Dataset):
            total += math.prod(found.shape or ()) * found.dtype.itemsize
        claim = f"its arrays claim {total / 1e9:,.1f} GB, and it has {size:,} bytes"
        return claim if total > MOST_RATIO * size + SLACK else None

    if problem := file.visititems(look):
        raise ValueError(f"refused: {problem}")


def own_objects(build: Callable[..., Any]) -> dict[str, Any]:
    """The classes and functions that a builder's module knows, as Keras's `custom_objects`."""
    known = getattr(inspect.unwrap(build), "__globals__", {})
    return {
        name: value
        for name, value in known.items()
        if inspect.isclass(value) or inspect.isfunction(value)
        if not str(value.__module__).startswith("keras.") and not hasattr(keras.activations, name)
    }


def why_not_loaded(model: keras.Model, build: Callable[..., Any]) -> str:
    """The layer because of which Keras would not load this model once it is saved, and why; empty where it would.

    Nothing is allocated. The classes and functions of the module of `build`, which made it, are known.

    Raises:
        UserError: it could not even be saved.
    """

    def problem(layer: keras.Layer) -> str:
        text = json.dumps({**keras.saving.serialize_keras_object(layer), "compile_config": None})
        if not re.search(r'"registered_name": "|"__lambda__"', text):
            return ""  # nothing but Keras's own
        try:
            with unallocated(), keras.saving.custom_object_scope(own_objects(build)):
                again = keras.saving.deserialize_keras_object(json.loads(text), safe_mode=True)
        except Exception as error:  # from layers of anybody's
            return reason(error)
        had, has = (sorted(tuple(variable.shape) for variable in each.variables) for each in (layer, again))
        return "" if had == has else f"it has {len(had)} variables, and {len(has)} once loaded"

    try:
        if not (found := problem(model)):
            return ""
        where = [(layer.name, said) for layer in model._flatten_layers(include_self=False) if (said := problem(layer))]
    except Exception as error:
        said = str(error).strip().partition("\n\n")[0].replace("\n", " ")  # before an example
        raise UserError(f"{model.name} could not be saved, as Keras says: {sentence(said)}") from error
    name, said = where[-1] if where else (model.name, found)  # the innermost
    return f"{name}: {sentence(said)}"


def reason(error: Exception) -> str:
    """The innermost of the reasons that Keras gives, one within another."""
    said = str(error).rpartition("Exception encountered: ")[2].partition(" Full object config:")[0].strip()
    several = "objects could not be loaded" in said  # the first of which an empty line comes before
    return (said.partition("\n\n")[2].strip() if several else said) or type(error).__name__


@contextmanager
def unallocated() -> Iterator[None]:
    """Models that are built here have shapes and no weights, and leave seeds and names for those after them as is."""
    known = {
        name: global_state.get_global_attribute(name) for name in ("uninitialized_variables", "global_seed_generator")
    }
    names = dict(global_state.get_global_attribute("object_name_uids") or {})
    seeds = random.getstate()
    global_state.set_global_attribute("uninitialized_variables", [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:  # else Keras would allocate what was built with the next scope that ends
        for name, value in known.items():
            global_state.set_global_attribute(name, value)
        global_state.set_global_attribute("object_name_uids", defaultdict(int, names))
        random.setstate(seeds)


def _output(layer: keras.Layer) -> Any:
    try:
        return layer.output
    except (AttributeError, ValueError):  # used several times, or never
        return []
