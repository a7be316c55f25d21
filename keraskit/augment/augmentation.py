"""Augmentation: a description, and what can be done with it. TensorFlow is imported when something is done."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keraskit.augment.description import Description

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


class Augmentation(Description):
    """What may happen to pictures, in ImageDataGenerator's own words and units; see `Description` for each."""

    def fit(self, images: np.ndarray | tf.data.Dataset | Iterable[Any]) -> Augmentation:
        """A copy that knows mean, deviation and whitening matrix of pictures, shape (n, height, width, channels).

        They may come in batches. Raises UserError where the whitening matrix would not fit into memory.
        """
        from keraskit.augment.statistics import measure

        return self.with_statistics(measure(self, images))

    def transform(self, images: Any, seed: tuple[int, int]) -> tf.Tensor:
        """Randomly transformed pictures, float32. The same seed gives the same, whatever else is going on.

        Args:
            images: shape (n, height, width, channels), or (n, height, width). For a single one: `random_transform`.
            seed: two integers.
        """
        from keraskit.augment.transform import draws, transform

        return transform(self, images, draws(len(images), seed))

    def draws(self, count: int, seed: Any) -> tf.Tensor:
        """Random numbers for `count` pictures that depend on the two integers of `seed` alone."""
        from keraskit.augment.transform import draws

        return draws(count, seed)

    def apply(self, images: Any, numbers: tf.Tensor) -> tf.Tensor:
        """Transform each picture as its row of `numbers`, from `draws`, says."""
        from keraskit.augment.transform import transform

        return transform(self, images, numbers)

    def standardize(self, images: Any) -> tf.Tensor:
        """Pictures on the scale that a model trains on: rescaled, centred, normalised, whitened; float32."""
        from keraskit.augment.statistics import standardize

        return standardize(self, images)

    def flow(self, x: np.ndarray, y: np.ndarray | None = None, batch_size: int = 32, **words: Any) -> tf.data.Dataset:
        """Endless shuffled batches of transformed, standardised pictures, for `fit`, which takes an epoch at a time.

        `augment.flow` says more: `sample_weight`, and in `Batching` `shuffle`, `seed`, `subset`, `save_to_dir`.
        """
        from keraskit.augment.flow import flow

        return flow(self, x, y, batch_size=batch_size, **words)

    def flow_from_directory(self, directory: Path | str, **words: Any) -> tf.data.Dataset:
        """The same of the pictures in a folder with a subfolder per class; see `augment.files.flow_from_directory`."""
        from keraskit.augment.files import flow_from_directory

        return flow_from_directory(self, directory, **words)

    def random_transform(self, x: np.ndarray, seed: int | None = None) -> np.ndarray:
        """One picture, shape (height, width, channels), transformed at random, float32.

        `seed` decides how (default: NumPy's random state).
        """
        import numpy as np
        import tensorflow as tf

        from keraskit.augment.transform import apply, draws, parameters

        seed = int(np.random.randint(2**31)) if seed is None else seed
        changes = parameters(self, draws(1, (seed, 0)), *x.shape[:2])
        return apply(self, tf.constant(x)[None], changes, self.moves)[0].numpy()
