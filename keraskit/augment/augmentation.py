"""Augmentation: ImageDataGenerator's arguments and methods. TensorFlow is imported on use."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Interval, Len
from cyclopts import Parameter
from pydantic import AfterValidator, BeforeValidator

from keraskit.augment import transform
from keraskit.typed import Typed

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

Shift = Annotated[float, Interval(ge=0, le=1e300)]
Degrees = Annotated[float, Interval(ge=0, le=360)]
Level = Annotated[float, Interval(ge=0, le=255)]


def _factors(given: tuple[float, ...] | None) -> tuple[float, ...] | None:
    low, high = (0, 0) if given is None else given if len(given) == 2 else (1 - given[0], 1 + given[0])
    if not 0 <= low <= high or (given and len(given) == 1 and not low):
        raise ValueError("expected two factors from 0 up, lower first, or one number from 0 to less than 1")
    return given and (low, high)


class Augmentation(Typed, use_attribute_docstrings=True):
    """Random transforms of images and their standardisation, with ImageDataGenerator's names and units.

    Images have values from 0 to 255. One matrix per image maps the result's coordinates to the original's, in the order
    of ImageDataGenerator: flips, zoom, shear, shift, rotation. Channel shift and brightness follow.
    """

    rotation_range: Degrees = 0.0
    """Degrees: turn by an angle from minus this to this, about the picture's centre."""
    width_shift_range: Shift = 0.0
    """Move sideways by at most this share of the width, or this many pixels if it is 1 or more."""
    height_shift_range: Shift = 0.0
    """Move up or down by at most this share of the height, or this many pixels if it is 1 or more."""
    shear_range: Annotated[float, Interval(ge=0, lt=90)] = 0.0
    """Degrees (radians in Keras 2.1: its 0.2 is 11.5): shear by an angle from minus this to this."""
    zoom_range: Annotated[
        tuple[float, ...],
        Len(1, 2),
        BeforeValidator(lambda value: (value,) if isinstance(value, int | float | str) else value),
        AfterValidator(_factors),
        Parameter(consume_multiple=1),
    ] = (1.0, 1.0)
    """Zoom each axis by a factor from the first to the second; one number z means from 1 - z to 1 + z."""
    horizontal_flip: bool = False
    """Mirror half of the pictures left to right."""
    vertical_flip: bool = False
    """Mirror half of the pictures top to bottom."""
    fill_mode: Literal["nearest", "reflect", "wrap", "constant"] = "nearest"
    """What lies beyond the border: its last pixel, its mirror image, the opposite side, or `cval`."""
    cval: Level = 0.0
    """The value beyond the border for the fill mode constant."""
    brightness_range: Annotated[tuple[float, float] | None, AfterValidator(_factors)] = None
    """Multiply all values by a factor from the first to the second; the result stays from 0 to 255."""
    channel_shift_range: Level = 0.0
    """Add a value from minus this to this; the result stays within the picture's own lowest and highest value."""
    rescale: Annotated[float | None, Interval(gt=0)] = None
    """Multiply by this before any standardisation below."""
    samplewise_center: bool = False
    """Subtract each picture's own mean."""
    samplewise_std_normalization: bool = False
    """Subtract each picture's own mean, and divide by its standard deviation."""
    featurewise_center: bool = False
    """Subtract the training split's mean, per channel."""
    featurewise_std_normalization: bool = False
    """Subtract the training split's mean, and divide by its standard deviation, per channel."""
    zca_whitening: bool = False
    """Subtract the training split's mean, and decorrelate pixels with its covariance, in place of dividing."""
    zca_epsilon: Annotated[float, Interval(gt=0)] = 1e-6
    """Added to each variance before whitening divides by its root."""
    statistics: ClassVar[Any] = None
    """What `fit` has measured."""

    @property
    def moves(self) -> bool:
        """Whether a geometric transform is set."""
        ranges = (self.rotation_range, self.width_shift_range, self.height_shift_range, self.shear_range)
        return any(ranges) or self.zoom_range != (1, 1) or self.horizontal_flip or self.vertical_flip

    @property
    def is_random(self) -> bool:
        """Whether any transform is random."""
        return self.moves or bool(self.channel_shift_range) or self.brightness_range is not None

    @property
    def needs_fit(self) -> bool:
        """Whether statistics of a training split are needed; they always include the mean, which is subtracted."""
        return self.featurewise_center or self.featurewise_std_normalization or self.zca_whitening

    @property
    def standardizes(self) -> bool:
        """Whether `standardize` changes values."""
        samplewise = self.samplewise_center or self.samplewise_std_normalization
        return bool(samplewise or self.rescale or self.needs_fit)

    def fit(self, images: np.ndarray | tf.data.Dataset | Iterable[Any]) -> Augmentation:
        """Return a copy fitted to images of shape (n, height, width, channels): mean, deviation and whitening matrix.

        `images` may be an iterable of batches. Raises UserError if the whitening matrix would not fit into memory.
        """
        from keraskit.augment.statistics import measure

        return self.with_statistics(measure(self, images))

    def with_statistics(self, statistics: Any) -> Augmentation:
        """Return a copy with the given `Statistics` of a training split."""
        copy = self.model_copy()
        vars(copy)["statistics"] = statistics
        return copy

    draws = staticmethod(transform.draws)
    apply = transform.transform

    def transform(self, images: Any, seed: tuple[int, int]) -> tf.Tensor:
        """Transform images at random; float32. The result depends only on the images and the two integers of `seed`."""
        return self.apply(images, self.draws(len(images), seed))

    def random_transform(self, x: np.ndarray, seed: int = 0) -> np.ndarray:
        """Transform one image, shape (height, width, channels), at random; float32."""
        return self.transform(x[None], (seed, 0))[0].numpy()

    def standardize(self, images: Any) -> tf.Tensor:
        """Rescale, centre, normalise and whiten images, as far as set; float32."""
        from keraskit.augment import statistics

        return statistics.standardize(self, images)

    def flow(self, x: np.ndarray, y: np.ndarray | None = None, batch_size: int = 32, **words: Any) -> tf.data.Dataset:
        """Return batches of transformed, standardised images, reshuffled each epoch; see `augment.flow.flow`."""
        from keraskit.augment import flow

        return flow.flow(self, x, y, batch_size=batch_size, **words)

    def flow_from_directory(self, directory: Path | str, **words: Any) -> tf.data.Dataset:
        """Like `flow`, for a folder with a subfolder of images per class; see `augment.flow.flow_from_directory`."""
        from keraskit.augment import flow

        return flow.flow_from_directory(self, directory, **words)
