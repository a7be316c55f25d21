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
    seed: int = SEED,
) -> list[np.ndarray]:
    """Indices of each share of `size` examples, in random order, each class in proportion.

    Args:
        size, labels, seed: as `order` has them.
        shares: of any sum.
        groups: the group of each example, shape (size,). A group stays whole, so classes are in proportion only as far
            as groups allow: the largest first, each goes where the least of its classes lies yet, for the share.

    Raises:
        UserError: there are fewer groups, or examples, than shares.
    """
    parts = np.divide(shares, sum(shares))
    mixed = order(size, labels, seed)
    if groups is None:
        cuts = np.split(mixed, np.round(np.cumsum(parts)[:-1] * size).astype(int))
    else:
        names, group_of = np.unique(groups, return_inverse=True)
        kinds = np.zeros(size, int) if labels is None else np.unique(labels, return_inverse=True)[1]
        counts = np.zeros((len(names), kinds.max() + 1))
        np.add.at(counts, (group_of, kinds), 1)
        totals, filled = counts.sum(0), np.zeros((len(parts), counts.shape[1]))
        chosen = np.empty(len(names), int)
        for group in sorted(order(len(names), seed=seed), key=lambda group: -counts[group].sum()):
            chosen[group] = (filled / parts[:, None] @ (counts[group] / totals**2)).argmin()
            filled[chosen[group]] += counts[group]
        cuts = [mixed[chosen[group_of[mixed]] == part] for part in range(len(parts))]
    if not all(map(len, cuts)):
        of = f"{size:,} examples" if groups is None else f"{len(names):,} groups, such as '{names[0]}',"
        raise UserError(f"{of} do not fill {len(parts)} splits.", "Add more.")
    return cuts


def fingerprints(*arrays: np.ndarray) -> np.ndarray:
    """What tells examples apart by their bytes in all arrays: 64 bits of a sha256 of each, uint64, shape (n,)."""
    rows = (b"".join(part.tobytes() for part in row) for row in zip(*arrays, strict=True))
    return np.array([int(hashlib.sha256(row).hexdigest()[:16], 16) for row in rows], np.uint64)


def apart(
    prints: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    names: Mapping[str, Sequence[str]],
    classes: Sequence[str],
) -> tuple[np.ndarray, list[str]]:
    """Find exact copies in two splits. Those in training are to be left out, so that the test split stays whole.

    Args:
        prints: `fingerprints` of train, validation and test.
        labels, names: the class and the name of each example.
        classes: their names.

    Returns:
        Which training examples to keep, bool, and lines to show: how many copies there are, and which have two classes.
    """
    train, validation, test = (prints[split] for split in ("train", "validation", "test"))
    keep = ~np.isin(train, np.concatenate([validation, test]))
    notes = []
    if dropped := int((~keep).sum()):
        notes.append(f"left out of training: {dropped:,} exact copies of examples in validation or test")
    if shared := int(np.isin(validation, test).sum()):
        notes.append(f"in validation, which chooses the epoch: {shared:,} exact copies of test examples")
    which = np.unique(np.concatenate([*prints.values()]), return_inverse=True)[1]
    label = np.concatenate([labels[split] for split in prints])
    called = [name for split in prints for name in names[split]]
    torn = np.flatnonzero(np.bincount(np.unique(np.stack([which, label]), axis=1)[0]) > 1)
    for each in torn[:NAMED]:
        same = {int(label[i]): called[i] for i in np.flatnonzero(which == each)[::-1]}
        words = " and ".join(f"{name} ({classes[k]})" for k, name in sorted(same.items())[:NAMED])
        notes.append(f"the same bytes in two classes: {words}")
    if len(torn) > NAMED:
        notes.append(f"the same bytes in two classes: {len(torn) - NAMED:,} more")
    return keep, notes


def check_classes(labels: Mapping[str, np.ndarray], classes: Sequence[str], where: object) -> list[str]:
    """Lines on classes that validation or test lack. Raises UserError where training lacks one, or a split is empty."""
    notes = []
    for split, present in labels.items():
        if not len(present):
            raise UserError(f"{where}: {split} is empty.", "Every split needs examples.")
        if lacks := [classes[k] for k in np.setdiff1d(np.arange(len(classes)), present)]:
            more = f" and {len(lacks) - NAMED:,} more" if len(lacks) > NAMED else ""
            words = f"{split} has no example of {', '.join(map(repr, lacks[:NAMED]))}{more}"
            if split == "train":
                raise UserError(f"{where}: {words}.", "Nothing can be learned of a class without examples.")
            notes.append(words)
    return notes
