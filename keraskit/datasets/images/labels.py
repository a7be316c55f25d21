"""Finds classes and splits in the names of pictures: Kaggle's cat.0.jpg, folders per class, train/ and test/."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from keraskit.config import SPLITS
from keraskit.datasets.checks import MOST_CLASSES
from keraskit.errors import UserError

FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing", "test1"), "test"),  # test1 is Kaggle's
}
FEWEST = 4  # pictures of a class that is to be split
Labelled = list[tuple[str, int]]
Kinds = dict[str, list[str]]  # the pictures of each class


@dataclass(frozen=True)
class Layout:
    """Which picture is of which class and in which split.

    Args:
        classes: their names, in the order of the labels.
        splits: for train, validation and test the pictures' names and labels, by class and number.
        how: they were split, in words.
        unlabelled: how many pictures have no class.
    """

    classes: tuple[str, ...]
    splits: dict[str, Labelled]
    how: str
    unlabelled: int

    @property
    def names(self) -> list[str]:
        """Of all pictures."""
        return [name for pairs in self.splits.values() for name, _ in pairs]


def arrange(names: Sequence[str], where: object, most: int | None = None) -> Layout:
    """Sort pictures into classes and splits by their names alone, which are relative, with slashes.

    Of cats and dogs that are not split yet, only the first `most` of each class are taken. Raises UserError where there
    are no classes or too many, or too few pictures; it names the place, `where`.
    """
    paths = [(name.split("/"), name) for name in sorted(names, key=_natural)]
    while paths and all(len(path) > 1 and path[0] == paths[0][0][0] for path, _ in paths):
        paths = [(path[1:], name) for path, name in paths]  # a folder that holds everything says nothing
    nested = bool(paths) and all(len(path) > 1 and path[0].lower() in FOLDERS for path, _ in paths)
    as_found = nested and any(FOLDERS[path[0].lower()] == "train" for path, _ in paths)
    found: dict[str, Kinds] = {split: {} for split in SPLITS}
    unlabelled = 0
    for path, name in paths:
        kind = _kind(path[nested:])
        if kind is None:
            unlabelled += 1
        else:
            found[FOLDERS[path[0].lower()] if as_found else "train"].setdefault(kind, []).append(name)
    classes = tuple(sorted({kind for kinds in found.values() for kind in kinds}))
    if not 2 <= len(classes) <= MOST_CLASSES:
        listed = f" ({', '.join(classes) or 'none'})" if len(classes) < 2 else ""
        problem = f"{where} has {len(classes):,} classes of pictures{listed}; from two to {MOST_CLASSES:,}"
        advice = "Make a subfolder per class, or name pictures like cat.0.jpg and dog.0.jpg."
        raise UserError(f"{problem} are possible.", advice)
    how = _complete(found) if as_found else _divide(found, classes, most)
    for kind in classes:
        if (count := sum(len(kinds.get(kind, ())) for kinds in found.values())) < FEWEST:
            problem = f"{where}: the class {kind!r} has {count} pictures; {FEWEST} are needed to split it."
            raise UserError(problem, "Add some.")
        for split, kinds in found.items():
            if not kinds.get(kind):
                problem = f"{where}: {split} has no pictures of the class {kind!r}"
                raise UserError(f"{problem}.", "Every split needs every class.")
    splits = {split: [(name, k) for k, c in enumerate(classes) for name in kinds[c]] for split, kinds in found.items()}
    return Layout(classes, splits, how, unlabelled)


def _kind(path: Sequence[str]) -> str | None:
    """The folder's name, or `cat` of `cat.0.jpg`."""
    if len(path) > 1:
        return path[0]
    match = re.fullmatch(r"(.+?)\.\d+\.[^.]+", path[0])
    return match[1] if match else None


def _natural(name: str) -> list[tuple[int, str]]:
    """cat.9 before cat.10."""
    pieces = re.split(r"(\d{1,1000})", name)  # Python makes no number of more than 4,300 digits
    return [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in pieces]


def _divide(found: dict[str, Kinds], classes: Sequence[str], most: int | None) -> str:
    """Split what is all taken for training: of each class a half, a quarter, a quarter. Returns how, in words."""
    if {c.lower().rstrip("s") for c in classes} != {"cat", "dog"}:
        most = None
    fewest = min(map(len, found["train"].values()))
    for kind, pictures in found["train"].items():
        quarter = len(pictures[:most]) // 4
        cut = len(pictures[:most]) - 2 * quarter
        found["train"][kind] = pictures[:cut]
        found["validation"][kind] = pictures[cut : cut + quarter]
        found["test"][kind] = pictures[cut + quarter : most]
    if most and fewest >= most:
        return f"the document's: of each class 0 to {most // 2 - 1} for training, then two quarters"
    return "of each class the first half for training, then a quarter for validation and a quarter for the test"


def _complete(found: dict[str, Kinds]) -> str:
    """Leave the splits as they lie there, and cut one that is missing off another. Returns how, in words."""
    how = "as the folders say"
    for split, giver, share in (("validation", "train", 5), ("test", "validation", 2)):
        if not found[split]:
            for kind, pictures in found[giver].items():
                cut = len(pictures) - len(pictures) // share
                found[giver][kind], found[split][kind] = pictures[:cut], pictures[cut:]
            how += f"; there is no {split}, so it is the last {'fifth' if share == 5 else 'half'} of {giver}"
    return how
