"""The fixed part: mean, deviation and whitening matrix of a training split, measured in one pass, and their use."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from keras import ops

from keraskit import system
from keraskit.datasets.array_files import read_npz, reading
from keraskit.errors import UserError

if TYPE_CHECKING:
    from keraskit.augment import Augmentation

EPSILON = 1e-6  # ImageDataGenerator's, added to deviations
CHUNK = 256  # pictures in one product: 256 products of bytes add up exactly in float32's 24 bits


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What `Augmentation.fit` measures; deviation and matrix are None where they are not asked for.

    Args:
        mean, std: per channel, broadcastable to a picture.
        zca: float32, shape (pixels, pixels); a flattened picture is multiplied with it.
    """

    mean: np.ndarray
    std: np.ndarray | None = None
    zca: np.ndarray | None = None

    def save(self, path: Path) -> None:
        """Write an .npz file."""
        np.savez(path, **{name: value for name, value in vars(self).items() if value is not None})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote. Raises UserError for anything else."""
        arrays = read_npz(path, needed=("mean",), more=("std", "zca"))
        with reading(path, "statistics of pictures"):
            return cls(**{name: array.astype(np.float32, casting="same_kind") for name, array in arrays.items()})


def measure(augmentation: Augmentation, images: np.ndarray | Iterable[Any]) -> Statistics:
    """Mean, deviation and whitening matrix, holding a batch and the matrix. Raises UserError where that is too much."""
    count, total, squares, gram, shape = 0, np.zeros(()), np.zeros(()), None, ()
    for batch in [images] if isinstance(images, np.ndarray) else images:
        array = np.asarray(batch)
        shape = (*array.shape[1:], 1)[:3]
        flat = array.reshape(len(array), math.prod(array.shape[1:]))
        count, total = count + len(flat), total + flat.sum(axis=0, dtype=np.float64)
        for part in np.split(flat, range(CHUNK, len(flat), CHUNK)):
            if augmentation.zca_whitening:
                exact: Any = part.astype(np.float32 if part.dtype == np.uint8 else np.float64)
                gram = _room_for(flat.shape[1]) if gram is None else gram
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
        # The symmetric matrix that makes the identity of the covariance.
        values, vectors = np.linalg.eigh(gram / count * scale**2 - outer - outer.T + np.outer(m, m))
        zca = ((vectors / np.sqrt(np.maximum(values, 0) + augmentation.zca_epsilon)) @ vectors.T).astype(np.float32)
    elif augmentation.featurewise_std_normalization:  # whitening takes the place of it
        variance = square_of_pixel.reshape(shape).mean(axis=(0, 1), keepdims=True) - mean**2
        std = np.sqrt(np.maximum(variance, 0)).astype(np.float32)
    return Statistics(mean.astype(np.float32), std, zca)


def standardize(augmentation: Augmentation, images: Any) -> Any:
    """Pictures on the model's scale, in ImageDataGenerator's order; float32, the shape of `images`."""
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
    grey = () if len(images.shape) == 3 else known.mean.shape  # of pictures without an axis of channels
    images = images - known.mean.reshape(grey)
    if known.std is not None:
        images = images / (known.std.reshape(grey) + EPSILON)
    if known.zca is not None:
        flat = ops.reshape(images, (-1, math.prod(images.shape[1:])))
        images = ops.reshape(ops.matmul(flat, known.zca), (-1, *images.shape[1:]))
    return images


def _room_for(pixels: int) -> np.ndarray:
    """An empty matrix of (pixels, pixels) float64, if it and its decomposition fit into memory."""
    size, free = 8 * pixels**2, system.available_memory()
    if free is not None and 3 * size > free:
        problem = f"Whitening pictures of {pixels:,} values needs a matrix of {size / 1e9:,.0f} GB, three times over"
        raise UserError(f"{problem}; {free / 1e9:.1f} GB are free.", "Use smaller pictures.")
    return np.zeros((pixels, pixels))
