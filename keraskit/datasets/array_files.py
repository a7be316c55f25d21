"""Reads pictures and labels from an `.npz` in Keras's layout: pickles and what fits into no memory are refused."""

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from keraskit import system
from keraskit.datasets.checks import check_values
from keraskit.errors import UserError, sentence

NAMES = ("x_train", "y_train", "x_test", "y_test")
CLASSES = "classes"  # an array of names beside the four, if there is one
COPIES = 3  # of the arrays that are alive at once between the file and the model
EXPECTED = "0 to 255 in whole numbers, or 0 to 1 as floats, the same for training and test"


def read(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Read the pictures of an `.npz` file, as bytes, and their labels.

    Returns x_train and x_test, uint8 of shape (n, height, width) or (n, height, width, 3); y_train and y_test; classes,
    where the file names them. And the scale that the pixels had, in words. Raises UserError where they are none.
    """
    arrays = read_npz(path)
    x = {name: _pictures(arrays[name], f"{path}: {name}") for name in ("x_train", "x_test")}
    shares = {array.dtype.kind in "bf" and array.max(initial=0) <= 1 for array in x.values()}
    whole = not any(array.dtype.kind == "f" and (array % 1).any() for array in x.values())
    if len(shares) > 1 or not (whole or shares == {True}):
        held = " and ".join(f"{array.dtype} up to {array.max(initial=0):g} for {name}" for name, array in x.items())
        raise UserError(f"{path}: the pixels have fractions and no one scale: {held}.", f"Expected: {EXPECTED}.")
    if shares == {True}:
        x = {name: np.round(array * np.float32(255)) for name, array in x.items()}
    if arrays.get(CLASSES, np.array([""])).dtype.kind != "U":
        raise UserError(f"{path}: '{CLASSES}' is not text, one name per class.", "Save np.array(names).")
    arrays |= {name: array.astype(np.uint8, copy=False) for name, array in x.items()}
    return arrays, "0 to 1, times 255" if shares == {True} else "0 to 255"


def read_npz(path: Path, needed: Sequence[str] = NAMES, more: Sequence[str] = (CLASSES,)) -> dict[str, np.ndarray]:
    """Read arrays of a file by name, those `needed` and what it has of `more`; pickled objects are refused.

    Raises UserError for a file that is damaged, lacks an array, or claims more than fits into memory.
    """
    if not path.is_file():
        raise UserError(f"{path} is no file.", "Name an .npz in Keras's layout: x_train, y_train, x_test, y_test.")
    with reading(path, ".npz"):
        with zipfile.ZipFile(path) as archive:
            size, free = sum(member.file_size for member in archive.infolist()), system.available_memory()
        if free is not None and COPIES * size > free:
            claims = f"{min(size, 10**18) / 1e9:,.1f} GB of arrays; {free / COPIES / 1e9:,.1f} GB would fit into memory"
            raise UserError(f"{path} claims {claims}.", "Use fewer pictures.")
        with np.load(path, allow_pickle=False) as file:
            if missing := [name for name in needed if name not in file]:
                raise UserError(f"{path} cannot be read: it lacks '{missing[0]}'; expected {', '.join(needed)}.")
            return {name: np.asarray(file[name]) for name in (*needed, *more) if name in file}


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn what reading a file of arrays raises, anything for a damaged one, into one line."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"There is no {path}.") from error
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as {kind}: {sentence(error)}", "Is it damaged? Make it anew."
        ) from error


def _pictures(x: np.ndarray, which: str) -> np.ndarray:
    """Finite numbers of a shape and range that pictures have."""
    x = x[..., 0] if x.ndim == 4 and x.shape[-1] == 1 else x
    if not (x.ndim == 3 or (x.ndim == 4 and x.shape[-1] == 3)) or 0 in x.shape[1:]:
        raise UserError(f"{which} has the shape {x.shape}, expected (n, height, width) or (n, height, width, 3).")
    check_values(x, which)
    if x.size and (x.min() < 0 or x.max() > 255):
        raise UserError(f"{which} goes from {x.min():g} to {x.max():g}, expected {EXPECTED}.")
    return x


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
