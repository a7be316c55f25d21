"""Finds classes and parts in the names of pictures: Kaggle's cat.0.jpg, folders per class, train/ and test/."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from keraskit.config import SPLITS
from keraskit.errors import UserError

PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing", "test1"), "test"),  # test1 is Kaggle's
}
FEWEST = 4  # pictures of a class that is to be split
Labelled = list[tuple[str, int]]


@dataclass(frozen=True)
class Layout:
    """Which picture is of which class and in which part.

    Args:
        classes: their names, in the order of the labels.
        parts: for train, validation and test the pictures' names and labels, by class and number.
        how: the split in words.
        unlabelled: how many pictures have no class.
    """

    classes: tuple[str, ...]
    parts: dict[str, Labelled]
    how: str
    unlabelled: int


def arrange(names: Sequence[str], where: object, most: int | None = None) -> Layout:
    """Sort pictures into classes and parts by their names alone.

    Args:
        names: relative, with slashes.
        where: the place, for errors.
        most: take only the first so many of each class, where there are no parts yet and the classes are cats and dogs.

    Raises:
        UserError: there are no classes, or too few pictures.
    """
    paths = [(tuple(name.split("/")), name) for name in names]
    while paths and all(len(path) > 1 and path[0] == paths[0][0][0] for path, _ in paths):
        paths = [(path[1:], name) for path, name in paths]  # a folder that holds everything says nothing
    tops = {path[0].lower() for path, _ in paths}
    nested = bool(tops) and tops <= set(PART_NAMES) and all(len(path) > 1 for path, _ in paths)
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    unlabelled = 0
    for path, name in paths:
        part = PART_NAMES[path[0].lower()] if nested else ""
        kind = _kind(path[nested:])
        if kind is None:
            unlabelled += 1
        else:
            found[part][kind].append(name)
    for kinds in found.values():
        for pictures in kinds.values():
            pictures.sort(key=_natural)
    classes = tuple(sorted({kind for kinds in found.values() for kind in kinds}))
    if len(classes) < 2:
        raise UserError(
            f"{where} has {len(classes)} classes of pictures ({', '.join(classes) or 'none'}); two are needed.",
            "Make a subfolder per class, or name pictures like cat.0.jpg and dog.0.jpg.",
        )
    divided, how = _divide(found, classes, most) if "train" not in found else _complete(found)
    _check(divided, classes, where)
    parts = {part: [(name, k) for k, c in enumerate(classes) for name in divided[part].get(c, [])] for part in SPLITS}
    return Layout(classes, parts, how, unlabelled)


def _kind(path: tuple[str, ...]) -> str | None:
    """The folder's name, or `cat` of `cat.0.jpg`."""
    if len(path) > 1:
        return path[0]
    match = re.fullmatch(r"(.+?)\.\d+\.[^.]+", path[0])
    return match[1] if match else None


def _natural(name: str) -> list[tuple[int, str]]:
    """cat.9 before cat.10."""
    pieces = re.split(r"(\d{1,1000})", name)  # Python makes no number of more than 4,300 digits
    return [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in pieces]


Kinds = dict[str, list[str]]


def _divide(found: dict[str, Kinds], classes: Sequence[str], most: int | None) -> tuple[dict[str, Kinds], str]:
    """In each class the first half for training, then a quarter for validation and a quarter for the test."""
    if {c.lower().rstrip("s") for c in classes} != {"cat", "dog"}:
        most = None
    divided: dict[str, Kinds] = {part: {} for part in SPLITS}
    whole = Counter[str]()
    for kinds in found.values():
        for kind, pictures in kinds.items():
            whole[kind] = len(pictures)
            taken = pictures[:most]
            quarter = len(taken) // 4
            cut = len(taken) - 2 * quarter
            divided["train"][kind] = taken[:cut]
            divided["validation"][kind] = taken[cut : cut + quarter]
            divided["test"][kind] = taken[cut + quarter :]
    if most and min(whole.values()) >= most:
        return divided, f"the document's: of each class 0 to {most // 2 - 1} for training, then two quarters"
    return (
        divided,
        "of each class the first half for training, then a quarter for validation and a quarter for the test",
    )


def _complete(found: dict[str, Kinds]) -> tuple[dict[str, Kinds], str]:
    """The parts as they lie there; one that is missing is cut off another."""
    divided = {part: dict(found.get(part, {})) for part in SPLITS}
    how = "as the folders say"
    for part, giver, share in (("validation", "train", 5), ("test", "validation", 2)):
        if not divided[part]:
            for kind, pictures in divided[giver].items():
                cut = len(pictures) - len(pictures) // share
                divided[giver][kind], divided[part][kind] = pictures[:cut], pictures[cut:]
            how += f"; there is no {part}, so it is the last of {share} parts of {giver}"
    return divided, how


def _check(divided: dict[str, Kinds], classes: Sequence[str], where: object) -> None:
    counts = {kind: sum(len(divided[part].get(kind, [])) for part in SPLITS) for kind in classes}
    for kind, count in counts.items():
        if count < FEWEST:
            raise UserError(
                f"{where}: the class {kind!r} has {count} pictures; {FEWEST} are needed to split it.", "Add some."
            )
        for part in SPLITS:
            if not divided[part].get(kind):
                raise UserError(
                    f"{where}: {part} has no pictures of the class {kind!r}.", "Every part needs every class."
                )
