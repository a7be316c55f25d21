"""The same transforms as a Keras layer, so that on a GPU they can run inside the model. Active only in training."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from keraskit.augment.augmentation import Augmentation
from keraskit.augment.transform import draws, transform


@keras.saving.register_keras_serializable("keraskit")
class RandomAugmentation(keras.layers.Layer):
    """Randomly transforms pictures from 0 to 255 in training, and passes them through otherwise.

    Args:
        augmentation: what may happen. Its standardisation is not this layer's affair.
        seed: the same seed, the same sequence of transforms.
    """

    def __init__(self, augmentation: Augmentation | dict[str, Any], seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        known = augmentation if isinstance(augmentation, Augmentation) else Augmentation(**augmentation)
        self.augmentation, self.seed = known, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        """Transform a batch, shape (n, height, width, channels)."""
        if not training or not self.augmentation.is_random:
            return images
        numbers = draws(keras.ops.shape(images)[0], self.seed_generator.next())
        return keras.ops.cast(transform(self.augmentation, images, numbers), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        values = {f.name: (getattr(self.augmentation, f.name), f.default) for f in dataclasses.fields(Augmentation)}
        changed = {
            name: value for name, (value, default) in values.items() if value != default and name != "statistics"
        }
        return {**super().get_config(), "augmentation": changed, "seed": self.seed}
