"""Reads pictures and labels from files of arrays: `.npz` in Keras's layout, or four IDX files, gzipped or not."""

import gzip
import hashlib
import math
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from keraskit import system
from keraskit.datasets.checks import FROM_1, Labels, as_text, check_values, encode
from keraskit.errors import UserError, sentence

NAMES = ("x_train", "y_train", "x_test", "y_test")
STEMS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
IDX_FILES = dict(zip(NAMES, STEMS, strict=True))
CLASSES = "classes"  # an array of names beside the four, if there is one
COPIES = 3  # of the arrays that are alive at once between the file and the model
EXPECTED = "0 to 255 in whole numbers, or 0 to 1 as floats, the same for training and test"


def read(path: Path, names: list[str] | None = None) -> tuple[dict[str, np.ndarray], Labels, dict[str, Any]]:
    """The pictures of an `.npz` file or of a folder with four IDX files, and their labels, checked and made uniform.

    Args:
        path: the file or folder.
        names: of the classes (default: the file's array `classes`, or else the labels).

    Returns:
        x_train and x_test, uint8 of shape (n, height, width) or (n, height, width, 3). Their labels. What to record:
        the pixels' scale, and notes.

    Raises:
        UserError: anything that would make a training wrong or fail later.
    """
    arrays = read_idx(path) if path.is_dir() else read_npz(path)
    x = {split: _pictures(arrays[f"x_{split}"], f"{path}: x_{split}") for split in ("train", "test")}
    y = {split: as_text(arrays[f"y_{split}"]) for split in x}
    for split in x:
        if y[split].ndim == 0 or len(x[split]) != len(y[split]) or not len(x[split]):
            counts = f"x_{split} has {len(x[split])} pictures and y_{split} {y[split].size} labels"
            raise UserError(f"{path}: {counts}; need the same, above 0.")
        if y[split].dtype.kind != "U":
            check_values(y[split], f"{path}: y_{split}")
    if len(shapes := {each.shape[1:] for each in x.values()}) > 1:
        raise UserError(f"{path}: training and test pictures differ in shape: {shapes}.")
    if names is None and CLASSES in arrays:
        if arrays[CLASSES].ndim != 1 or arrays[CLASSES].dtype.kind != "U":
            raise UserError(f"{path}: '{CLASSES}' is not text, one name per class.", "Save np.array(names).")
        names = arrays[CLASSES].tolist()
    labels = encode(y, str(path), names, declared=True)
    if labels is None:
        found = f"y_train is {y['train'].dtype} {y['train'].shape}"
        raise UserError(f"{path}: {found}, expected one label per picture, whole numbers or text.")
    factor = _factor(x, path)
    facts: dict[str, Any] = {"scale": "0 to 1, times 255" if factor > 1 else "0 to 255"}
    facts |= {"notes": [FROM_1]} if labels.first else {}
    whole = {split: np.round(each * factor) if factor > 1 else each for split, each in x.items()}
    return {f"x_{split}": each.astype(np.uint8, copy=False) for split, each in whole.items()}, labels, facts


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The four arrays of Keras's layout, and the classes' names if there are some; pickled objects are refused.

    Raises UserError for a file that is damaged, lacks an array, or claims more than fits into memory.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist.", "Name an .npz file, or a folder of four IDX files.")
    with reading(path, ".npz"):
        with zipfile.ZipFile(path) as archive:
            _check_room(sum(member.file_size for member in archive.infolist()), path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in (*NAMES, CLASSES) if name in file}
        if missing := [name for name in NAMES if name not in arrays]:
            raise UserError(f"{path} cannot be read: it lacks '{missing[0]}'; expected {', '.join(NAMES)}.")
        if odd := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"its member '{odd[0]}' is no array")
        return arrays


def read_idx(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the two `t10k-` files, also as `.gz`."""
    found = {name: sorted(folder.glob(f"{stem.replace('-idx', '[-.]idx')}*")) for name, stem in IDX_FILES.items()}
    if missing := [name for name, files in found.items() if not files]:
        wanted = ", ".join(f"{stem}-ubyte[.gz]" for stem in STEMS)
        raise UserError(f"{folder} holds no {IDX_FILES[missing[0]]}-ubyte[.gz].", f"Four files are expected: {wanted}.")
    return {name: _idx(files[0]) for name, files in found.items()}


def _idx(path: Path) -> np.ndarray:
    """One IDX file of bytes."""
    if not path.is_file():
        raise UserError(f"{path} is no file.")
    with reading(path, "IDX"), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        head = file.read(4)
        if head[:3] != b"\0\0\x08" or len(head) < 4:
            raise ValueError(f"it begins with {head.hex(' ') or 'nothing'}, expected 00 00 08 and the number of axes")
        shape = [int.from_bytes(file.read(4), "big") for _ in range(head[3])]
        _check_room(math.prod(shape), path)
        data = file.read(math.prod(shape) + 1)  # never more than it claims, whatever it unpacks to
        if len(data) != math.prod(shape):
            raise ValueError(f"its header says {tuple(shape)[:8]}, which is not what follows")
        return np.frombuffer(data, np.uint8).reshape(shape)


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn what reading a file of arrays raises, anything for a damaged one, into one line."""
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{path} does not fit into memory: {sentence(error)}", "Free some, or shrink it.") from error
    except Exception as error:
        problem = f"{path} cannot be read as {kind}: {sentence(error)}"
        raise UserError(problem, "Is it damaged? Make it anew.") from error


def _check_room(size: int, path: Path) -> None:
    """Raise UserError where arrays of so many bytes, and their copies on the way to a model, do not fit into memory."""
    free = system.available_memory()
    if free is not None and COPIES * size > free:
        claims = f"{min(size, 10**18) / 1e9:,.0f} GB of arrays; {free / COPIES / 1e9:,.1f} GB would fit into memory"
        raise UserError(f"{path} claims {claims}.", "Use fewer pictures.")


def _pictures(x: np.ndarray, which: str) -> np.ndarray:
    """Finite numbers of a shape and range that pictures have."""
    if x.ndim == 4 and x.shape[-1] == 1:
        x = x[..., 0]
    if not (x.ndim == 3 or (x.ndim == 4 and x.shape[-1] == 3)) or 0 in x.shape[1:]:
        expected = "(n, height, width), with a last axis of 1 or 3 for channels if there is one"
        raise UserError(f"{which} has the shape {x.shape}, expected {expected}.")
    check_values(x, which)
    x = x.astype(np.float32) if x.dtype.kind == "b" else x
    if x.size and (x.min() < 0 or x.max() > 255):
        raise UserError(f"{which} goes from {x.min():g} to {x.max():g}, expected {EXPECTED}.")
    return x


def _factor(pictures: dict[str, np.ndarray], path: Path) -> int:
    """What all pixels are multiplied by, 1 or 255. Raises UserError where it is open."""
    shares = {x.dtype.kind == "f" and float(x.max()) <= 1 for x in pictures.values()}
    if shares == {True}:
        return 255
    if shares == {False} and not any(x.dtype.kind == "f" and (x % 1).any() for x in pictures.values()):
        return 1
    held = " and ".join(f"{x.dtype} up to {x.max():g} for {split}" for split, x in pictures.items())
    raise UserError(f"{path}: the pixels have fractions and no one scale: {held}.", f"Expected: {EXPECTED}.")


@contextmanager
def downloading(failed: str, advice: str) -> Iterator[None]:
    """Turn what goes wrong with Keras's downloads, for which it raises a bare Exception, into one line."""
    try:
        yield
    except Exception as error:
        raise UserError(f"{failed}: {sentence(error)}", advice) from error


def digest(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 of the arrays' bytes, one after another."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
