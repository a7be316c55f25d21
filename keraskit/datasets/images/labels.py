"""Sorts pictures by their names into classes and splits: as folders say, as the document has them, or at random."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from keraskit.datasets import splitting
from keraskit.datasets.checks import MOST_CLASSES
from keraskit.datasets.images.names import group_of, kind_of, places
from keraskit.datasets.splitting import SPLITS
from keraskit.errors import UserError

SHARES, DOCUMENTS = (70, 15, 15), (50, 25, 25)  # percent to train, validate and test
KAGGLES = re.compile(r"(.*/)?((cat|dog)\.|PetImages/(cat|dog)/)\d+\.jpg", re.IGNORECASE)  # or the public archive's
By = Literal["random", "name", "group"]
Labelled = list[tuple[str, int]]


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

    @property
    def names(self) -> list[str]:
        """Of all pictures."""
        return [name for pairs in self.splits.values() for name, _ in pairs]


def arrange(
    names: Sequence[str],
    where: object,
    most: int | None = None,
    shares: tuple[int, ...] | None = None,
    by: By | None = None,
    others: Sequence[str] = (),
) -> Layout:
    """Sort pictures into classes and splits by their names alone, whatever order these come in.

    Args:
        names, others, where: as `names.places` has them.
        most: pictures to take of each class where they are Kaggle's cats and dogs, in the document's order.
        shares: percent to train, validate and test (default: 70, 15, 15; of Kaggle's as the document has them).
        by: "random" cuts each class at random, always the same; "name" in the order of names; "group" whole groups at
            random (default: random; of Kaggle's as the document has them).

    Raises:
        UserError: there are no classes or too many, one has nothing to train on, or the shares make no sense.
    """
    if shares and (min(shares) < 1 or sum(shares) != 100):
        given = " ".join(map(str, shares))
        raise UserError(f"--shares {given} makes no sense: expected percent above 0 that sum up to 100.")
    found, ready = places(names, others, where)
    kinds = {name: kind_of(rest) for name, (_, rest) in found.items()}
    classes = tuple(sorted(set(kinds.values())))
    if not 2 <= len(classes) <= MOST_CLASSES:
        listed = f" ({', '.join(classes) or 'none'})" if len(classes) < 2 else ""
        problem = f"{where} has {len(classes):,} classes of pictures{listed}; from two to {MOST_CLASSES:,}"
        advice = "Make a subfolder per class, or name pictures like cat.0.jpg and dog.0.jpg."
        raise UserError(f"{problem} are possible.", advice)
    index = {kind: k for k, kind in enumerate(classes)}
    pairs = sorted(((name, index[kind]) for name, kind in kinds.items()), key=lambda pair: pair[1])  # each by number
    splits = {split: [pair for pair in pairs if found[pair[0]][0] == split] for split in SPLITS}
    ready = ready and bool(splits["train"]) and len(splits["train"]) < len(pairs)
    pets = {kind.lower().rstrip("s") for kind in classes} == {"cat", "dog"} and all(map(KAGGLES.fullmatch, kinds))
    document = pets and not (ready or shares or by)
    groups = {name: group_of(rest) for name, (_, rest) in found.items()} if by == "group" else {}
    if document:
        parts, how = _documents(pairs, most)
    elif ready:
        parts, how = _completed(splits, shares or SHARES, by or "random", groups)
    else:
        parts, how = _divided(pairs, shares or SHARES, by or "random", groups)
    splits = dict(zip(SPLITS, parts, strict=True))
    splitting.check_classes({split: labels_of(pairs) for split, pairs in splits.items()}, classes, where)
    return Layout(classes, splits, how, [name for name in names if name not in kinds], document)


def labels_of(pairs: Labelled) -> np.ndarray:
    """Their labels, int64."""
    return np.array([label for _, label in pairs], np.int64)


def _divided(pairs: Labelled, shares: Sequence[int], by: By, groups: Mapping[str, str]) -> tuple[list[Labelled], str]:
    """Cut pictures, each class in the order of names, into shares; and how, in words."""
    labels, how = labels_of(pairs), "/".join(map(str, shares))
    if by == "name":
        return _in_order(pairs, shares), f"{how} of each class, in the order of names"
    grouped = [groups[name] for name, _ in pairs] if by == "group" else None
    cuts = splitting.cut(len(pairs), shares, labels, grouped)
    how += f" of {len(set(grouped)):,} whole groups, such as {grouped[0]}," if grouped else " of each class"
    return [[pairs[i] for i in np.sort(part)] for part in cuts], f"{how} at random, seed {splitting.SEED}"


def _in_order(pairs: Labelled, shares: Sequence[int], most: int | None = None) -> list[Labelled]:
    """Cut each class, or the first `most` of it, in the order of names."""
    parts: list[Labelled] = [[] for _ in shares]
    labels = labels_of(pairs)
    for label in np.unique(labels):
        chosen = np.flatnonzero(labels == label)[:most]
        sizes = [len(chosen) * share // sum(shares) for share in shares[1:]]  # what is left over is trained on
        for part, cut in zip(parts, np.split(chosen, len(chosen) - np.cumsum(sizes[::-1])[::-1]), strict=True):
            part += [pairs[i] for i in cut]
    return parts


def _documents(pairs: Labelled, most: int | None) -> tuple[list[Labelled], str]:
    """The document's split of Kaggle's cats and dogs."""
    if most and min(np.bincount(labels_of(pairs))) >= most:
        how = f"the document's: of each class 0 to {most // 2 - 1} for training, then two quarters"
    else:
        how = "in the document's order, of each class the first half for training, then two quarters"
    return _in_order(pairs, DOCUMENTS, most), how


def _completed(
    splits: dict[str, Labelled], shares: Sequence[int], by: By, groups: Mapping[str, str]
) -> tuple[list[Labelled], str]:
    """The splits as they lie there; one that is missing is cut off another."""
    parts, how = [splits[split] for split in SPLITS], "as the folders say"
    for missing, giver in ((1, 0), (2, 1)):  # validation off training, the test off validation
        if not parts[missing]:
            (parts[giver], parts[missing]), words = _divided(parts[giver], (shares[giver], shares[missing]), by, groups)
            how += f"; there is no {SPLITS[missing]}, so {SPLITS[giver]} is cut, {words}"
    return parts, how
