"""Sorts pictures by their names into classes and splits: as folders say, as the document has them, or at random."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

import numpy as np

from keraskit.datasets import splitting
from keraskit.datasets.checks import MOST_CLASSES
from keraskit.datasets.splitting import SPLITS
from keraskit.errors import UserError

SHARES, DOCUMENTS = (70, 15, 15), (50, 25, 25)  # percent to train, validate and test
KAGGLES = re.compile(r"(.*/)?((cat|dog)\.|PetImages/(cat|dog)/)\d+\.jpg", re.IGNORECASE)  # or the public archive's
FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing", "test1"), "test"),  # test1 is Kaggle's
}
SEPARATORS = " ._-()[]"
By = Literal["random", "group"]
Labelled = list[tuple[str, int]]
Path = tuple[str, ...]  # the parts of a name


@dataclass(frozen=True)
class Layout:
    """Which picture is of which class and in which split.

    Args:
        classes: their names, in the order of the labels.
        splits: for train, validation and test the pictures' names and labels, by class and number.
        how: they were split, in words.
        strangers: pictures of no class or split.
        document: whether the split is the document's own.
    """

    classes: tuple[str, ...]
    splits: dict[str, Labelled]
    how: str
    strangers: list[str]
    document: bool


def arrange(
    names: Iterable[str],
    where: object,
    most: int | None = None,
    shares: tuple[int, ...] | None = None,
    by: By | None = None,
    others: Iterable[str] = (),
) -> Layout:
    """Sort pictures into classes and splits by their names alone, whatever order these come in.

    Args:
        names: of pictures, relative, with slashes: train/cat/1.jpg, cat/1.jpg, or Kaggle's cat.0.jpg.
        where: they lie, for messages.
        most: pictures to take of each class where they are Kaggle's cats and dogs, in the document's order.
        shares: percent to train, validate and test (default: 70, 15, 15; of Kaggle's as the document has them).
        by: "random" cuts each class at random, always the same; "group" whole groups (default: random; of Kaggle's as
            the document has them).
        others: names of files that are no pictures, and of empty folders, which end with a slash.

    Raises:
        UserError: there are no classes or too many, one has nothing to train on, a folder beside those of the classes
            holds no picture, or the shares make no sense.
    """
    if shares and (min(shares) < 1 or sum(shares) != 100):
        given = " ".join(map(str, shares))
        raise UserError(f"--shares {given} makes no sense: expected percent above 0 that sum up to 100.")
    names = sorted(names, key=lambda name: (_natural(name), name))
    found = _places(names)
    kinds = {name: class_of(rest) for name, (_, rest) in found.items()}
    classes = tuple(sorted(set(kinds.values())))
    if not 2 <= len(classes) <= MOST_CLASSES:
        listed = f" ({', '.join(classes) or 'none'})" if len(classes) < 2 else ""
        problem = f"{where} has {len(classes):,} classes of pictures{listed}; from two to {MOST_CLASSES:,}"
        advice = "Make a subfolder per class, or name pictures like cat.0.jpg and dog.0.jpg."
        raise UserError(f"{problem} are possible.", advice)
    _check_folders(names, {name: rest for name, (_, rest) in found.items() if len(rest) > 1}, others, where)
    index = {kind: k for k, kind in enumerate(classes)}
    pairs = sorted(((name, index[kind]) for name, kind in kinds.items()), key=lambda pair: pair[1])  # each by number
    ready = {split: [pair for pair in pairs if found[pair[0]][0] == split] for split in SPLITS}
    is_ready = bool(ready["train"]) and len(ready["train"]) < len(pairs)
    pets = {kind.lower().rstrip("s") for kind in classes} == {"cat", "dog"} and all(map(KAGGLES.fullmatch, kinds))
    document = pets and not (is_ready or shares or by)

    def divide(pairs: Labelled, shares: Sequence[int]) -> tuple[list[Labelled], str]:
        groups = [group_of(found[name][1]) for name, _ in pairs] if by == "group" else None
        cuts = splitting.cut(len(pairs), shares, labels_of(pairs), groups)
        of = f"{len(set(groups)):,} whole groups, such as {groups[0]}," if groups else "each class"
        how = f"{'/'.join(map(str, shares))} of {of} at random, seed {splitting.SEED}"
        return [[pairs[i] for i in np.sort(part)] for part in cuts], how

    shares = shares or SHARES
    if document:
        parts, how = _documents(pairs, most)
    elif is_ready:
        parts, how = [ready[split] for split in SPLITS], "as the folders say"
        for missing, giver in ((1, 0), (2, 1)):  # validation off training, the test off validation
            if not parts[missing]:
                (parts[giver], parts[missing]), words = divide(parts[giver], (shares[giver], shares[missing]))
                how += f"; there is no {SPLITS[missing]}, so {SPLITS[giver]} is cut, {words}"
    else:
        parts, how = divide(pairs, shares)
    splits = dict(zip(SPLITS, parts, strict=True))
    splitting.check_classes({split: labels_of(pairs) for split, pairs in splits.items()}, classes, where)
    return Layout(classes, splits, how, [name for name in names if name not in kinds], document)


def _check_folders(names: Sequence[str], found: dict[str, Path], others: Iterable[str], where: object) -> None:
    """Raise UserError where a folder beside those of the classes has no picture: its class would be missing unseen."""
    full = {"/".join(parts[:depth]) for parts in (name.split("/") for name in names) for depth in range(1, len(parts))}
    above = {name.removesuffix("/".join(rest)) for name, rest in found.items()}
    unread: dict[str, Counter[str]] = defaultdict(Counter)
    for name in others:
        for root in above:
            kind, slash, file = name.removeprefix(root).partition("/")
            if name.startswith(root) and slash and root + kind not in full:
                unread[root + kind][PurePath(file).suffix.lower() or "without ending"] += bool(file)
    for folder, endings in unread.items():
        listed = ", ".join(f"{count:,} {ending}" for ending, count in endings.items() if count) or "it is empty"
        problem = f"{where}: the folder {folder} has no picture that can be read: {listed}"
        raise UserError(f"{problem}.", "Save its pictures as JPEG or PNG, or move it away.")


def labels_of(pairs: Labelled) -> np.ndarray:
    """Their labels, int64."""
    return np.array([label for _, label in pairs], np.int64)


def class_of(rest: Path) -> str:
    """The class: the folder's name, or `cat` of `cat.0.jpg`; empty for none."""
    if len(rest) > 1:
        return unicodedata.normalize("NFC", rest[0])  # an ê of one letter, or of two as macOS writes it
    match = re.fullmatch(r"(.+?)\.\d+\.[^.]+", rest[0])
    return match[1] if match else ""


def group_of(rest: Path) -> str:
    """The folder below the class, or a file's name before its last number or separator: person3_001.jpg's person3."""
    if len(rest) > 2:
        return rest[1]
    pieces = re.findall(r"\d+|[\W_]+|[^\W\d_]+", rest[-1].rpartition(".")[0].rstrip(SEPARATORS))
    last = max((i for i, piece in enumerate(pieces) if not piece.isalpha()), default=len(pieces))
    return "".join(pieces[:last]).rstrip(SEPARATORS)


def _documents(pairs: Labelled, most: int | None) -> tuple[list[Labelled], str]:
    """The document's split of Kaggle's cats and dogs: of each class, or its first `most`, in the order of numbers."""
    parts: list[Labelled] = [[] for _ in SPLITS]
    labels = labels_of(pairs)
    for label in np.unique(labels):
        chosen = np.flatnonzero(labels == label)[:most]
        sizes = [len(chosen) * share // 100 for share in DOCUMENTS[1:]]  # what is left over is trained on
        for part, cut in zip(parts, np.split(chosen, len(chosen) - np.cumsum(sizes[::-1])[::-1]), strict=True):
            part += [pairs[i] for i in cut]
    if most and min(np.bincount(labels)) >= most:
        return parts, f"the document's: of each class 0 to {most // 2 - 1} for training, then two quarters"
    return parts, "in the document's order, of each class the first half for training, then two quarters"


def _natural(name: str) -> list[tuple[int, str]]:
    """cat.9 before cat.10."""
    pieces = re.split(r"(\d{1,1000})", name)  # Python makes no number of more than 4,300 digits
    return [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in pieces]


def _places(names: Sequence[str]) -> dict[str, tuple[str, Path]]:
    """The split of every picture that has a class, train where no folders say, and the rest of its name below that."""
    paths = {name: tuple(name.split("/")) for name in names}
    root = _above_splits(paths.values())
    split = root is not None
    root = _above_classes(paths.values()) if root is None else root
    found: dict[str, tuple[str, Path]] = {}
    for name, path in paths.items():
        which = FOLDERS.get(path[len(root)].lower(), "") if split and len(path) > len(root) else "train"
        rest = path[len(root) + split :]
        if path[: len(root)] == root and which and rest and class_of(rest):
            found[name] = which, rest
    flat = Counter(len(rest) == 1 for _, rest in found.values())  # cat.0.jpg, or cat/0.jpg: the fewer are strangers
    return {name: place for name, place in found.items() if (len(place[1]) == 1) == (flat[True] > flat[False])}


def _above_splits(paths: Iterable[Path]) -> Path | None:
    """The one folder, nearest to the top, that holds folders of two splits, and classes below them."""
    found: dict[Path, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in paths:
        for depth, folder in enumerate(path[:-1]):
            if split := FOLDERS.get(folder.lower()):
                found[path[:depth]][split].add(class_of(path[depth + 1 :]))
    roots = [root for root, splits in found.items() if len(splits) > 1 and any(set().union(*splits.values()))]
    nearest = [root for root in roots if len(root) == min(map(len, roots))]
    return nearest[0] if len(nearest) == 1 else None


def _above_classes(paths: Iterable[Path]) -> Path:
    """The folder that holds those of the classes: one that holds all others says nothing."""
    root: Path = ()
    while True:
        rests = [path[len(root) :] for path in paths if path[: len(root)] == root]
        tops = Counter(rest[0] for rest in rests if len(rest) > 1)
        if len(tops) != 1 or sum(len(rest) == 1 and class_of(rest) != "" for rest in rests) > tops.total():
            return root
        root = (*root, *tops)
