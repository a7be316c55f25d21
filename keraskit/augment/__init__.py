"""ImageDataGenerator's arguments, implemented with one resampling per batch inside tf.data."""

from keraskit.augment.augmentation import Augmentation

__all__ = ["Augmentation"]
