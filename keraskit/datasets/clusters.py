"""A made set for the first page: 100 features, 10 classes, each class two overlapping clouds of points."""

import numpy as np

from keraskit.datasets.splits import Split, Splits

FEATURES, CLASSES, CLOUDS = 100, 10, 2
COUNTS = {"train": 10_000, "validation": 2_000, "test": 2_000}
NOISE = 1.0  # standard deviation of a cloud, in every direction
SPREAD = 0.4  # standard deviation of the clouds' centres: the best possible classifier is right 96 times in 100


def centres() -> np.ndarray:
    """The clouds' centres, shape (classes, clouds, features). Two clouds a class: no linear model does well."""
    return np.random.default_rng(0).normal(0, SPREAD, (CLASSES, CLOUDS, FEATURES))


def draw(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The features, float32 of shape (n, 100), and labels, int64 of shape (n,), of one split; always the same."""
    random = np.random.default_rng([1, list(COUNTS).index(split)])
    labels = random.integers(0, CLASSES, COUNTS[split])
    cloud = random.integers(0, CLOUDS, COUNTS[split])
    points = centres()[labels, cloud] + random.normal(0, NOISE, (COUNTS[split], FEATURES))
    return points.astype(np.float32), labels


def arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x_train, y_train, x_test, y_test, the labels one-hot, for plain `fit`."""
    (x, y), (x_test, y_test) = draw("train"), draw("test")
    eye = np.eye(CLASSES, dtype=np.float32)
    return x, eye[y], x_test, eye[y_test]


def one_hot() -> Splits:
    """Inputs of shape (100,), targets one-hot of shape (10,)."""
    eye = np.eye(CLASSES, dtype=np.float32)
    drawn = {split: draw(split) for split in COUNTS}
    train, validation, test = (Split.of(x, eye[y], labels=y) for x, y in drawn.values())
    source = {"name": "made clusters", "path": "", "found": "numpy, always the same seed", "counts": COUNTS}
    return Splits(train, validation, test, tuple(map(str, range(CLASSES))), source)
