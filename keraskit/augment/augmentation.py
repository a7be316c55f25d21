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

    def flow_from_dataframe(self, dataframe: Any, *where: Any, **words: Any) -> tf.data.Dataset:
        """The same of the pictures that a table names; see `augment.files.flow_from_dataframe`."""
        from keraskit.augment.files import flow_from_dataframe

        return flow_from_dataframe(self, dataframe, *where, **words)

    def get_random_transform(self, img_shape: tuple[int, ...], seed: int | None = None) -> dict[str, Any]:
        """What would happen to a picture, under ImageDataGenerator's names (`augment.transform.parameters`).

        Args:
            img_shape: of one picture, such as (height, width, channels).
            seed: decides it (default: NumPy's random state).
        """
        import numpy as np

        from keraskit.augment.transform import draws, parameters, sides

        seed = int(np.random.randint(2**31)) if seed is None else seed
        values = parameters(self, draws(1, (seed, 0)), *sides(self, (1, *img_shape)))
        return {name: None if value is None else value.numpy()[0].item() for name, value in values.items()}

    def apply_transform(self, x: np.ndarray, transform_parameters: dict[str, Any]) -> np.ndarray:
        """One picture, shape (height, width, channels), changed as these parameters say; what is missing stays."""
        import tensorflow as tf

        from keraskit.augment.transform import apply

        still = {"theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1, "flip_horizontal": False}
        known = {**still, "flip_vertical": False, "channel_shift_intensity": None, "brightness": None}
        values = {**known, **transform_parameters}
        kinds = {name: tf.bool if name.startswith("flip") else tf.float32 for name in values}
        changes = {name: v if v is None else tf.constant([v], kinds[name]) for name, v in values.items()}
        return apply(self, tf.constant(x)[None], changes, moves=True)[0].numpy()

    def random_transform(self, x: np.ndarray, seed: int | None = None) -> np.ndarray:
        """One picture, shape (height, width, channels), transformed at random."""
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    def legacy(self) -> Any:
        """Today's ImageDataGenerator with the same parameters, to compare. docs/ERRATA.md says where it is wrong."""
        from keras.src.legacy.preprocessing.image import ImageDataGenerator  # no public name is left for it

        return ImageDataGenerator(**dict(self) | {"zoom_range": self.zoom})
