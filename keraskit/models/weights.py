"""Opens model and weight files that anybody may have made; refuses code, ways to other files, bombs."""

import json
import math
import random
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras
from keras.src.backend.common import global_state  # no public name; see `unallocated`

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = {"metadata.json", CONFIG, WEIGHTS}  # Keras unpacks whatever else there is
MOST_CONFIG = 10_000_000  # bytes; Keras's largest application takes one and a half million
MOST_RATIO = 100  # of what is declared to what is stored; weights hardly shrink
SLACK = 16_000_000  # bytes that are no bomb, whatever the ratio
MOST_LINKS, MOST_DEPTH = 20_000, 50  # in an HDF5 file; looking at so many takes a second
MOST_OUTPUT = 2_000_000_000  # bytes that one layer may make of one example
_FILES = "reads files of this machine"
REFUSED = {
    **dict.fromkeys(("Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"), "runs code"),
    **dict.fromkeys(("StringLookup", "IntegerLookup", "TextVectorization"), _FILES),
}


def load(path: Path) -> keras.Model:
    """The model in a `.keras` file, uncompiled, in Keras's safe mode.

    Raises:
        ValueError: it is none, or is refused; the message says why. Keras raises anything else for a damaged file.
    """
    config, stored = check_archive(path)
    for named in re.findall(r'"class_name": "([^"]*)"', json.dumps(config)):  # classes and functions, at any depth
        if (name := named.rpartition(">")[2]) in REFUSED:
            raise ValueError(f"refused: it holds a {name}, which {REFUSED[name]}")
    if (declared := _declared(config)) > stored + SLACK:  # each takes a byte at least
        raise ValueError(f"refused: it declares {declared:,} weights, and holds {stored:,} bytes of them")
    model = keras.models.load_model(path, compile=False, safe_mode=True)
    if not isinstance(model, keras.Model):
        raise ValueError(f"it holds a {type(model).__name__}, no model")
    return model


def check_archive(path: Path) -> tuple[dict[str, Any], int]:
    """The configuration in a `.keras` file, and the bytes of its weights; ValueError where it holds anything else."""
    if not zipfile.is_zipfile(path):
        whole = "a whole model as .h5, which can hold code" if h5py.is_hdf5(path) else "no .keras file, or half of one"
        raise ValueError(f"refused: it is {whole}")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if others := sorted(set(names) - MEMBERS):
            raise ValueError(f"refused: it holds {others[0]!r}, which no run writes")
        if len(set(names)) < len(names):
            raise ValueError("refused: it holds two files of one name")
        for member in members:
            if member.file_size > MOST_RATIO * member.compress_size + SLACK:
                sizes = f"{member.compress_size:,} bytes that claim to be {member.file_size:,}"
                raise ValueError(f"refused: its {member.filename} has {sizes}")
        if archive.getinfo(CONFIG).file_size > MOST_CONFIG:
            raise ValueError(f"refused: its {CONFIG} has more than {MOST_CONFIG:,} bytes")
        if damaged := archive.testzip():  # nothing damaged gets as far as HDF5, which is written in C
            raise ValueError(f"its {damaged} is damaged")
        config = json.loads(archive.read(CONFIG))
        if not isinstance(config, dict):
            raise ValueError(f"its {CONFIG} describes no model")
        return config, archive.getinfo(WEIGHTS).file_size


def _declared(config: dict[str, Any]) -> int:
    """How many weights a configuration declares, found by building it without allocating any.

    Raises:
        ValueError: a layer makes more of one example than any memory should hold.
    """
    with unallocated():
        model = keras.saving.deserialize_keras_object({**config, "compile_config": None}, safe_mode=True)
    if not isinstance(model, keras.Model):
        raise ValueError(f"it holds a {type(model).__name__}, no model")
    for layer in model._flatten_layers():
        for tensor in keras.tree.flatten(_output(layer)):
            if 4 * math.prod(size or 1 for size in tensor.shape) > MOST_OUTPUT:
                raise ValueError(f"refused: its layer {layer.name} gives out {tensor.shape} for one example")
    return sum(math.prod(variable.shape) for variable in model.variables)


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


def check_hdf5(path: Path) -> None:
    """Look at every link and array of an HDF5 file before any is read.

    Raises:
        OSError: it is no HDF5 file.
        ValueError: a link or an array leads elsewhere, or claims more than the file holds; it says which.
    """
    total, links, size = 0, 0, path.stat().st_size

    def link(name: str, found: Any) -> str | None:  # what a visitor returns ends the visit
        nonlocal links
        links += 1
        if name.count("/") > MOST_DEPTH or links > MOST_LINKS:
            return f"it has more than {MOST_LINKS:,} groups and arrays, or some nested deeper than {MOST_DEPTH}"
        return None if isinstance(found, h5py.HardLink) else f"{name} is a link to somewhere else"

    def array(name: str, found: Any) -> str | None:
        nonlocal total
        if not isinstance(found, h5py.Dataset):
            return None
        total += math.prod(found.shape or ()) * found.dtype.itemsize
        if found.external or found.is_virtual:
            return f"{name} lies in another file"
        if found.dtype.hasobject:
            return f"{name} holds objects, not numbers"
        claim = f"its arrays claim {total / 1e9:,.1f} GB, and it has {size:,} bytes"
        return claim if total > MOST_RATIO * size + SLACK else None

    with h5py.File(path) as file:
        if problem := file.visititems_links(link) or file.visititems(array):
            raise ValueError(f"refused: {problem}")
