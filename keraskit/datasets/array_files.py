"""Reads pictures and labels from files of arrays: `.npz` in Keras's layout, or four IDX files, gzipped or not."""

from __future__ import annotations

import gzip
import hashlib
import math
import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from keraskit import system
from keraskit.errors import UserError, sentence

NAMES = ("x_train", "y_train", "x_test", "y_test")
IDX_FILES = dict(
    zip(NAMES, ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"), strict=True)
)
IDX_NAME = re.compile(r"[-.]idx[13]-ubyte")
READS = "What is read: an .npz file with x_train, y_train, x_test, y_test, by numpy.savez, or a folder of IDX files."
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
MAX_CLASSES = 1_000
COPIES = 3  # of the arrays that are alive at once between the file and the model


def read(path: Path) -> dict[str, np.ndarray]:
    """The four arrays of an `.npz` file or of a folder with four IDX files, checked and made uniform.

    Returns:
        x_train and x_test, uint8 of shape (n, height, width) or (n, height, width, 3); y_train and y_test, int64.

    Raises:
        UserError: anything that would make a training wrong or fail later.
    """
    arrays = read_idx(path) if path.is_dir() else read_npz(path)
    pictures = {name: _pictures(arrays[name], name, path) for name in ("x_train", "x_test")}
    labels = {name: _labels(arrays[name], name, path) for name in ("y_train", "y_test")}
    for part in ("train", "test"):
        x, y = pictures[f"x_{part}"], labels[f"y_{part}"]
        if len(x) != len(y) or not len(x):
            raise UserError(
                f"{path}: x_{part} has {len(x)} pictures and y_{part} {len(y)} labels; need the same, above 0."
            )
    if pictures["x_train"].shape[1:] != pictures["x_test"].shape[1:]:
        shapes = " and ".join(str(x.shape[1:]) for x in pictures.values())
        raise UserError(f"{path}: training and test pictures differ in shape: {shapes}.")
    unseen = set(np.unique(labels["y_test"])) - set(np.unique(labels["y_train"]))
    if unseen:
        raise UserError(f"{path}: the test labels {sorted(map(int, unseen))[:5]} never occur in training.")
    return {**pictures, **labels}


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
        raise UserError(
            f"{path} is a single IDX file; a set is four of them.", f"Name its folder: {path.absolute().parent}."
        )
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} cannot be read: it is no .npz file, or half of one.", READS)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The four arrays as they lie in the file. Pickled objects are refused."""
    check_place(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        if missing := [name for name in NAMES if name not in members]:
            raise UserError(f"{path} cannot be read: it lacks '{missing[0]}'; expected {', '.join(NAMES)}.")
        _check_room(sum(members[name].file_size for name in NAMES), path)
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in NAMES}
    except UserError:
        raise
    except Exception as error:  # a damaged file makes numpy and zipfile raise anything, MemoryError too
        raise UserError(
            f"{path} cannot be read as .npz: {sentence(error)}", "It is damaged or another file; fetch it again."
        ) from error


def _check_room(size: int, path: Path) -> None:
    """Raise UserError where arrays of so many bytes, and their copies on the way to a model, do not fit into memory."""
    free = system.available_memory()
    if free is not None and COPIES * size > free:
        claimed = f"claims {min(size, 10**18) / 1e9:,.0f} GB of arrays"
        raise UserError(
            f"{path} {claimed}; {free / COPIES / 1e9:,.1f} GB would fit into memory.", "Use fewer pictures."
        )


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
    try:
        if not path.is_file():
            raise OSError("it is no file")
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES or not head[3]:
                raise ValueError(f"it begins with {head.hex(' ') or 'nothing'}, expected 00 00, a type and the axes")
            kind, axes = np.dtype(IDX_TYPES[head[2]]), head[3]
            shape = [int.from_bytes(file.read(4), "big") for _ in range(axes)]
            size = math.prod(shape) * kind.itemsize
            _check_room(size, path)
            data = file.read(size + 1)  # never more than it claims, whatever it unpacks to
        if len(data) != size:
            follow = "more" if len(data) > size else f"{len(data) // kind.itemsize}"
            raise ValueError(f"its header says {tuple(shape)[:8]}, and {follow} values follow")
        return np.frombuffer(data, kind).reshape(shape)
    except (OSError, EOFError, ValueError, MemoryError, zlib.error) as error:
        raise UserError(f"{path} cannot be read as IDX: {error}.", "It is damaged or another file.") from error


def _pictures(x: np.ndarray, name: str, path: Path) -> np.ndarray:
    if x.ndim == 4 and x.shape[-1] == 1:
        x = x[..., 0]
    if not (x.ndim == 3 or (x.ndim == 4 and x.shape[-1] == 3)) or 0 in x.shape[1:]:
        expected = "(n, height, width), with a last axis of 1 or 3 for channels if there is one"
        raise UserError(f"{path}: {name} has the shape {x.shape}, expected {expected}.")
    if x.dtype == np.uint8:
        return x
    if x.dtype.kind not in "iuf":
        raise UserError(f"{path}: {name} holds {x.dtype}, expected numbers: 0 to 255, or 0 to 1 as floats.")
    if not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1))
        raise UserError(
            f"{path}: {name} holds values that are not finite in {len(bad)} pictures, the first at {bad[0]}."
        )
    low, high = (x.min(), x.max()) if x.size else (0, 0)
    if low < 0 or high > 255:
        raise UserError(f"{path}: {name} goes from {low:g} to {high:g}, expected 0 to 255, or 0 to 1 as floats.")
    scale = 255 if x.dtype.kind == "f" and high <= 1 else 1
    return np.round(x * scale).astype(np.uint8)


def _labels(y: np.ndarray, name: str, path: Path) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "iuf" or not np.isfinite(y).all() or (y != np.round(y)).any():
        raise UserError(f"{path}: {name} is {y.dtype} {y.shape}, expected one whole number per picture.")
    if len(y) and not 0 <= y.min() <= y.max() < MAX_CLASSES:
        raise UserError(
            f"{path}: {name} goes from {y.min():g} to {y.max():g}, expected class numbers from 0 to {MAX_CLASSES - 1}."
        )
    return y.astype(np.int64)


def digest(arrays: Iterable[np.ndarray]) -> str:
    """sha256 of arrays, one after another."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
