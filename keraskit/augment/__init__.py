"""ImageDataGenerator's vocabulary, done in one resampling per batch inside tf.data or inside a model."""

from keraskit.augment.augmentation import Augmentation

__all__ = ["Augmentation"]
