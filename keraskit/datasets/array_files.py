"""Reads pictures and labels from files of arrays: `.npz` in Keras's layout, or four IDX files, gzipped or not."""

import gzip
import hashlib
import math
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
IDX_NAME = re.compile(r"[-.]idx[13]-ubyte")
READS = "What is read: an .npz file with x_train, y_train, x_test, y_test, by numpy.savez, or a folder of IDX files."
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
COPIES = 3  # of the arrays that are alive at once between the file and the model
DARK = 128  # of pictures whose brightest pixel is below, the scale is doubtful
EXPECTED = "0 to 255 in whole numbers, or 0 to 1 as floats, the same for training and test"


def read(path: Path) -> tuple[dict[str, np.ndarray], Labels, dict[str, Any]]:
    """The pictures of an `.npz` file or of a folder with four IDX files, and their labels, checked and made uniform.

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
    labels = encode(y, str(path), declared=True)
    if labels is None:
        found = f"y_train is {y['train'].dtype} {y['train'].shape}"
        raise UserError(f"{path}: {found}, expected one label per picture, whole numbers or text.")
    factor, most = _scale(x, path)
    facts: dict[str, Any] = {"scale": "0 to 1, times 255" if factor > 1 else "0 to 255"}
    notes = [FROM_1] if labels.first else []
    if most < DARK:
        notes.append(f"no pixel is above {most:g} of 255: very dark pictures, or on another scale")
    pixels = {f"x_{split}": np.round(x[split] * factor) if factor > 1 else x[split] for split in x}
    pictures = {name: each.astype(np.uint8, copy=False) for name, each in pixels.items()}
    return pictures, labels, facts | ({"notes": notes} if notes else {})


def check_place(path: Path) -> None:
    """Raise UserError where a path, by what is there and by its first bytes, is nothing that `read` could read."""
    if path.is_dir():
        for stem in IDX_FILES.values():
            _idx_file(path, stem)
        return
    if not path.is_file():
        problem = "is no file" if path.exists() else "does not exist"
        raise UserError(f"{path} {problem}.", READS)
    with path.open("rb") as file:
        start = file.read(4)
    if IDX_NAME.search(path.name) or (len(start) == 4 and start[:2] == b"\0\0" and start[2] in IDX_TYPES):
        advice = f"Name its folder: {path.absolute().parent}."
        raise UserError(f"{path} is a single IDX file; a set is four of them.", advice)
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} cannot be read: it is no .npz file, or half of one.", READS)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The four arrays as they lie in the file. Raises UserError where it lacks one."""
    check_place(path)
    arrays = members(path, NAMES)
    if missing := [name for name in NAMES if name not in arrays]:
        raise UserError(f"{path} cannot be read: it lacks '{missing[0]}'; expected {', '.join(NAMES)}.")
    return arrays


def members(path: Path, names: Sequence[str], most: int | None = None) -> dict[str, np.ndarray]:
    """Those of these arrays that an .npz file holds, if they have at most so many bytes, by default as fit into memory.

    Pickled objects are refused. Raises UserError for a file that is damaged, holds something else, or too much.
    """
    with reading(path, ".npz"):
        with zipfile.ZipFile(path) as archive:
            size = sum(m.file_size for m in archive.infolist() if m.filename.removesuffix(".npy") in names)
        if most is not None and size > most:
            raise UserError(f"{', '.join(names)} in {path} has more than {most:,} bytes.")
        _check_room(size, path)
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in names if name in file}
        for name, array in found.items():
            if not isinstance(array, np.ndarray):  # a member without the header of one
                raise ValueError(f"its member '{name}' is no array")
    return found


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
        fits = f"{free / COPIES / 1e9:,.1f} GB would fit into memory"
        problem = f"{path} claims {min(size, 10**18) / 1e9:,.0f} GB of arrays; {fits}"
        raise UserError(f"{problem}.", "Use fewer pictures.")


def read_idx(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the two `t10k-` files, also as `.gz`."""
    return {name: _idx(_idx_file(folder, stem)) for name, stem in IDX_FILES.items()}


def _idx_file(folder: Path, stem: str) -> Path:
    found = sorted(folder.glob(f"{stem}*")) or sorted(folder.glob(f"{stem.replace('-idx', '.idx')}*"))
    if not found:
        wanted = ", ".join(f"{s}-ubyte[.gz]" for s in IDX_FILES.values())
        raise UserError(f"{folder} holds no {stem}-ubyte[.gz].", f"Four IDX files are expected: {wanted}.")
    return found[0]


def _idx(path: Path) -> np.ndarray:
    with reading(path, "IDX"):
        if not path.is_file():
            raise OSError("it is no file")
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES or not head[3]:
                raise ValueError(f"it begins with {head.hex(' ') or 'nothing'}, expected 00 00, a type and the axes")
            kind = np.dtype(IDX_TYPES[head[2]])
            shape = [int.from_bytes(file.read(4), "big") for _ in range(head[3])]
            size = math.prod(shape) * kind.itemsize
            _check_room(size, path)
            data = file.read(size + 1)  # never more than it claims, whatever it unpacks to
        if len(data) != size:
            follow = "more" if len(data) > size else f"{len(data) // kind.itemsize}"
            raise ValueError(f"its header says {tuple(shape)[:8]}, and {follow} values follow")
        return np.frombuffer(data, kind).reshape(shape)


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


def _scale(pictures: Mapping[str, np.ndarray], path: Path) -> tuple[int, float]:
    """What all pixels are multiplied by, 1 or 255, and the brightest pixel then. Raises UserError where it is open."""
    most = max(float(x.max()) for x in pictures.values())
    shares = {x.dtype.kind == "f" and float(x.max()) <= 1 for x in pictures.values()}
    if shares == {True}:
        return 255, 255 * most
    if shares == {False} and not any(x.dtype.kind == "f" and (x % 1).any() for x in pictures.values()):
        return 1, most
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
    """sha256 of arrays, one after another: models that learned the same have the same of their weights."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
