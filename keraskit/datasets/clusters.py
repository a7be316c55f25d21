"""A made set for the first page: 100 features, 10 classes, each class two overlapping clouds of points."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keraskit.config import RunConfig
from keraskit.datasets import class_names
from keraskit.datasets.splits import Split, Splits

FEATURES, CLASSES, CLOUDS = 100, 10, 2
COUNTS = {"train": 10_000, "validation": 2_000, "test": 2_000}
NOISE = 1.0  # standard deviation of a cloud, in every direction
SPREAD = 0.4  # standard deviation of the clouds' centres: the best possible classifier is right 96 times in 100


def centres() -> np.ndarray:
    """The clouds' centres, shape (classes, clouds, features). Two clouds a class: no linear model does well."""
    return np.random.default_rng(0).normal(0, SPREAD, (CLASSES, CLOUDS, FEATURES))


def draw(part: str) -> tuple[np.ndarray, np.ndarray]:
    """The features, float32 of shape (n, 100), and labels, int64 of shape (n,), of one part; always the same."""
    random = np.random.default_rng([1, list(COUNTS).index(part)])
    labels = random.integers(0, CLASSES, COUNTS[part])
    cloud = random.integers(0, CLOUDS, COUNTS[part])
    points = centres()[labels, cloud] + random.normal(0, NOISE, (COUNTS[part], FEATURES))
    return points.astype(np.float32), labels


def arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x_train, y_train, x_test, y_test, the labels one-hot, for plain `fit`."""
    (x, y), (x_test, y_test) = draw("train"), draw("test")
    eye = np.eye(CLASSES, dtype=np.float32)
    return x, eye[y], x_test, eye[y_test]


def one_hot(config: RunConfig) -> Splits:
    """Inputs of shape (100,), targets one-hot of shape (10,)."""
    class_names.refuse(config.classes)

    def split(part: str) -> Split:
        x, y = draw(part)
        with tf.device("/CPU:0"):
            features, labels = tf.constant(x), tf.constant(y)

        def load(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return tf.gather(features, indices), tf.gather(labels, indices)

        def pictures(indices: np.ndarray) -> np.ndarray:
            return np.clip(128 + 40 * x[indices].reshape(-1, 10, 10), 0, 255).astype(np.uint8)

        return Split(len(x), load, y, pictures, targets=lambda _, y: tf.one_hot(y, CLASSES))

    source = {"name": "made clusters", "path": "", "found": "numpy, always the same seed", "counts": COUNTS}
    names = tuple(str(c) for c in range(CLASSES))
    return Splits(split("train"), split("validation"), split("test"), names, source).limited(config.limit)
