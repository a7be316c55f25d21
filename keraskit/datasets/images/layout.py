"""Sort images by name into classes and splits: by folders, as in the tutorial, or at random."""

import functools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keraskit.datasets import splitting
from keraskit.datasets.images.sources import EMPTY, NO_PICTURE, listed
from keraskit.datasets.splitting import MOST_CLASSES, SPLITS
from keraskit.errors import UserError

SHARES = (70, 15, 15)  # percent to train, validate and test
KAGGLES = re.compile(r"(.*/)?((cat|dog)\.|PetImages/(cat|dog)/)\d+\.jpg", re.IGNORECASE)  # or the public archive's
FOLDERS = {"train": "train training", "validation": "validation valid val", "test": "test testing test1"}
SEPARATORS = " ._-()[]"
Labelled = list[tuple[str, int]]
Path = tuple[str, ...]  # the parts of a name


@dataclass(frozen=True)
class Layout:
    """The classes of a set of images, and its splits as (name, label) pairs, sorted by class and number.

    `how` describes the split, `skipped` says what is left out and why, and `document` tells whether the split is the
    tutorial's.
    """

    classes: tuple[str, ...]
    splits: dict[str, Labelled]
    how: str
    skipped: dict[str, str]
    document: bool


def arrange(
    names: Sequence[str],
    where: object,
    most: int | None = None,
    shares: tuple[int, ...] | None = None,
    by: str | None = None,
    skipped: Mapping[str, str] = {},
) -> Layout:
    """Sort images into classes and splits by their names only, in whatever order they are given.

    Args:
        names: relative paths of images, with slashes.
        where: the folder or archive, for error messages.
        most: images to take from each class of Kaggle's cats and dogs, in the tutorial's order.
        shares: percent to train, validate and test (default: 70, 15, 15; for Kaggle's data set, the tutorial's split).
        by: "random" cuts each class at random with a fixed seed, "name" in the order of names, "group" by whole groups
            at random (default: "random"; for Kaggle's data set, the tutorial's split).
        skipped: what else lies there, and why it is left out.

    Raises UserError if there are fewer than two classes or too many, or too few images in a class or in total.
    """
    root = _root([tuple(name.split("/")) for name in names])
    classes, pairs, places = by_class(names, where, skipped, *root)
    skipped = {name: "is of no class or split" for name in sorted(set(names) - set(places))} | dict(skipped)
    if not 2 <= len(classes) <= MOST_CLASSES:
        advice = "Make a subfolder per class, or name pictures like cat.0.jpg and dog.0.jpg."
        problem = f"{where} has {len(classes):,} classes of pictures; from two to {MOST_CLASSES:,} are possible"
        problem += f". Left out: {listed(skipped)}" * bool(skipped)
        raise UserError(f"{problem}.", advice)
    below = {(rest[0], rest[1]) for _, rest in places.values() if len(rest) > 2}
    if any(split_of(one) and one != two and (two, kind) in below for one, kind in below for two in classes):
        raise UserError(f"{where}: {', '.join(classes)} look like splits.", "Call these train, validation and test.")
    inner = {rest[1] for _, rest in places.values() if len(rest) > 2 and not root[1]}
    if len({*map(split_of, inner)} - {""}) > 1:
        raise UserError(f"{where}: the splits lie within the classes.", "Let each split hold its classes: train/cat.")
    parts = [[pair for pair in pairs if places[pair[0]][0] == split] for split in SPLITS]
    pets = {kind.lower().rstrip("s") for kind in classes} == {"cat", "dog"} and all(map(KAGGLES.fullmatch, places))
    ready = bool(parts[0]) and len(parts[0]) < len(pairs)
    document = pets and not (ready or shares or by)

    def divide(pairs: Labelled, shares: Sequence[int]) -> tuple[list[Labelled], str]:
        groups = [group_of(places[name][1]) for name, _ in pairs] if by == "group" else None
        cuts = splitting.cut(len(pairs), shares, labels_of(pairs), groups, by != "name")
        of = f"{len(set(groups)):,} whole groups, such as {groups[0]}," if groups else "each class"
        how = "by name" if by == "name" else f"at random, seed {splitting.SEED}"
        how = f"{'/'.join(map(str, shares))} of {of} {how}"
        return [[pairs[i] for i in np.sort(part)] for part in cuts], how

    shares = shares or SHARES
    if document:
        how = "the tutorial's: by number, of each class the first half for training, then two quarters"
        parts = _documents(pairs, most)
    elif not ready:
        parts, how = divide(pairs, shares)
    else:
        how = "as the folders say"
        for missing, giver in ((1, 0), (2, 1)):  # cut validation from train, test from validation
            if not parts[missing]:
                (parts[giver], parts[missing]), words = divide(parts[giver], (shares[giver], shares[missing]))
                how += f"; there is no {SPLITS[missing]}, so {SPLITS[giver]} is cut, {words}"
    splitting.check_classes(dict(zip(SPLITS, map(labels_of, parts), strict=True)), classes, where)
    return Layout(classes, dict(zip(SPLITS, parts, strict=True)), how, skipped, document)


def by_class(
    names: Iterable[str], where: object, skipped: Mapping[str, str], root: Path = (), depth: int = 0
) -> tuple[tuple[str, ...], Labelled, dict[str, tuple[str, Path]]]:
    """Sort images into classes, by the name of their folder or the start of their own name: cat/1.jpg, cat.0.jpg.

    `root` is the folder that contains the class folders or, with a `depth`, those of the splits. Returns the classes;
    (name, label) pairs, sorted by class and number; and for each name its split and the rest of its path below that.
    Raises UserError if a class would be missing, since nothing in its folder can be read.
    """
    every = {name: _place(name, root, depth) for name in sorted(names, key=lambda name: (_natural(name), name))}
    places = {name: place for name, place in every.items() if class_of(place[1])}
    flat = Counter(len(rest) == 1 for _, rest in places.values())  # cat.0.jpg or cat/0.jpg: the rarer form is ignored
    are_flat = flat[True] > flat[False]
    places = {name: place for name, place in places.items() if (len(place[1]) == 1) == are_flat}
    classes = sorted({class_of(rest) for _, rest in places.values()})
    others = [_place(name, root, depth)[1] for name, why in skipped.items() if why in (NO_PICTURE, EMPTY)]
    lost = {class_of(rest) for rest in others if len(rest) > 1} - {*classes}
    if lost and any(len(rest) > 1 for _, rest in places.values()):
        problem = f"{where}: the folder {min(lost)} has no picture that can be read"
        raise UserError(f"{problem}.", "Save its pictures as JPEG or PNG, or move it away.")
    pairs = [(name, classes.index(class_of(rest))) for name, (_, rest) in places.items()]
    return tuple(classes), sorted(pairs, key=lambda pair: pair[1]), places


def labels_of(pairs: Labelled) -> np.ndarray:
    """Return the labels of (name, label) pairs, int64."""
    return np.array([label for _, label in pairs], np.int64)


def class_of(rest: Path) -> str:
    """Return the class: the folder's name, or `cat` for `cat.0.jpg`; '' if there is none."""
    if len(rest) > 1:
        return unicodedata.normalize("NFC", rest[0])  # composed ê; macOS writes it decomposed
    match = re.fullmatch(r"(.+?)\.\d+\.[^.]+", "".join(rest))
    return match[1] if match else ""


def group_of(rest: Path) -> str:
    """Return the subfolder, or the file name before its last number or separator: person3 for person3_001.jpg."""
    stem = rest[-1].rpartition(".")[0].rstrip(SEPARATORS)
    match = re.match(r"(.*?)(\d+|[\W_]+)[^\W\d_]*$", stem)
    return rest[1] if len(rest) > 2 else (match[1] if match else stem).rstrip(SEPARATORS)


def _documents(pairs: Labelled, most: int | None) -> list[Labelled]:
    """Cut Kaggle's cats and dogs as the tutorial does: the first `most` of each class (default: all), by number."""
    parts: list[Labelled] = [[], [], []]
    for label in (0, 1):
        chosen = [pair for pair in pairs if pair[1] == label][:most]
        quarter = len(chosen) // 4  # the remainder goes to training
        begins = [0, len(chosen) - 2 * quarter, len(chosen) - quarter, len(chosen)]
        for part, begin, end in zip(parts, begins, begins[1:], strict=False):
            part += chosen[begin:end]
    return parts


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a natural sort key, which puts cat.9 before cat.10; int() takes at most 4,300 digits."""
    return [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in re.split(r"(\d{1,1000})", name)]


@functools.cache
def split_of(folder: str) -> str:
    """Return the split that a folder's name means, as Train, test_set and seg_val do; '' if none."""
    plain = re.sub(r"^seg_|_(set|data|images)$", "", folder.lower())
    return next((split for split, names in FOLDERS.items() if plain in names.split()), "")


def _place(name: str, root: Path, depth: int) -> tuple[str, Path]:
    """Return a file's split ("train" without split folders) and the rest of its path; ("", ()) outside the layout."""
    path = tuple(name.split("/"))
    rest = path[len(root) :]
    which = split_of(rest[0]) if depth and rest else "train"
    return (which, rest[depth:]) if which and path[: len(root)] == root else ("", ())


def _root(paths: Sequence[Path]) -> tuple[Path, int]:
    """Return the topmost folder of several splits and their depth, 2 for test/test/cat; else that of classes, and 0."""
    found = defaultdict[Path, set[str]](set)
    for path in paths:
        for depth, folder in enumerate(path[:-1]):
            if split := split_of(folder):
                found[path[:depth]].add(split)
    roots = [root for root, splits in found.items() if len(splits) > 1]
    nearest = [root for root in roots if len(root) == min(map(len, roots))]
    if len(nearest) == 1:
        inside = [path[len(nearest[0]) :] for path in paths if path[: len(nearest[0])] == nearest[0]]
        return nearest[0], 1 + all(rest[0] == rest[1] for rest in inside if len(rest) > 1 and split_of(rest[0]))
    root: Path = ()
    while True:
        rests = [path[len(root) :] for path in paths if path[: len(root)] == root]
        tops = Counter(rest[0] for rest in rests if len(rest) > 1)
        if len(tops) != 1 or sum(len(rest) == 1 and class_of(rest) != "" for rest in rests) > tops.total():
            return root, 0  # a single folder around all others is no class
        root = (*root, *tops)
