"""What arrays must hold, and which classes their labels stand for: for `--dataset` and `from_arrays` alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keraskit import system
from keraskit.datasets.splitting import check_classes, fingerprints, some
from keraskit.errors import UserError, printable
from keraskit.files import regular

MOST_CLASSES = 1_000  # every true class is counted by every predicted one, and drawn so
FROM_1 = "labels are counted from 1, as none is 0: the first class is 1"


def as_text(array: np.ndarray) -> np.ndarray:
    """Text of any type as NumPy's own, UTF-8 decoded; other arrays as they are."""
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "replace")
    text = array.dtype.kind == "T" or (array.dtype == object and all(isinstance(each, str) for each in array.flat))
    return array.astype(str) if text else array


def check_values(array: np.ndarray, which: str) -> None:
    """Raise UserError unless an array holds numbers, none of them NaN or infinite."""
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise UserError(f"{which} holds {array.dtype}, expected numbers.", "Text becomes some by .astype(float).")
    finite = np.isfinite(array)
    if not finite.all():
        rows = np.flatnonzero(~finite.reshape(len(array), -1).all(axis=1))
        problem = f"{which} holds NaN or infinite values in {len(rows):,} of {len(array):,} rows, row {rows[0]} first"
        raise UserError(f"{problem}.", "Rows count from 0. Repair these, or leave them out.")


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labels as class indices.

    Args:
        indices: of each split, int64 from 0, shape (n,).
        values: what stands for each class in the data, as text.
        names: of the classes.
        first: the lowest label, 0 or 1; None of labels that are text.
    """

    indices: dict[str, np.ndarray]
    values: tuple[str, ...]
    names: tuple[str, ...]
    first: int | None = 0

    def targets(self, split: str, y: np.ndarray) -> np.ndarray:
        """What a model is to learn of a split's labels: as they are given, text as indices, counted from 0."""
        if self.first is None:
            return self.indices[split]
        return y.astype(np.int64) if y.dtype == bool else y - self.first if self.first else y


def encode(
    y: Mapping[str, Any], where: str, names: Sequence[str] | None = None, declared: bool = False
) -> Labels | None:
    """The classes that targets stand for: whole numbers from 0 or 1, text, or one-hot rows; None for other targets.

    Args:
        y: the targets of each split, "train" among them, checked by `check_values` unless they are text.
        where: the data's name, for errors.
        names: of the classes, in the order of the labels.
        declared: whether floats of shape (n,) or (n, 1) are labels too.

    Raises:
        UserError: only some targets are labels, there is one class or too many, or the names do not fit.
    """
    given = {split: _flat(each, declared) for split, each in y.items()}
    found = {split: labels for split, labels in given.items() if labels is not None}
    if "train" not in found:
        return None
    text = {labels.dtype.kind == "U" for labels in found.values()}
    if len(found) < len(given) or len(text) > 1:
        raise UserError(f"{where}: only some targets are class numbers.", "Make those of every split alike.")
    if (found["train"] == found["train"][0]).all():
        only = printable(found["train"][0])
        raise UserError(f"{where}: all training examples are of one class, {only}.", "Two at least are needed.")
    together = np.concatenate([*found.values()])
    if text == {True}:
        first, known = None, np.unique(together).tolist()
        values = list(names or known)
        if strange := [value for value in known if value not in values]:
            raise UserError(f"{where}: the label {printable(strange[0])!r} is none of the named classes.")
        place = {value: k for k, value in enumerate(values)}
        indices = {split: np.array([place[v] for v in labels.tolist()]) for split, labels in found.items()}
    else:
        low, high = int(together.min()), int(together.max())
        columns = max(each.shape[1] if each.ndim == 2 and each.shape[1] > 1 else 0 for each in y.values())
        first, high = int(low == 1 and not columns), max(high, columns - 1)
        if low < 0 or high - first >= MOST_CLASSES:
            advice = f"Classes are counted from 0 or 1, up to {MOST_CLASSES:,} of them; targets that are none: floats."
            raise UserError(f"{where}: labels go from {low} to {high}.", advice)
        values = [str(value) for value in range(first, high + 1)]
        indices = {split: labels.astype(np.int64) - first for split, labels in found.items()}
    return Labels(indices, tuple(values), check_names(names or values, len(values), where), first)


def _flat(y: Any, declared: bool) -> np.ndarray | None:
    """The label of each example, shape (n,); None where targets are no labels."""
    if not isinstance(y, np.ndarray):
        return None
    if y.size == len(y):
        whole = y.dtype.kind in "biuU" or (declared and y.dtype.kind == "f" and not (y % 1).any())
        return y.reshape(-1) if whole else None
    one_hot = y.ndim == 2 and y.dtype.kind in "biuf" and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()
    return y.argmax(axis=1) if one_hot else None


def notes_of(
    x: Mapping[str, Sequence[np.ndarray]], labels: Mapping[str, np.ndarray], names: Sequence[str], where: str
) -> list[str]:
    """Lines on the input arrays and class indices of train, validation and test, the copies first.

    Raises UserError where training lacks a class that another split has.
    """
    prints = {split: fingerprints(*arrays) for split, arrays in x.items()}
    notes = []
    for split, seen in (("test", "train"), ("validation", "train"), ("test", "validation")):
        if count := int(np.isin(prints[split], prints[seen]).sum()):
            notes.append(f"{count:,} of {len(prints[split]):,} {split} examples are exact copies of {seen} examples")
    if labels:
        absent = np.setdiff1d(np.arange(len(names)), np.concatenate([*labels.values()]))
        if absent.size:
            notes.append(f"no split has an example of {some([names[k] for k in absent])}")
        notes += check_classes({split: np.append(y, absent) for split, y in labels.items()}, names, where)
    return notes


def check_names(names: Sequence[str], count: int, where: object) -> tuple[str, ...]:
    """The names of `count` classes, spaces made one. Raises UserError where they are not as many different ones."""
    names = [" ".join(name.split()) for name in names]
    if len(names) != count or count > MOST_CLASSES:
        problem = f"{where} has {len(names):,} names; the data has {count:,} classes"
        raise UserError(f"{problem}.", f"One name each, {MOST_CLASSES:,} at most.")
    if odd := [name for i, name in enumerate(names) if not name or name in names[:i]]:
        raise UserError(f"{where}: {printable(odd[0])!r} names two classes, or none.", "Name every class differently.")
    return tuple(names)


def read_names(path: Path) -> list[str]:
    """The names in a file, one per line. Raises UserError where it is no such file."""
    try:
        return regular(system.expanded(path), most=1_000_000).read_text("utf-8-sig").rstrip().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else "is no file of UTF-8 text"
        raise UserError(f"{path} {reason}.", "--classes takes a file with the name of one class per line.") from error
