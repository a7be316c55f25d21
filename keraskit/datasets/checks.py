"""What arrays must hold, and which classes their labels stand for: for `--dataset` and `from_arrays` alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keraskit.datasets.splitting import NAMED, check_classes, fingerprints
from keraskit.errors import UserError, printable

MOST_CLASSES = 1_000  # every true class is counted by every predicted one, and drawn so
FROM_1 = "labels are counted from 1, as none is 0: the first class is 1"
LONGEST = 100  # letters of a name


def as_text(array: np.ndarray) -> np.ndarray:
    """Text of any kind as NumPy's own, UTF-8 decoded; other arrays as they are."""
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "replace")
    text = array.dtype.kind == "T" or (array.dtype == object and all(isinstance(each, str) for each in array.flat))
    return array.astype(str) if text else array


def check_values(array: np.ndarray, which: str) -> None:
    """Raise UserError unless an array holds numbers, none of them NaN or infinite."""
    kind = array.dtype.kind
    if kind not in "biuf" and array.dtype.name != "bfloat16":
        advice = "Numbers that were read as text become some by .astype(float)."
        raise UserError(f"{which} holds {array.dtype}, expected numbers.", advice)
    if kind in "biu" or (finite := np.isfinite(array)).all():
        return
    count, rows = array.size - int(finite.sum()), int((~finite.reshape(len(array), -1).all(axis=1)).sum())
    row, *column = map(int, np.unravel_index(int(finite.argmin()), array.shape))
    place = f"row {row}" + (f", column {', '.join(map(str, column))}" if column else "")
    values = "1 value that is" if count == 1 else f"{count:,} values that are"
    problem = f"{which} holds {values} NaN or infinite, in {rows:,} of {len(array):,} rows, the first in {place}"
    raise UserError(f"{problem}.", "Rows and columns count from 0. Repair these rows, or leave them out.")


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
    if len(found) < len(given) or len(text := {labels.dtype.kind == "U" for labels in found.values()}) > 1:
        raise UserError(f"{where}: only some targets are class numbers.", "Make those of every split alike.")
    if (found["train"] == found["train"][0]).all():
        only = printable(str(found["train"][0]))
        raise UserError(f"{where}: all training examples are of one class, {only}.", "Two at least are needed.")
    columns = {each.shape[1] for each in y.values() if each.ndim == 2 and each.shape[1] > 1}
    if text == {True}:
        values = sorted(set().union(*(labels.tolist() for labels in found.values())))
        known = f"{len(values):,} labels are text"
        first, high = None, len(values) - 1
        if names and (strange := [value for value in values if value not in names]):
            raise UserError(f"{where}: the label {printable(strange[0])!r} is none of the named classes.")
        values = list(names or values)
    else:
        low, high = min(int(y.min()) for y in found.values()), max(int(y.max()) for y in found.values())
        first, known = int(low == 1 and not columns), f"labels go from {low} to {high}"
        high = max([high, *(count - 1 for count in columns)])
        if low < 0 or high - first >= MOST_CLASSES:
            advice = f"Classes are counted from 0 or 1, up to {MOST_CLASSES:,} of them; targets that are none: floats."
            raise UserError(f"{where}: {known}.", advice)
        values = list(map(str, range(first, high + 1)))
    if len(values) > MOST_CLASSES:
        raise UserError(f"{where}: {known}.", f"{MOST_CLASSES:,} classes are allowed.")
    checked = check_names(list(names or values), len(values), f"{where}, whose {known},")
    place = {value: i for i, value in enumerate(values)}
    indices = {
        split: np.array([place[v] for v in labels.tolist()]) if first is None else labels.astype(np.int64) - first
        for split, labels in found.items()
    }
    return Labels(indices, tuple(values), checked, first)


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

    Raises UserError where a class of another split is missing in training.
    """
    prints = {split: fingerprints(*arrays) for split, arrays in x.items()}
    notes = []
    for split, seen in (("test", "train"), ("validation", "train"), ("test", "validation")):
        if count := int(np.isin(prints[split], prints[seen]).sum()):
            notes.append(f"{count:,} of {len(prints[split]):,} {split} examples are exact copies of {seen} examples")
    if not labels:
        return notes
    absent = np.setdiff1d(np.arange(len(names)), np.concatenate([*labels.values()]))
    if absent.size:
        more = f" and {len(absent) - NAMED:,} more" if len(absent) > NAMED else ""
        notes.append(f"no split has an example of {', '.join(repr(names[k]) for k in absent[:NAMED])}{more}")
    notes += check_classes({split: np.append(y, absent) for split, y in labels.items()}, names, where)
    return notes


def check_names(names: Sequence[str], count: int, where: object) -> tuple[str, ...]:
    """The names, spaces within and around them made one and none. Raises UserError for what no figure could tell."""
    names = [" ".join(name.split()) for name in names]
    if len(names) != count:
        raise UserError(f"{where} has {len(names):,} names; the data has {count:,} classes.", "One name each.")
    if "" in names:
        raise UserError(f"{where}: name {names.index('') + 1} is empty.", "Name every class.")
    if long := next((name for name in names if len(name) > LONGEST), None):
        raise UserError(f"{where}: {printable(long[:40])}... has {len(long):,} letters; {LONGEST} are allowed.")
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise UserError(f"{where}: {printable(twice)} stands there twice.", "Name every class differently.")
    return tuple(names)
