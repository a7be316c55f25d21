"""Read and check arrays, and data sets in Keras's layout; refuse pickles and arrays too large for memory."""

import hashlib
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from keraskit import system
from keraskit.errors import UserError, sentence

NAMES = ("x_train", "y_train", "x_test", "y_test")
CLASSES = "classes"  # an optional array of class names
ANY = "biufcmMSUV"  # NumPy's kinds of types, but for pickled objects
COPIES = 3  # copies of the arrays in memory at once between the file and the model
EXPECTED = "0 to 255 in whole numbers, or 0 to 1, the same for training and test"
DAMAGED = "Is it damaged? Make it anew, text and other objects of pandas by .astype(str) or .astype(float)."


def read(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Read the images of an `.npz` file as uint8, and their labels.

    Returns a dict of x_train and x_test, uint8, y_train, y_test, class numbers also of one-hot rows, and,
    if the file has it, classes; and the pixels' original scale in words. Raises UserError for other contents.
    """
    arrays = read_npz(path)
    x = {name: checked(arrays[name], f"{path}: {name}") for name in ("x_train", "x_test")}
    for name, array in x.items():
        if array.ndim not in (3, 4) or array.shape[3:] not in ((), (1,), (3,)):
            advice = "Expected: (n, height, width), (..., 1) or (..., 3); flat pictures by .reshape(-1, 28, 28)."
            raise UserError(f"{path}: {name} has the shape {array.shape}.", advice)
    shares = all(array.max(initial=0) <= 1 for array in x.values())
    whole = not any(array.dtype.kind == "f" and (array % 1).any() for array in x.values())
    if not (shares or whole) or any(array.min(initial=0) < 0 or array.max(initial=0) > 255 for array in x.values()):
        held = (f"{a.dtype} from {a.min(initial=0):g} to {a.max(initial=0):g} for {name}" for name, a in x.items())
        raise UserError(f"{path}: the pixels are {' and '.join(held)}.", f"Expected: {EXPECTED}.")
    scale = "0 to 1, times 255" if shares else "0 to 255"
    if shares:
        x = {name: np.round(array * np.float32(255)) for name, array in x.items()}
    arrays |= {name: array.astype(np.uint8, copy=False) for name, array in x.items()}
    for name in ("y_train", "y_test"):
        y = class_numbers(arrays[name], declared=True)
        arrays[name] = arrays[name] if y is None else y.astype(int) if y.dtype.kind == "f" else y
    return arrays, scale


def class_numbers(y: Any, declared: bool) -> np.ndarray | None:
    """Return the label of each example, shape (n,); None if the targets are not labels."""
    if not isinstance(y, np.ndarray):
        return None
    if y.size == len(y):
        whole = y.dtype.kind in "biuU" or (declared and y.dtype.kind == "f" and not (y % 1).any())
        return y.reshape(-1) if whole else None
    one_hot = y.ndim == 2 and y.dtype.kind in "biuf" and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()
    return y.argmax(axis=1) if one_hot else None


def checked(given: Any, which: str, text: bool = False) -> np.ndarray:
    """Convert to an array of finite numbers, or of text if it may be. Raises UserError for anything else."""
    array = np.asarray(given)
    if not array.ndim:
        raise UserError(f"{which} is no array.", "Give NumPy arrays, a row for each example.")
    text &= not np.ma.is_masked(given)
    if text and (array.dtype.kind in "SUT" or (array.dtype == object and {*map(type, array.flat)} == {str})):
        with explained(f"{which} holds bytes that are no UTF-8", "Decode them by np.char.decode(array, encoding)."):
            return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array.astype(object).astype(str)
    number = array.dtype.kind in "biuf" or array.dtype.name == "bfloat16"
    if array.size and (not number or array.dtype.itemsize > 8):
        types = [*map(type, array.flat)]
        rarest = types.index(min({*types}, key=types.count))
        such = f"{array.dtype}, such as {array.flat[rarest]!r:.60} in row {rarest // (array.size // len(array))}"
        ragged = isinstance(array.flat[rarest], list | tuple | np.ndarray)
        advice = "pad_sequences makes rows of one length" if ragged else "Take .astype(float), or class numbers"
        raise UserError(f"{which} holds {such}, expected numbers.", f"{advice}.")
    bad = ~(abs(array) <= np.finfo(np.float32).max) | np.ma.getmask(given)  # Keras computes with float32
    if bad.any():
        bad = bad.reshape(len(array), -1)
        row, column = np.argwhere(bad)[0]
        count = f"{bad.any(axis=1).sum():,} of {len(array):,} rows"
        problem = f"{which} holds NaN, infinite or masked values in {count}, the first in row {row}, column {column}"
        raise UserError(f"{problem}.", "Both count from 0. Repair these, or leave out the rows; 3.4e38 is the most.")
    return array


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read a data set in Keras's layout. Raises UserError as `read_arrays` does, and if an array is missing."""
    if not path.is_file():
        raise UserError(f"{path} is no file.", "Name an .npz in Keras's layout: x_train, y_train, x_test, y_test.")
    arrays = read_arrays(path, dict.fromkeys((*NAMES, CLASSES), ANY))
    if missing := [name for name in NAMES if name not in arrays]:
        raise UserError(f"{path} cannot be read: it lacks '{missing[0]}'; expected {', '.join(NAMES)}.")
    return arrays


def read_arrays(path: Path, types: Mapping[str, str], most: float = math.inf) -> dict[str, np.ndarray]:
    """Read the arrays of an `.npz` file by name, or that of an `.npy` file as "".

    Args:
        types: NumPy's kinds of types, by name or pattern, with a "1" where an array must have one dimension; arrays
            of other names are not read.
        most: the largest size in bytes, unpacked (default: what fits into memory).

    Raises UserError if the file is damaged or too large, or an array is of another type, or an object.
    """
    with reading(path), path.open("rb") as file:
        check_memory(check_size(path, most), f"{path} claims")
        if not file.peek(6).startswith((b"PK", b"\x93NUMPY")):
            raise ValueError("its first bytes are neither a zip archive's, as of an .npz, nor an .npy's")
        loaded = np.load(file, allow_pickle=False)
        found, arrays = {"": loaded} if isinstance(loaded, np.ndarray) else loaded, {}
        if len(found) > 10_000:  # each takes a tenth of a millisecond to find, and more to show
            raise ValueError(f"it holds {len(found):,} arrays; 10,000 are allowed")
        for name in found:
            if codes := next((codes for pattern, codes in types.items() if fnmatchcase(name, pattern)), ""):
                arrays[name] = array = found[name]
                if array.dtype.kind not in codes or not array.ndim or ("1" in codes and array.ndim > 1):
                    raise ValueError(f"its {name or 'array'} is {array.dtype}, shape {array.shape}")
        return arrays


def check_size(path: Path, most: float) -> int:
    """Return how many bytes a file of arrays would unpack to. Raises UserError if it is more than `most`."""
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    if size > most:
        raise UserError(f"{path} claims {size / 1e9:,.1f} GB of arrays; {most / 1e9:,.1f} GB are allowed.")
    return size


def check_memory(size: int, claim: str) -> None:
    """Raise UserError if several copies of arrays of `size` bytes do not fit into memory."""
    free = system.available_memory()
    if free is not None and COPIES * size > free:
        raise UserError(f"{claim} {size / 1e9:,.1f} GB of arrays; {free / COPIES / 1e9:,.1f} GB would fit into memory.")


@contextmanager
def explained(problem: str, advice: str) -> Iterator[None]:
    """Re-raise any exception as UserError: a damaged file and a failed download may raise anything."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{problem}: {sentence(error)}", advice) from error


def reading(path: Path) -> AbstractContextManager[None]:
    """Re-raise any exception while reading a file of arrays as UserError."""
    if not path.exists():
        raise UserError(f"There is no {path}.")
    return explained(f"{path} cannot be read as {path.suffix or 'arrays'}", DAMAGED)


def digest(arrays: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 of the arrays' concatenated bytes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).view(np.uint8).data)
    return found.hexdigest()
