"""Tells from its name which split and class a picture belongs to: train/cat/1.jpg, cat/1.jpg, Kaggle's cat.0.jpg."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from keraskit.errors import UserError

FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing", "test1"), "test"),  # test1 is Kaggle's
}
HEIC = "Set the phone's camera to Most Compatible, or export the pictures as JPEG"
SEPARATORS = " ._-()[]"
Path = tuple[str, ...]  # the parts of a name
Place = tuple[str, Path]  # a split, and the rest of the name below its folder


def places(names: Iterable[str], others: Sequence[str], where: object) -> tuple[dict[str, Place], bool]:
    """The split and the rest of the name of every picture that has a class; and whether folders are splits.

    Args:
        names: of pictures, relative, with slashes.
        others: of files that are no pictures, and of empty folders, which end with a slash.
        where: they lie, for messages.

    Raises:
        UserError: beside the folders of classes lies one without a picture that can be read.
    """
    paths = {name: tuple(name.split("/")) for name in sorted(names, key=lambda name: (_natural(name), name))}
    root = _above_splits(paths.values())
    split = root is not None
    root = _above_classes(paths.values()) if root is None else root
    found: dict[str, Place] = {}
    for name, path in paths.items():
        which = FOLDERS.get(path[len(root)].lower(), "") if split and len(path) > len(root) else "train"
        rest = path[len(root) + split :]
        if path[: len(root)] == root and which and rest and kind_of(rest):
            found[name] = which, rest
    flat = Counter(len(rest) == 1 for _, rest in found.values())  # cat.0.jpg, or cat/0.jpg: the fewer are strangers
    found = {name: place for name, place in found.items() if (len(place[1]) == 1) == (flat[True] > flat[False])}
    level = {paths[name][: len(root) + split] for name in found if len(found[name][1]) > 1}
    classes = {kind_of(rest) for _, rest in found.values()}
    _check_folders(paths.values(), others, level if len(classes) > 1 else None, where)
    return found, split


def kind_of(rest: Path) -> str:
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


def _natural(name: str) -> list[tuple[int, str]]:
    """cat.9 before cat.10."""
    pieces = re.split(r"(\d{1,1000})", name)  # Python makes no number of more than 4,300 digits
    return [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in pieces]


def _above_splits(paths: Iterable[Path]) -> Path | None:
    """The one folder, nearest to the top, that holds folders of two splits, and classes below them."""
    found: dict[Path, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in paths:
        for depth, folder in enumerate(path[:-1]):
            if split := FOLDERS.get(folder.lower()):
                found[path[:depth]][split].add(kind_of(path[depth + 1 :]))
    roots = [root for root, splits in found.items() if len(splits) > 1 and any(set().union(*splits.values()))]
    least = min(map(len, roots), default=0)
    nearest = [root for root in roots if len(root) == least]
    return nearest[0] if len(nearest) == 1 else None


def _above_classes(paths: Iterable[Path]) -> Path:
    """The folder that holds those of the classes: one that holds all others says nothing."""
    root: Path = ()
    while True:
        rests = [path[len(root) :] for path in paths if path[: len(root)] == root]
        tops = Counter(rest[0] for rest in rests if len(rest) > 1)
        if len(tops) != 1 or sum(len(rest) == 1 and kind_of(rest) != "" for rest in rests) > tops.total():
            return root
        root = (*root, *tops)


def _check_folders(paths: Iterable[Path], others: Sequence[str], level: set[Path] | None, where: object) -> None:
    """Raise UserError where a folder in one of `level` (None: in any with pictures), or a split's, has no picture."""
    full = {folder[:depth] for folder in {path[:-1] for path in paths} for depth in range(len(folder) + 1)}
    unread: dict[str, Counter[str]] = defaultdict(Counter)
    for name in others:
        *folders, file = name.split("/")
        for depth, folder in enumerate(folders):
            above, whole = tuple(folders[:depth]), tuple(folders[: depth + 1])
            split = folder.lower() in FOLDERS and file and above in full
            if whole not in full and (split or above in (full if level is None else level)):
                unread["/".join(whole)][PurePosixPath(file).suffix.lower()] += bool(file)
    for which, endings in unread.items():
        listed = ", ".join(f"{count:,} {ending or 'without ending'}" for ending, count in endings.items() if count)
        advice = HEIC if {".heic", ".heif"} & set(endings) else "Save its pictures as JPEG or PNG, or move it away"
        problem = f"{where}: the folder {which} has no picture that can be read: {listed or 'it is empty'}"
        raise UserError(f"{problem}.", f"{advice}.")
