"""Cut data into splits, in a seeded random order with each class in proportion, and find duplicates between splits."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from keraskit.errors import UserError

SPLITS = ("train", "validation", "test")
SEED = 0  # for all splits: the training data does not depend on a run's own seed
NAMED = 3  # number of class names listed in a note
LEAK = "test examples are exact copies of train"  # in a note of `copies`
MOST_CLASSES = 1_000  # limits the confusion matrix and its figure


def order(size: int, labels: np.ndarray | None = None) -> np.ndarray:
    """Return an order of `size` examples, shuffled with a fixed seed, stratified if `labels` are given.

    Any prefix has each class in proportion, so a split is a slice and `--limit` takes the first examples of a split.
    """
    mixed = np.random.default_rng(SEED).permutation(size)
    if labels is None:
        return mixed
    place = np.empty(size)
    for label in np.unique(labels):
        of_class = mixed[labels[mixed] == label]
        place[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    return mixed[np.argsort(place[mixed], kind="stable")]


def cut(
    size: int, shares: Sequence[float], labels: np.ndarray | None = None, groups: Sequence[str] | None = None
) -> list[np.ndarray]:
    """Cut `size` examples into parts proportional to `shares`, stratified by `labels`.

    Groups of examples stay together (`labels` are required then): classes are in proportion as far as groups allow.
    Raises UserError if a part would be empty.
    """
    parts, mixed = np.divide(shares, sum(shares)), order(size, labels)
    if groups is None:
        cuts = np.split(mixed, np.round(np.cumsum(parts)[:-1] * size).astype(int))
        of = f"{size:,} examples"
    else:
        names, group = np.unique(groups, return_inverse=True)
        part = _parts_of_groups(group, np.unique(np.asarray(labels), return_inverse=True)[1], parts)[group]
        cuts = [mixed[part[mixed] == i] for i in range(len(parts))]
        of = f"{len(names):,} groups, such as '{names[0]}',"
    if not all(map(len, cuts)):
        raise UserError(f"{of} do not fill {len(parts)} splits.", "Add more.")
    return cuts


def _parts_of_groups(group: np.ndarray, label: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Assign groups to parts, largest first, each to the part with the fewest of its classes relative to its share."""
    counts = np.zeros((group.max() + 1, label.max() + 1))
    np.add.at(counts, (group, label), 1)
    filled, chosen = np.zeros((len(parts), counts.shape[1])), np.empty(len(counts), int)
    weight = counts / counts.sum(axis=0) ** 2
    for i in sorted(order(len(counts)), key=lambda i: -counts[i].sum()):
        chosen[i] = (filled / parts[:, None] @ weight[i]).argmin()
        filled[chosen[i]] += counts[i]
    return chosen


def fingerprints(*arrays: np.ndarray) -> np.ndarray:
    """Return 64 bits of the SHA-256 of each example, over all arrays; uint64, shape (n,)."""
    content = lambda part: repr(part.tolist()).encode() if part.dtype.kind == "U" else part.tobytes()  # noqa: E731
    rows = (b"".join(map(content, row)) for row in zip(*arrays, strict=True))  # texts are stored as wide as the longest
    return np.array([int(hashlib.sha256(row).hexdigest()[:16], 16) for row in rows], np.uint64)


def copies(prints: Mapping[str, np.ndarray]) -> list[str]:
    """Return notes on exact copies of examples between splits, given the fingerprints of each split."""
    notes = []
    for split, other in (("test", "train"), ("validation", "train"), ("test", "validation")):
        if count := int(np.isin(prints[split], prints[other]).sum()):
            notes.append(f"{count:,} of {len(prints[split]):,} {split} examples are exact copies of {other} examples")
    return notes


def check_classes(labels: Mapping[str, np.ndarray], classes: Sequence[str], where: object) -> list[str]:
    """Return notes on classes that are missing from validation, test, or all splits.

    Raises UserError if the training split lacks a class that another split has, or if a split is empty.
    """
    seen, every = np.unique(np.concatenate([*labels.values()])), np.arange(len(classes))
    nowhere = [classes[k] for k in np.setdiff1d(every, seen)]
    notes = [f"no split has an example of {some(nowhere)}"] if nowhere else []
    folded = [name.casefold() for name in classes]
    if alike := [name for name in classes if folded.count(name.casefold()) > 1]:
        notes.append(f"{some(alike)} differ in capitals alone: if they are one class, rename a folder")
    for split, present in labels.items():
        if not len(present):
            raise UserError(f"{where}: {split} is empty.", "Every split needs examples.")
        if lacks := [classes[k] for k in np.setdiff1d(seen, present)]:
            words = f"{split} has no example of {some(lacks)}"
            if split == "train":
                advice = "A class needs training examples by this very name; targets that are no classes: floats."
                raise UserError(f"{where}: {words}.", advice)
            notes.append(words)
    return notes


def some(names: Sequence[str]) -> str:
    """Return the first few names and the number of the others."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(map(repr, names[:NAMED]))}{more}"
