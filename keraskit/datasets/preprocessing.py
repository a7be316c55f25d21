"""How a picture becomes what a model is fed, in plain values that a run folder can hold."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any, Literal, Self

from annotated_types import Interval
from pydantic import Strict, TypeAdapter, ValidationError

from keraskit.start import tf

MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's training pixels, from 0 to 1
IMAGENET_MEAN = (103.939, 116.779, 123.68)  # blue, green, red
Scale = Literal["pixels", "unit", "standard", "caffe"]
Side = Annotated[int, Strict(), Interval(ge=1, le=2**24)]  # of a picture, or of all of it in a row
Shape = tuple[Side, ...]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Pictures of one size, put on a scale and into the shape of the model's input.

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
        """From what `dataclasses.asdict` and JSON made of it. Raises ValueError for anything else."""
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            raise ValueError(f"{values!r:.200}: {error.errors()[0]['msg']}") from error

    def scaled(self, pictures: tf.Tensor) -> tf.Tensor:
        """float32 on the model's scale. `pictures` from 0 to 255, shape (n, height, width) or (n, height, width, 3)."""
        x = tf.cast(pictures, tf.float32)
        if self.scale == "unit":
            return x / 255.0
        if self.scale == "standard":
            return (x / 255.0 - MEAN) / DEVIATION
        return x[..., ::-1] - tf.constant(IMAGENET_MEAN) if self.scale == "caffe" else x

    def arranged(self, scaled: tf.Tensor) -> Any:
        """Scaled pictures in the shape of the model's input, or a dict of them."""
        if not isinstance(self.shape, dict):
            return tf.reshape(scaled, (-1, *self.shape))
        grey = scaled if scaled.shape.rank == 4 else scaled[..., None]
        return {name: _as(grey, tuple(shape)) for name, shape in self.shape.items()}


def _as(x: tf.Tensor, shape: Shape) -> tf.Tensor:
    """Pictures of shape (n, height, width, channels) in another size and number of channels."""
    channels = x.shape[-1]
    if channels == 3 and shape[-1] == 1:
        x = tf.image.rgb_to_grayscale(x)
    x = tf.image.resize(x, shape[:2])
    return tf.image.grayscale_to_rgb(x) if channels == 1 and shape[-1] == 3 else x
