"""Which examples a split gets: in a seeded random order, each class in proportion; and which lie in two splits."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from keraskit.errors import UserError

SPLITS = ("train", "validation", "test")
SEED = 0  # of every split: what is learned from does not depend on a run's own seed
NAMED = 3  # examples or classes, in a note


def order(size: int, labels: np.ndarray | None = None, seed: int = SEED) -> np.ndarray:
    """A random permutation of `size` examples, any first part of which has each class in proportion.

    So a split is a slice of it, and `--limit` takes the first of a split.

    Args:
        size: the number of examples.
        labels: the class of each, shape (size,); None where there are no classes.
        seed: decides the permutation, together with size and labels alone.

    Returns:
        Indices, int64, shape (size,).
    """
    mixed = np.random.default_rng(seed).permutation(size)
    if labels is None:
        return mixed
    place = np.empty(size)
    for label in np.unique(labels):
        of_class = mixed[labels[mixed] == label]
        place[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    return mixed[np.argsort(place[mixed], kind="stable")]


def cut(
    size: int,
    shares: Sequence[float],
    labels: np.ndarray | None = None,
    groups: Sequence[str] | None = None,
) -> list[np.ndarray]:
    """Indices of each share of `size` examples, in random order, each class in proportion.

    Args:
        size, labels: as `order` has them.
        shares: of any sum.
        groups: the group of each example, shape (size,). A group stays whole, so classes are in proportion only as far
            as groups allow: the largest first, each goes where the least of its classes lies yet, for the share.

    Raises:
        UserError: there are fewer groups, or examples, than shares.
    """
    parts = np.divide(shares, sum(shares))
    mixed = order(size, labels)
    if groups is None:
        cuts = np.split(mixed, np.round(np.cumsum(parts)[:-1] * size).astype(int))
    else:
        names, group_of = np.unique(groups, return_inverse=True)
        classes = np.zeros(size, int) if labels is None else np.unique(labels, return_inverse=True)[1]
        counts = np.zeros((len(names), classes.max() + 1))
        np.add.at(counts, (group_of, classes), 1)
        totals, filled = counts.sum(0), np.zeros((len(parts), counts.shape[1]))
        chosen = np.empty(len(names), int)
        for group in sorted(order(len(names)), key=lambda group: -counts[group].sum()):
            chosen[group] = (filled / parts[:, None] @ (counts[group] / totals**2)).argmin()
            filled[chosen[group]] += counts[group]
        cuts = [mixed[chosen[group_of[mixed]] == part] for part in range(len(parts))]
    if not all(map(len, cuts)):
        of = f"{size:,} examples" if groups is None else f"{len(names):,} groups, such as '{names[0]}',"
        raise UserError(f"{of} do not fill {len(parts)} splits.", "Add more.")
    return cuts


def fingerprint(*contents: bytes) -> int:
    """64 bits of a sha256: what tells one example's bytes from others'."""
    return int(hashlib.sha256(b"".join(contents)).hexdigest()[:16], 16)


def fingerprints(*arrays: np.ndarray) -> np.ndarray:
    """The fingerprint of each row, of all arrays together, uint64, shape (n,)."""
    rows = zip(*arrays, strict=True)
    return np.array([fingerprint(*(part.tobytes() for part in row)) for row in rows], np.uint64)


def without_copies(
    rows: Mapping[str, np.ndarray],
    prints: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str] | np.ndarray,
    classes: Sequence[str],
) -> tuple[np.ndarray, list[str]]:
    """Find exact copies in two splits, and leave those in training out, so that the test split stays whole.

    Args:
        rows: which examples train, validation and test have.
        prints, labels, names: the fingerprint, class and name of every example.
        classes: their names.

    Returns:
        The rows of train that stay, and lines to show: how many copies there are, and which have two classes.
    """
    train, validation, test = (rows[split] for split in SPLITS)
    kept = train[~np.isin(prints[train], prints[np.concatenate([validation, test])])]
    notes = []
    if dropped := len(train) - len(kept):
        notes.append(f"left out of training: {dropped:,} exact copies of examples in validation or test")
    if shared := int(np.isin(prints[validation], prints[test]).sum()):
        notes.append(f"in validation, which chooses the epoch: {shared:,} exact copies of test examples")
    every = np.concatenate([train, validation, test])
    pairs = np.unique(np.stack([prints[every], labels[every].astype(np.uint64)]), axis=1)
    known, counts = np.unique(pairs[0], return_counts=True)
    if len(torn := known[counts > 1]):
        same = {classes[labels[i]]: names[i] for i in every[prints[every] == torn[0]]}
        words = " and ".join(f"{name} ({class_name})" for class_name, name in same.items())
        notes.append(f"in two classes: {len(torn):,} pictures, byte for byte the same, such as {words}")
    return kept, notes


def check_classes(labels: Mapping[str, np.ndarray], classes: Sequence[str], where: object) -> list[str]:
    """Lines on classes that validation or test lack. Raises UserError where training lacks one, or a split is empty."""
    notes = []
    for split, present in labels.items():
        if not len(present):
            raise UserError(f"{where}: {split} is empty.", "Every split needs examples.")
        if lacks := [classes[k] for k in np.setdiff1d(np.arange(len(classes)), present)]:
            words = f"{split} has no example of {some(lacks)}"
            if split == "train":
                raise UserError(f"{where}: {words}.", "Nothing can be learned of a class without examples.")
            notes.append(words)
    return notes


def some(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(map(repr, names[:NAMED]))}{more}"
