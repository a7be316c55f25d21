"""Read images and labels from an `.npz` file in Keras's layout; refuse pickles and arrays too large for memory."""

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
CLASSES = "classes"  # an optional array of class names
COPIES = 3  # copies of the arrays in memory at once between the file and the model
EXPECTED = "0 to 255 in whole numbers, or 0 to 1 as floats, the same for training and test"


def read(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Read the images of an `.npz` file as uint8, and their labels.

    Returns a dict of x_train and x_test, uint8 of shape (n, height, width) or (n, height, width, 3), y_train, y_test
    and, if the file has it, classes; and the pixels' original scale in words. Raises UserError for other contents.
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
    """Read the arrays `needed` from a file, and those of `more` that it has; pickled objects are refused.

    Raises UserError if the file is damaged, lacks an array, or is too large for memory.
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
    """Re-raise any exception while reading a file of arrays as UserError: a damaged file may raise anything."""
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
    """Check that an array holds images: shape, finite values, 0 to 255; drop a channel axis of length 1."""
    x = x[..., 0] if x.ndim == 4 and x.shape[-1] == 1 else x
    if not (x.ndim == 3 or (x.ndim == 4 and x.shape[-1] == 3)) or 0 in x.shape[1:]:
        raise UserError(f"{which} has the shape {x.shape}, expected (n, height, width) or (n, height, width, 3).")
    check_values(x, which)
    if x.size and (x.min() < 0 or x.max() > 255):
        raise UserError(f"{which} goes from {x.min():g} to {x.max():g}, expected {EXPECTED}.")
    return x


@contextmanager
def downloading(failed: str, advice: str) -> Iterator[None]:
    """Re-raise a failed download as UserError: Keras raises a bare Exception."""
    try:
        yield
    except Exception as error:
        raise UserError(f"{failed}: {sentence(error)}", advice) from error


def digest(arrays: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 of the arrays' concatenated bytes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
