"""Which examples a split gets: in a seeded random order, each class in proportion."""

import numpy as np


def order(size: int, labels: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
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
