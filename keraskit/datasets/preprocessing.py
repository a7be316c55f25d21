"""Preprocess images for a model, in the same way for training, prediction and exports."""

import dataclasses
import math
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Interval
from keras import ops
from pydantic import Strict

from keraskit.datasets.images.decode import MOST_PIXELS

MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's training pixels, in [0, 1]
IMAGENET_MEAN = (103.939, 116.779, 123.68)  # blue, green, red
Scale = Literal["pixels", "unit", "standard", "caffe"]
Side = Annotated[int, Strict(), Interval(ge=1, le=2**24)]  # of an image, or of a flattened one
Shape = tuple[Side, ...]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Images of one size, rescaled and reshaped for the model's input.

    The methods also take symbolic tensors, so that an export contains the preprocessing of training. Keras has no
    layers that reverse channels, standardise each image, or whiten.

    Args:
        size: height and width in pixels.
        channels: 1 for grey, 3 for RGB.
        scale: "pixels", 0 to 255; "unit", 0 to 1; "standard", standardised with MNIST's mean and deviation; "caffe",
            in BGR order minus ImageNet's mean, as the VGG networks were trained.
        shape: the model's input shape without the batch axis; for several inputs (height, width, channels) by name.
        bits: the number of bits that the data set's 16-bit images use, to decode files accordingly; None without any.
        crop: whether files are cropped to the aspect ratio of `size`, instead of squeezed.
    """

    size: tuple[Side, Side]
    channels: Literal[1, 3]
    scale: Scale
    shape: Shape | dict[str, Shape]
    bits: Annotated[int, Strict(), Interval(ge=8, le=16)] | None = None
    crop: Annotated[bool, Strict()] = False

    def __post_init__(self) -> None:
        shapes = self.shape.values() if isinstance(self.shape, dict) else [self.shape]
        if (most := max(math.prod(self.size) * self.channels, sum(map(math.prod, shapes)))) > MOST_PIXELS:
            raise ValueError(f"a picture has {most:,} values; {MOST_PIXELS:,} are allowed")
        if not isinstance(self.shape, dict) and math.prod(self.shape) != math.prod(self.size) * self.channels:
            raise ValueError(f"{self.size} pixels of {self.channels} values do not fill {self.shape}")

    def preprocess(self, pictures: Any, augmentation: Any = None) -> Any:
        """Rescale, standardise and reshape images for the model: float32; for several inputs a dict by name.

        `pictures` have values from 0 to 255 and shape (n, height, width) or (n, height, width, 3). An `augmentation`
        standardises them with its statistics.
        """
        scaled = self.scaled(pictures, augmentation)
        return self.arranged(augmentation.standardize(scaled) if augmentation else scaled)

    def scaled(self, pictures: Any, augmentation: Any = None) -> Any:
        """Return images on the model's scale, float32; unchanged if the augmentation has its own `rescale`."""
        if augmentation and augmentation.rescale:
            return pictures
        x = ops.cast(pictures, "float32")
        if self.scale == "caffe":
            return ops.flip(x, axis=-1) - np.array(IMAGENET_MEAN, np.float32)
        x = x if self.scale == "pixels" else x / 255.0
        return (x - MEAN) / DEVIATION if self.scale == "standard" else x

    def arranged(self, scaled: Any) -> Any:
        """Reshape scaled images to the model's input, or to a dict of its inputs."""
        if not isinstance(self.shape, dict):
            return ops.reshape(scaled, (-1, *self.shape))
        pictures, arranged = ops.reshape(scaled, (-1, *self.size, self.channels)), {}
        for name, (height, width, channels) in self.shape.items():
            x = ops.image.rgb_to_grayscale(pictures) if channels < self.channels else pictures
            x = ops.image.resize(x, (height, width))
            arranged[name] = ops.concatenate([x] * (channels // x.shape[-1]), axis=-1)
        return arranged
