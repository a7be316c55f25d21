"""How a picture becomes what a model takes, said once for training, prediction and exports."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any, Literal, Self

import numpy as np
from annotated_types import Interval
from keras import ops
from pydantic import Strict, TypeAdapter, ValidationError

MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's training pixels, from 0 to 1
IMAGENET_MEAN = (103.939, 116.779, 123.68)  # blue, green, red
Scale = Literal["pixels", "unit", "standard", "caffe"]
Side = Annotated[int, Strict(), Interval(ge=1, le=2**24)]  # of a picture, or of all of it in a row
Shape = tuple[Side, ...]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Pictures of one size, put on a scale and into the shape of the model's input.

    The methods take tensors, and symbolic ones too: so an export contains what training did. Keras has no layers that
    turn channels round, standardise each picture, or whiten.

    Args:
        size: height and width in pixels.
        channels: 1 for grey, 3 for red, green and blue.
        scale: "pixels" from 0 to 255; "unit" from 0 to 1; "standard", by the mean and deviation of MNIST; "caffe",
            blue, green, red, each less ImageNet's mean, which the VGG networks were trained on.
        shape: of the model's input without the batch; of several inputs each one's, (height, width, channels), by name.
        bits: how many of their 16 those pictures use that have 16 bits a channel; a file is read accordingly.
    """

    size: tuple[Side, Side]
    channels: Literal[1, 3]
    scale: Scale
    shape: Shape | dict[str, Shape]
    bits: Annotated[int, Strict(), Interval(ge=8, le=16)] = 16

    def __post_init__(self) -> None:
        if not isinstance(self.shape, dict) and math.prod(self.shape) != math.prod(self.size) * self.channels:
            raise ValueError(f"{self.size} pixels of {self.channels} values do not fill {self.shape}")

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Read what `dataclasses.asdict` and JSON made of it. Raises ValueError for anything else."""
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            raise ValueError(f"{values!r:.200}: {error.errors()[0]['msg']}") from error

    def preprocess(self, pictures: Any, augmentation: Any = None) -> Any:
        """Scale, standardise and shape pictures as the model takes them: float32; of several inputs a dict of them.

        `pictures` are from 0 to 255, of shape (n, height, width) or (n, height, width, 3). The standardisation of an
        `augmentation`, with what it has measured, is applied.
        """
        scaled = self.scaled(pictures, augmentation)
        return self.arranged(augmentation.standardize(scaled) if augmentation else scaled)

    def scaled(self, pictures: Any, augmentation: Any = None) -> Any:
        """Pictures on the model's scale, float32; as they are where the augmentation scales them itself."""
        if augmentation and augmentation.rescale:
            return pictures
        x = ops.cast(pictures, "float32")
        if self.scale == "caffe":
            return ops.flip(x, axis=-1) - np.array(IMAGENET_MEAN, np.float32)
        x = x if self.scale == "pixels" else x / 255.0
        return (x - MEAN) / DEVIATION if self.scale == "standard" else x

    def arranged(self, scaled: Any) -> Any:
        """Scaled pictures in the shape of the model's input, or a dict of them."""
        if not isinstance(self.shape, dict):
            return ops.reshape(scaled, (-1, *self.shape))
        pictures = ops.reshape(scaled, (-1, *self.size, self.channels))
        return {name: _resized(pictures, shape) for name, shape in self.shape.items()}


def _resized(x: Any, shape: Shape) -> Any:
    """Pictures of shape (n, height, width, channels) in another size and number of channels."""
    x = ops.image.rgb_to_grayscale(x) if x.shape[-1] == 3 and shape[-1] == 1 else x
    x = ops.image.resize(x, shape[:2])
    return ops.concatenate([x] * (shape[-1] // x.shape[-1]), axis=-1)
