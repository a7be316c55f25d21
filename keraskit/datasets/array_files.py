"""Reads pictures and labels from files of arrays: `.npz` in Keras's layout, or four IDX files, gzipped or not."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path

import numpy as np

from keraskit.errors import UserError

NAMES = ("x_train", "y_train", "x_test", "y_test")
IDX_FILES = dict(
    zip(NAMES, ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"), strict=True)
)
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
MAX_CLASSES = 1_000


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


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The four arrays as they lie in the file. Pickled objects are refused."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in NAMES}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.", "Name an .npz file, or a folder of IDX files.") from None
    except KeyError as error:
        raise UserError(f"{path} cannot be read: it lacks {error}; expected {', '.join(NAMES)}.") from error
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{path} cannot be read as .npz: {reason}", "It is damaged or another file; fetch it again."
        ) from error


def read_idx(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the two `t10k-` files, also as `.gz`."""
    arrays = {}
    for name, stem in IDX_FILES.items():
        found = sorted(folder.glob(f"{stem}*")) or sorted(folder.glob(f"{stem.replace('-idx', '.idx')}*"))
        if not found:
            wanted = ", ".join(f"{s}-ubyte[.gz]" for s in IDX_FILES.values())
            raise UserError(f"{folder} holds no {stem}-ubyte[.gz].", f"Four IDX files are expected: {wanted}.")
        arrays[name] = _idx(found[0])
    return arrays


def _idx(path: Path) -> np.ndarray:
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        zeros, kind, axes = int.from_bytes(data[:2], "big"), IDX_TYPES[data[2]], data[3]
        shape = np.frombuffer(data, ">u4", axes, 4).astype(int)
        values = np.frombuffer(data, kind, -1, 4 + 4 * axes)
        if zeros or not axes or values.size != shape.prod():
            raise ValueError(f"its header says {tuple(map(int, shape))}, and {values.size} values follow")
        return values.reshape(shape)
    except (OSError, EOFError, IndexError, KeyError, ValueError, zlib.error) as error:
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
