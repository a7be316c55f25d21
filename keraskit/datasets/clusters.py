"""A made set for the first page: 100 features, 10 classes, each class two overlapping clouds of points."""

import numpy as np

from keraskit.datasets.splits import Split, Splits

FEATURES, CLASSES, CLOUDS = 100, 10, 2
COUNTS = {"train": 10_000, "validation": 2_000, "test": 2_000}
NOISE = 1.0  # standard deviation of a cloud, in every direction
SPREAD = 0.4  # standard deviation of the clouds' centres: the best possible classifier is right 96 times in 100


def draw(split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One split, always the same: features, float32, shape (n, 100); labels one-hot, shape (n, 10), and as int64."""
    centres = np.random.default_rng(0).normal(0, SPREAD, (CLASSES, CLOUDS, FEATURES))  # two: no linear model does well
    random, count = np.random.default_rng([1, list(COUNTS).index(split)]), COUNTS[split]
    labels, cloud = random.integers(0, CLASSES, count), random.integers(0, CLOUDS, count)
    points = centres[labels, cloud] + random.normal(0, NOISE, (count, FEATURES))
    return points.astype(np.float32), np.eye(CLASSES, dtype=np.float32)[labels], labels


def arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x_train, y_train, x_test, y_test, the labels one-hot, for plain `fit`."""
    return *draw("train")[:2], *draw("test")[:2]


def one_hot() -> Splits:
    """Inputs of shape (100,), targets one-hot of shape (10,)."""
    train, validation, test = (Split.of(x, y, labels=labels) for x, y, labels in map(draw, COUNTS))
    source = {"name": "made clusters", "path": "", "found": "numpy, always the same seed", "counts": COUNTS}
    return Splits(train, validation, test, tuple(map(str, range(CLASSES))), source)
