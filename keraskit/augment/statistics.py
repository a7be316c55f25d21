"""Standardisation: measure mean, deviation and whitening matrix of a training split in one pass, and apply them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from keras import ops

from keraskit.augment.transform import check_batch
from keraskit.datasets.array_files import check_memory, read_arrays, reading
from keraskit.errors import UserError

if TYPE_CHECKING:
    from keraskit.augment import Augmentation

EPSILON = 1e-6  # ImageDataGenerator's, added to deviations
CHUNK = 256  # images per matrix product: sums of 256 products of bytes are exact in float32's 24 bits


@dataclasses.dataclass(frozen=True)
class Statistics:
    """The result of `Augmentation.fit`; deviation and whitening matrix are None if they are not needed.

    Args:
        mean, std: per channel, broadcastable to an image.
        zca: whitening matrix, float32, shape (pixels, pixels); a flattened image is multiplied by it.
    """

    mean: np.ndarray
    std: np.ndarray | None = None
    zca: np.ndarray | None = None

    def save(self, path: Path) -> None:
        """Write an .npz file."""
        np.savez(path, **{name: value for name, value in vars(self).items() if value is not None})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load a file written by `save`. Raises UserError for anything else."""
        arrays = read_arrays(path, dict.fromkeys(("mean", "std", "zca"), "f"), 2 * path.stat().st_size)  # uncompressed
        with reading(path):
            return cls(**{name: array.astype(np.float32) for name, array in arrays.items()})


def measure(augmentation: Augmentation, images: np.ndarray | Iterable[Any]) -> Statistics:
    """Measure mean, deviation and whitening matrix, batch by batch. Raises UserError if the matrix is too large."""
    count, total, squares, gram, shape = 0, np.zeros(()), np.zeros(()), None, ()
    for batch in [images] if hasattr(images, "shape") else images:
        array = np.asarray(batch)
        check_batch(array.shape)
        shape = (*array.shape[1:], 1)[:3]
        flat = array.reshape(len(array), math.prod(array.shape[1:]))
        count, total = count + len(flat), total + flat.sum(axis=0, dtype=np.float64)
        for part in np.split(flat, range(CHUNK, len(flat), CHUNK)):
            if augmentation.zca_whitening:
                exact: Any = part.astype(np.float32 if part.dtype == np.uint8 else np.float64)
                if gram is None:
                    check_memory(8 * flat.shape[1] ** 2, f"Whitening pictures of {flat.shape[1]:,} values takes")
                    gram = np.zeros((flat.shape[1],) * 2)
                gram += exact.T @ exact
            else:
                squares = squares + np.square(part, dtype=np.float64).sum(axis=0)
    if not count:
        raise UserError("There are no pictures to measure statistics on.")
    scale = augmentation.rescale or 1.0
    mean_of_pixel = total / count * scale
    square_of_pixel = (squares if gram is None else np.diag(gram)) / count * scale**2
    mean = mean_of_pixel.reshape(shape).mean(axis=(0, 1), keepdims=True)
    std = zca = None
    if gram is not None:
        m = np.broadcast_to(mean, shape).reshape(-1)
        outer = np.outer(m, mean_of_pixel)
        # The symmetric matrix that turns the covariance into the identity.
        values, vectors = np.linalg.eigh(gram / count * scale**2 - outer - outer.T + np.outer(m, m))
        zca = ((vectors / np.sqrt(np.maximum(values, 0) + augmentation.zca_epsilon)) @ vectors.T).astype(np.float32)
    elif augmentation.featurewise_std_normalization:  # whitening replaces it
        variance = square_of_pixel.reshape(shape).mean(axis=(0, 1), keepdims=True) - mean**2
        std = np.sqrt(np.maximum(variance, 0)).astype(np.float32)
    return Statistics(mean.astype(np.float32), std, zca)


def standardize(augmentation: Augmentation, images: Any) -> Any:
    """Standardise images in ImageDataGenerator's order; float32, same shape; unchanged if nothing is set."""
    if not augmentation.standardizes:
        return images
    images = ops.cast(images, "float32")
    axes = tuple(range(1, len(images.shape)))
    if augmentation.rescale:
        images = images * augmentation.rescale
    if augmentation.samplewise_center or augmentation.samplewise_std_normalization:
        images = images - ops.mean(images, axis=axes, keepdims=True)
    if augmentation.samplewise_std_normalization:
        images = images / (ops.std(images, axis=axes, keepdims=True) + EPSILON)
    if not augmentation.needs_fit:
        return images
    known: Statistics | None = augmentation.statistics
    if known is None:
        raise UserError("This augmentation needs statistics of the training pictures.", "Call fit(x_train) first.")
    grey = () if len(images.shape) == 3 else known.mean.shape  # for images without a channel axis
    images = images - known.mean.reshape(grey)
    if known.std is not None:
        images = images / (known.std.reshape(grey) + EPSILON)
    if known.zca is not None:
        flat = ops.reshape(images, (-1, math.prod(images.shape[1:])))
        images = ops.reshape(ops.matmul(flat, known.zca), (-1, *images.shape[1:]))
    return images
