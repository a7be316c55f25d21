"""Keras's own generator, to compare; docs/ERRATA.md says where it is wrong."""

import pytest


@pytest.fixture
def generator():
    """Make today's ImageDataGenerator with an augmentation's parameters."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator  # no public name is left for it

    return lambda augmentation: ImageDataGenerator(**dict(augmentation) | {"zoom_range": augmentation.zoom})
