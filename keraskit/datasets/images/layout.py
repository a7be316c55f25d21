"""Sort images by name into classes and splits: by folders, as in the tutorial, or at random; look up given classes."""

import functools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keraskit import system
from keraskit.datasets import splitting
from keraskit.datasets.images.sources import EMPTY, NO_PICTURE, Folder, listed
from keraskit.datasets.splitting import MOST_CLASSES, SPLITS
from keraskit.errors import UserError, did_you_mean

SHARES = (70, 15, 15)  # percent to train, validate and test
KAGGLES = re.compile(r"(.*/)?((cat|dog)\.|PetImages/(cat|dog)/)\d+\.jpg", re.IGNORECASE)  # or the public archive's
FOLDERS = {"train": "train training 训练", "validation": "validation valid val 验证", "test": "test testing 测试"}
SEPARATORS = " ._-()[]"
GROUPS = re.compile(r"(?s)^(?:(\D*\d+)\D*[^\W\d_]\D*|(.*?)\d+\D*|(.*?)[\W_]+[^\W\d_]*)\Z")  # p3_left, p3_1, p_left
Labelled = list[tuple[str, int]]
Parts = tuple[str, ...]  # the parts of a name


class Layout(NamedTuple):
    """The classes of a set of images, and its splits as (name, label) pairs, sorted by class and number."""

    classes: tuple[str, ...]
    splits: dict[str, Labelled]
    how: str  # describes the split
    skipped: dict[str, str]  # what is left out, and why
    document: bool  # whether the split is the tutorial's


def arrange(
    names: Sequence[str], where: object, most: int | None = None, shares: tuple[int, ...] | None = None,
    by: str | None = None, skipped: Mapping[str, str] = {},
) -> Layout:  # fmt: skip
    """Sort images into classes and splits by their names only, in whatever order they are given.

    Args:
        names: relative paths of images, with slashes.
        where: the folder or archive, for error messages.
        most: images to take from each class of Kaggle's cats and dogs, in the tutorial's order.
        shares: percent to train, validate and test (default: 70, 15, 15; for Kaggle's data set, the tutorial's split).
        by: "random" cuts each class at random with a fixed seed, "group" by whole groups (default: "random"; for
            Kaggle's data set, the tutorial's split).
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
    below = {rest[:2] for _, rest in places.values() if len(rest) > 2}
    named = [(kind, inner) for kind, inner in below if split_of(kind)]
    several = not root[1] and len(named) > len(dict(named))  # train/cat and train/dog beside other classes
    if several or any(one != two and (two, inner) in below for one, inner in named for two in classes):
        raise UserError(f"{where}: {', '.join(classes)} look like splits.", "Call these train, validation and test.")
    if not root[1] and len({split_of(kind) for _, kind in below} - {""}) > 1:
        raise UserError(f"{where}: the splits lie within the classes.", "Let each split hold its classes: train/cat.")
    parts = [[pair for pair in pairs if places[pair[0]][0] == split] for split in SPLITS]
    pets = {kind.lower().rstrip("s") for kind in classes} == {"cat", "dog"} and all(map(KAGGLES.fullmatch, places))
    ready = bool(parts[0]) and len(parts[0]) < len(pairs)
    if root[1] and not parts[0]:
        raise UserError(f"{where} has splits, but none to train with.", "Call the folder to train with train.")
    document = pets and not (ready or shares or by)

    def divide(pairs: Labelled, shares: Sequence[int]) -> tuple[list[Labelled], str]:
        groups = _joined([group_of(places[name][1]) for name, _ in pairs]) if by == "group" else None
        cuts = splitting.cut(len(pairs), shares, labels_of(pairs), groups)
        of = f"whole groups, {splitting.some(sorted({*groups}))}," if groups else "each class"
        how = f"{'/'.join(map(str, shares))} of {of} at random, seed {splitting.SEED}"
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
    names: Iterable[str], where: object, skipped: Mapping[str, str], root: Parts = (), depth: int = 0
) -> tuple[tuple[str, ...], Labelled, dict[str, tuple[str, Parts]]]:
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


def class_of(rest: Parts) -> str:
    """Return the class: the folder's name, or `cat` for `cat.0.jpg`; '' if there is none."""
    match = re.fullmatch(r"(.+?)\.\d+\.[^.]+", "".join(rest))
    word = rest[0] if len(rest) > 1 else match[1] if match else ""
    return unicodedata.normalize("NFC", word)  # composed ê; macOS writes it decomposed


def group_of(rest: Parts) -> str:
    """Return the subfolder, or how the file name begins: person3 for person3_001.jpg and person3_left.jpg."""
    begin = GROUPS.sub(r"\1\2\3", rest[-1].rpartition(".")[0].rstrip(SEPARATORS))
    return rest[1] if len(rest) > 2 else begin.rstrip(SEPARATORS)


def _joined(groups: Sequence[str]) -> list[str]:
    """Let a group whose name goes on from another's be part of that: p3_001 of p3, if there is one."""
    known = {*groups}
    begins = [[g[:i] for i, letter in enumerate(g) if letter in SEPARATORS and g[:i] in known] for g in groups]
    return [begin[0] if begin else group for begin, group in zip(begins, groups, strict=True)]


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
    """Return the split that a folder's name means, as Train, test-set, seg_val and val2017 do; '' if none."""
    plain = re.sub(r"[\W\d_]", "", folder.lower())
    plain = re.sub(r"^(seg|data|set|images?|imgs?)+|(set|data|images?|imgs?|photos|dir|集|数据|图片)+$", "", plain)
    return next((split for split, names in FOLDERS.items() if plain in names.split()), "")


def _place(name: str, root: Parts, depth: int) -> tuple[str, Parts]:
    """Return a file's split ("train" without split folders) and the rest of its path; ("", ()) outside the layout."""
    path = tuple(name.split("/"))
    rest = path[len(root) :]
    which = split_of(rest[0]) if depth and rest else "train"
    return (which, rest[depth:]) if which and path[: len(root)] == root else ("", ())


def _root(paths: Sequence[Parts]) -> tuple[Parts, int]:
    """Return the topmost folder of several splits and their depth, 2 for test/test/cat; else that of classes, and 0."""
    found = defaultdict[Parts, set[str]](set)
    for path in paths:
        for depth, folder in enumerate(path[:-1]):
            if split := split_of(folder):
                found[path[:depth]].add(split)
    roots = [root for root, splits in found.items() if len(splits) > 1]
    nearest = [root for root in roots if len(root) == min(map(len, roots))]
    if len(nearest) == 1:
        inside = [path[len(nearest[0]) :] for path in paths if path[: len(nearest[0])] == nearest[0]]
        return nearest[0], 1 + all(rest[0] == rest[1] for rest in inside if len(rest) > 1 and split_of(rest[0]))
    root: Parts = ()
    while True:
        rests = [path[len(root) :] for path in paths if path[: len(root)] == root]
        tops = Counter(rest[0] for rest in rests if len(rest) > 1)
        if len(tops) != 1 or sum(len(rest) == 1 and class_of(rest) != "" for rest in rests) > tops.total():
            return root, 0  # a single folder around all others is no class
        root = (*root, *tops)


class Labels:
    """Look up classes of `owner` by name, such as Great-White Shark, by WordNet id, n01440764_tench, or by index."""

    def __init__(self, names: Sequence[str], owner: str, wordnet: Sequence[str] = ()) -> None:
        self.names, self.owner = list(names), owner
        plain = [_plain(name) for name in names]
        exact, by_id = ({each: k for k, each in enumerate(several)} for several in (names, wordnet))
        alone = {name: k for k, name in enumerate(plain) if plain.count(name) == 1}
        numbered = any(name.isdecimal() for name in names)  # as in folders 3, 7 and 10, which are no indices
        by_index = {} if numbered else {str(k): k for k in range(len(names))}
        self._ways = (
            lambda word: exact.get(word, alone.get(_plain(word))),
            lambda word: by_id.get("".join(re.findall(r"(?<![a-z0-9])n\d{8}(?!\d)", word.casefold()))),
            by_index.get,
        )

    def find(self, words: Iterable[str]) -> dict[str, int]:
        """Return the class of each word. Raises UserError for unknown words, or a mix of names, ids and indices."""
        words = list(dict.fromkeys(words))
        found = [{word: k for word in words if (k := way(word)) is not None} for way in self._ways]
        best = max(found, key=len)
        if unknown := [word for word in words if word not in best]:
            few = ", ".join(self.names[:12]) + " ..." * (len(self.names) > 12)
            advice = f"{did_you_mean(unknown[0], self.names)} Its classes are {few}."
            mixed = f" as {next(iter(best))!r} does" if any(unknown[0] in each for each in found) else ""
            raise UserError(f"{unknown[0]!r} names no class of {self.owner}{mixed}.", advice)
        return best

    def of_pictures(self, folders: Sequence[str | Path]) -> dict[Path, str]:
        """Return every image below the folders with its class, from the subfolder or the start of the file name.

        Raises UserError if a name is not a class, or if a folder has no images.
        """
        truth, advice = dict[Path, str](), "--evaluate needs pictures whose class is known: a subfolder per class."
        for root in map(system.expanded, folders):
            folder = Folder(root) if root.is_dir() else None
            if not folder or not folder.names:
                why = f": {listed(folder.skipped)}" if folder else ""
                raise UserError(f"{root} is no folder that holds pictures{why}.", advice)
            words = {root / name: self._word(Path(name)) for name in sorted(folder.names)}
            classes = self.find(words.values())
            truth |= {path: self.names[classes[word]] for path, word in words.items()}
        if not truth:
            raise UserError("No folder is named.", advice)
        return truth

    def _word(self, path: Path) -> str:
        """Return the class in a path: cat/1.jpg, n01440764_tench.JPEG, cat.0.jpg, lion (2).png; no bare number."""
        if len(path.parts) == 1 and path.stem in self.names:
            return path.stem
        word = re.sub(r"[ ._-]+\(?[0-9]+\)?$", "", path.stem)
        alone = len(path.parts) == 1 and (word in self.names or not word.isdecimal())
        return word if alone else path.parts[0]


def _plain(word: str) -> str:
    """Return the word in lower case, with runs of spaces, hyphens and underscores as one underscore."""
    return re.sub(r"[\s_-]+", "_", unicodedata.normalize("NFKC", word).casefold()).strip("_")


@functools.cache
def imagenet() -> tuple[tuple[str, str], ...]:
    """Return (WordNet id, name) of ImageNet's 1,000 classes in Keras's order, such as ("n01440764", "tench").

    The file in the package equals Keras's imagenet_class_index.json. It is made from timm 1.0.31 (Apache-2.0; its
    licence is in the same folder): the list of synsets, each with its first lemma in WordNet.
    """
    text = files("keraskit.datasets.images").joinpath("imagenet_classes.txt").read_text("utf-8")
    return tuple((line.split()[0], line.split()[1]) for line in text.splitlines())


@functools.cache
def imagenet_labels() -> Labels:
    """Return the classes by name, WordNet id or both: tench, n01440764, n01440764_tench, tench (n01440764).

    Two pairs of classes share a name, so their WordNet ids are part of it.
    """
    plain = [name for _, name in imagenet()]
    names = [f"{name} ({wordnet})" if plain.count(name) > 1 else name for wordnet, name in imagenet()]
    return Labels(names, "ImageNet", [wordnet for wordnet, _ in imagenet()])
