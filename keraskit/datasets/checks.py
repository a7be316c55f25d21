"""Check the values of arrays, and find the classes of targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keraskit.errors import UserError, printable

MOST_CLASSES = 1_000  # limits the confusion matrix and its figure


def as_text(array: np.ndarray) -> np.ndarray:
    """Convert arrays of text of any dtype to NumPy's `str`; return others unchanged."""
    text = array.dtype.kind in "ST" or (array.dtype == object and all(isinstance(each, str) for each in array.flat))
    return array.astype(str) if text else array


def check_values(array: np.ndarray, which: str) -> None:
    """Raise UserError unless an array holds finite numbers only."""
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise UserError(f"{which} holds {array.dtype}, expected numbers.", "Text becomes some by .astype(float).")
    bad = ~np.isfinite(array)
    if bad.any():
        bad = bad.reshape(len(array), -1)
        row, column = np.argwhere(bad)[0]
        count = f"{bad.any(axis=1).sum():,} of {len(array):,} rows"
        problem = f"{which} holds NaN or infinite values in {count}, the first in row {row}, column {column}"
        raise UserError(f"{problem}.", "Both count from 0. Repair these, or leave the rows out.")


def encode(
    y: Mapping[str, Any], where: str, names: Sequence[str] | None = None, declared: bool = False
) -> tuple[dict[str, np.ndarray], tuple[str, ...]] | None:
    """Encode targets as class indices: integers from 0, text, or one-hot rows; return None for other targets.

    Args:
        y: the targets of each split, checked by `check_values` unless they are text.
        where: the name of the data, for error messages.
        names: class names, in the order of the labels (default: the labels, sorted if they are text).
        declared: whether whole-number floats of shape (n,) or (n, 1) are labels too.

    Returns the class index of each example, int64, by split; and the names of the classes. Raises UserError if only
    some targets are labels, if there is one class or too many, or if the names do not match.
    """
    found = {split: flat for split, each in y.items() if (flat := _flat(each, declared)) is not None}
    if not found:
        return None
    if len(found) < len(y) or len({flat.dtype.kind == "U" for flat in found.values()}) > 1:
        raise UserError(f"{where}: only some targets are class numbers.", "Make those of every split alike.")
    together = np.concatenate([*found.values()])
    if together.dtype.kind == "U":
        known = list(names or np.unique(together).tolist())
        if strange := np.setdiff1d(together, known).tolist():
            raise UserError(f"{where}: the label {printable(strange[0])!r} is none of the named classes.")
        place = {value: k for k, value in enumerate(known)}
        indices = {split: np.array([place[v] for v in flat.tolist()]) for split, flat in found.items()}
    else:
        columns = max(each.shape[-1] if each.ndim == 2 else 1 for each in y.values())
        known = [str(k) for k in range(min(max(int(together.max()) + 1, columns), MOST_CLASSES + 1))]
        if together.min() < 0 or len(known) > MOST_CLASSES:
            advice = f"Classes are counted from 0, up to {MOST_CLASSES:,} of them; targets that are none: floats."
            raise UserError(f"{where}: labels go from {together.min()} to {together.max()}.", advice)
        indices = {split: flat.astype(np.int64) for split, flat in found.items()}
    return indices, _named(names or known, len(known), where)


def _flat(y: Any, declared: bool) -> np.ndarray | None:
    """Return the label of each example, shape (n,); None if the targets are not labels."""
    if not isinstance(y, np.ndarray):
        return None
    if y.size == len(y):
        whole = y.dtype.kind in "biuU" or (declared and y.dtype.kind == "f" and not (y % 1).any())
        return y.reshape(-1) if whole else None
    one_hot = y.ndim == 2 and y.dtype.kind in "biuf" and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()
    return y.argmax(axis=1) if one_hot else None


def _named(names: Sequence[str], count: int, where: str) -> tuple[str, ...]:
    """Return class names with whitespace normalised. Raises UserError unless there are `count` distinct names."""
    names = [" ".join(name.split()) for name in names]
    if len(names) != count or not 2 <= count <= MOST_CLASSES:
        problem = f"{where} has {len(names):,} names; the data has {count:,} classes"
        raise UserError(f"{problem}.", f"From two to {MOST_CLASSES:,} classes are possible, with a name each.")
    if odd := [name for i, name in enumerate(names) if not name or name in names[:i]]:
        raise UserError(f"{where}: {printable(odd[0])!r} names two classes, or none.", "Name every class differently.")
    return tuple(names)
