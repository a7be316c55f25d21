"""Check the values of arrays, and find the classes of targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keraskit.errors import UserError, printable

MOST_CLASSES = 1_000  # limits the confusion matrix and its figure


def checked(given: Any, which: str, text: bool = False) -> np.ndarray:
    """Convert to an array of finite numbers, or of text if it may be. Raises UserError for anything else."""
    array = np.asarray(given)
    if not array.ndim:
        raise UserError(f"{which} is no array.", "Give NumPy arrays, a row for each example.")
    if text and (array.dtype.kind in "SUT" or (array.dtype == object and {*map(type, array.flat)} == {str})):
        return array.astype(str, copy=False)
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise UserError(f"{which} holds {array.dtype}, expected numbers.", "Text becomes some by .astype(float).")
    bad = ~np.isfinite(array)
    if bad.any():
        bad = bad.reshape(len(array), -1)
        row, column = np.argwhere(bad)[0]
        count = f"{bad.any(axis=1).sum():,} of {len(array):,} rows"
        problem = f"{which} holds NaN or infinite values in {count}, the first in row {row}, column {column}"
        raise UserError(f"{problem}.", "Both count from 0. Repair these, or leave the rows out.")
    return array


def encode(
    y: Mapping[str, Any], where: str, names: Sequence[str] | None = None, declared: bool = False
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Encode targets as class indices, if they are integers from 0, text, or one-hot rows.

    Args:
        y: the targets of each split, as `checked` returns them.
        where: the name of the data, for error messages.
        names: class names, in the order of the labels (default: the labels, sorted if they are text).
        declared: whether whole-number floats of shape (n,) or (n, 1) are labels too.

    Returns the class index of each example, int64, by split; and the names of the classes. For other targets, these are
    None and no names. Raises UserError if only some targets are labels, if there is one class or too many, or if the
    names do not match.
    """
    found = {split: flat for split, each in y.items() if (flat := _flat(each, declared)) is not None}
    if not found:
        return dict.fromkeys(y), ()
    if len(found) < len(y) or len({flat.dtype.kind == "U" for flat in found.values()}) > 1:
        raise UserError(f"{where}: only some targets are class numbers.", "Make those of every split alike.")
    together = np.concatenate([*found.values()])
    if together.dtype.kind == "U":
        known = list(names or np.unique(together).tolist())
        if strange := np.setdiff1d(together, known).tolist():
            raise UserError(f"{where}: the label {printable(strange[0])!r} is none of the named classes.")
        place = {value: k for k, value in enumerate(known)}
        found = {split: np.array([place[v] for v in flat.tolist()]) for split, flat in found.items()}
    else:
        columns = max(each.shape[-1] if each.ndim == 2 else 1 for each in y.values())
        known = [str(k) for k in range(min(max(int(together.max()) + 1, columns), MOST_CLASSES + 1))]
        if together.min() < 0 or len(known) > MOST_CLASSES:
            advice = f"Classes are counted from 0, up to {MOST_CLASSES:,} of them; targets that are none: floats."
            raise UserError(f"{where}: labels go from {together.min()} to {together.max()}.", advice)
    plain = tuple(" ".join(name.split()) for name in names or known)
    if not 2 <= len(known) == len(plain) == len({*plain} - {""}) <= MOST_CLASSES:
        problem = f"{where} has {len(known):,} classes, and {len({*plain} - {''}):,} different names"
        raise UserError(f"{problem}.", f"From two to {MOST_CLASSES:,} classes are possible, with a name each.")
    return {split: flat.astype(np.int64) for split, flat in found.items()}, plain


def _flat(y: Any, declared: bool) -> np.ndarray | None:
    """Return the label of each example, shape (n,); None if the targets are not labels."""
    if not isinstance(y, np.ndarray):
        return None
    if y.size == len(y):
        whole = y.dtype.kind in "biuU" or (declared and y.dtype.kind == "f" and not (y % 1).any())
        return y.reshape(-1) if whole else None
    one_hot = y.ndim == 2 and y.dtype.kind in "biuf" and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()
    return y.argmax(axis=1) if one_hot else None
