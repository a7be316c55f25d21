"""Augmentation: a description, and what can be done with it. TensorFlow is imported when something is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keraskit.augment.description import Description

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Augmentation(Description):
    """What may happen to pictures, in ImageDataGenerator's own words and units; see `Description` for each."""

    def fit(self, images: np.ndarray | tf.data.Dataset | Iterable[Any]) -> Augmentation:
        """A copy that knows the mean, deviation and whitening matrix of these pictures.

        Args:
            images: an array of shape (n, height, width, channels), or batches of such.

        Raises:
            UserError: the whitening matrix would not fit into memory.
        """
        from keraskit.augment.statistics import measure

        return dataclasses.replace(self, statistics=measure(self, images))

    def transform(self, images: Any, seed: tuple[int, int]) -> tf.Tensor:
        """Randomly transformed pictures, float32. The same seed gives the same, whatever else is going on.

        Args:
            images: shape (n, height, width, channels), or (n, height, width).
            seed: two integers.
        """
        from keraskit.augment.transform import draws, transform

        return transform(self, images, draws(len(images), seed))

    def standardize(self, images: Any) -> tf.Tensor:
        """Pictures on the scale that a model trains on: rescaled, centred, normalised, whitened; float32."""
        from keraskit.augment.statistics import standardize

        return standardize(self, images)

    def flow(
        self,
        x: np.ndarray,
        y: np.ndarray | None = None,
        batch_size: int = 32,
        seed: int = 0,
        save_to_dir: Path | str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        save_limit: int = 1_000,
    ) -> tf.data.Dataset:
        """Endless shuffled batches of transformed, standardised pictures, and labels if there are any.

        Args:
            x: pictures from 0 to 255, shape (n, height, width, channels).
            y: labels, shape (n, ...).
            batch_size: pictures in a batch.
            seed: decides order and transforms.
            save_to_dir: a folder in which to save the transformed pictures as well, before they are standardised.
            save_prefix: what their names begin with.
            save_format: png or jpeg.
            save_limit: how many to save at most.
        """
        from keraskit.augment.flow import flow

        return flow(self, x, y, batch_size, seed, save_to_dir, save_prefix, save_format, save_limit)

    def legacy(self) -> Any:
        """Today's ImageDataGenerator with the same parameters, to compare. docs/ERRATA.md says where it is wrong."""
        from keras.src.legacy.preprocessing.image import ImageDataGenerator  # no public name is left for it

        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "statistics"}
        return ImageDataGenerator(**values)
