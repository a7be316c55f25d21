"""Endless batches from arrays, as ImageDataGenerator.flow, and saving what was made of them."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from keraskit.augment.description import Description
from keraskit.augment.statistics import standardize
from keraskit.augment.transform import draws, transform
from keraskit.errors import UserError
from keraskit.pipeline import ahead

FORMATS = ("png", "jpeg", "jpg")


def flow(
    augmentation: Description,
    x: np.ndarray,
    y: np.ndarray | None,
    batch_size: int,
    seed: int,
    save_to_dir: Path | str | None,
    save_prefix: str,
    save_format: str,
    save_limit: int,
) -> tf.data.Dataset:
    """See `Augmentation.flow`."""
    if y is not None and len(x) != len(y):
        raise UserError(f"x has {len(x)} pictures and y {len(y)} labels; they must be as many.")
    if not len(x):
        raise UserError("There are no pictures.")
    save = Saver(Path(save_to_dir), save_prefix, save_format, save_limit) if save_to_dir is not None else None
    with tf.device("/CPU:0"):  # where tf.data runs
        pictures = tf.constant(x)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        pair = tf.stack([tf.constant(seed, tf.int64), epoch])
        order = tf.random.experimental.stateless_shuffle(tf.range(len(x)), seed=pair)
        return tf.data.Dataset.from_tensor_slices((order, tf.gather(draws(len(x), pair), order))).batch(batch_size)

    def batch(indices: tf.Tensor, numbers: tf.Tensor) -> Any:
        images = transform(augmentation, tf.gather(pictures, indices), numbers)
        if save:
            images = tf.ensure_shape(tf.numpy_function(save, [images], tf.float32), images.shape)
        images = standardize(augmentation, images)
        return images if y is None else (images, tf.gather(y, indices))

    return ahead(tf.data.Dataset.range(2**62).flat_map(one_epoch), batch)


class Saver:
    """Saves pictures as files until `limit` are written; a name that is taken is passed over, never overwritten.

    Args:
        folder: made if it is not there.
        prefix: what names begin with.
        kind: png or jpeg.
        limit: the most files to write.
    """

    def __init__(self, folder: Path, prefix: str = "aug", kind: str = "png", limit: int = 1_000) -> None:
        if kind not in FORMATS:
            raise UserError(f"save_format={kind!r} is not one of {', '.join(FORMATS)}.")
        if "/" in prefix or "\\" in prefix:
            raise UserError(f"save_prefix={prefix!r} has a slash; it is the beginning of a file's name.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"Cannot make {folder}: {error.strerror}.", "Name another folder.") from error
        self.folder, self.prefix, self.kind = folder, prefix, kind
        self._left = limit
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self.paths: list[Path] = []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Save what there is room for, values from 0 to 255; returns the pictures unchanged."""
        with self._lock:  # batches come from several threads
            self._save(images[: self._left])
        return images

    def _save(self, images: np.ndarray) -> None:
        for image in images:
            pixels = np.clip(np.round(image), 0, 255).astype(np.uint8)
            picture = Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels)
            for number in self._numbers:
                path = self.folder / f"{self.prefix}_{number:05d}.{self.kind}"
                try:
                    with path.open("xb") as file:
                        picture.save(file, format="jpeg" if self.kind == "jpg" else self.kind)
                    break
                except FileExistsError:
                    continue
            self._left -= 1
            self.paths.append(path)
