"""Synthetic data for a first example: 100 features, 10 classes, two overlapping Gaussian clusters per class."""

import numpy as np

from keraskit.datasets.splits import Split, Splits

FEATURES, CLASSES, CLOUDS = 100, 10, 2
COUNTS = {"train": 10_000, "validation": 2_000, "test": 2_000}
NOISE = 1.0  # standard deviation of a cluster along each feature
SPREAD = 0.4  # standard deviation of the cluster centres: the best possible accuracy is 96%


def draw(split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a split with a fixed seed: features, float32 (n, 100); one-hot labels (n, 10); labels, int64 (n,)."""
    centres = np.random.default_rng(0).normal(0, SPREAD, (CLASSES, CLOUDS, FEATURES))  # two: a linear model does poorly
    random, count = np.random.default_rng([1, list(COUNTS).index(split)]), COUNTS[split]
    labels, cloud = random.integers(0, CLASSES, count), random.integers(0, CLOUDS, count)
    points = centres[labels, cloud] + random.normal(0, NOISE, (count, FEATURES))
    return points.astype(np.float32), np.eye(CLASSES, dtype=np.float32)[labels], labels


def arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x_train, y_train, x_test, y_test, with one-hot labels, for plain `fit`."""
    return *draw("train")[:2], *draw("test")[:2]


def one_hot() -> Splits:
    """Return splits with inputs of shape (100,) and one-hot targets of shape (10,)."""
    train, validation, test = (Split.of(x, y, labels=labels) for x, y, labels in map(draw, COUNTS))
    source = {"name": "made clusters", "path": "", "found": "numpy, always the same seed", "counts": COUNTS}
    return Splits(train, validation, test, tuple(map(str, range(CLASSES))), source)
