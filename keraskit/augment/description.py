"""Description: what may happen to pictures, in ImageDataGenerator's own words and units. Needs no TensorFlow."""

import dataclasses
import numbers
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from cyclopts import Parameter

from keraskit.errors import UserError

NOT_A_FLAG = Parameter(parse=False)
LARGEST: Any = 1e300  # of a number; Python has larger ones, which no float can be
SHIFTS = ("width_shift_range", "height_shift_range")  # of one number, or one of several
RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(SHIFTS, (lambda v: v >= 0, "a number from 0 up, or several")),
    "rotation_range": (lambda v: 0 <= v <= 360, "0 to 360 degrees, which is every angle there is"),
    "channel_shift_range": (lambda v: 0 <= v <= 255, "0 to 255, which is from black to white"),
    "shear_range": (lambda v: 0 <= v < 90, "less than 90 degrees, at which a picture has no width left"),
    "zca_epsilon": (lambda v: v > 0, "more than 0"),
    "cval": (lambda v: 0 <= v <= 255, "from 0 to 255"),
    "validation_split": (lambda v: 0 <= v < 1, "a share from 0 to less than 1"),
    "rescale": (lambda v: v > 0, "more than 0"),
}


def _finite(value: Any) -> bool:
    """Whether it is a number, and one to compute with."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and -LARGEST < value < LARGEST


@dataclasses.dataclass(frozen=True)
class Description:
    """A description of random transforms and of standardisation. Pictures have values from 0 to 255.

    The random transforms are composed into one matrix per picture, in the order of ImageDataGenerator: zoom, shear,
    shift, rotation, seen from the result, and flips at the end; then channels shift and brightness changes. Then
    pictures are standardised, in ImageDataGenerator's order again.
    """

    rotation_range: float = 0.0
    """Degrees: turn by an angle from minus this to this, about the picture's centre."""
    width_shift_range: float | tuple[float, ...] = 0.0
    """Move sideways by at most this share of the width, or this many pixels if it is 1 or more; of several numbers, by
    one of these, to either side."""
    height_shift_range: float | tuple[float, ...] = 0.0
    """Move up or down by at most this share of the height, or this many pixels if it is 1 or more; or by one of
    several."""
    shear_range: float = 0.0
    """Degrees (radians in Keras 2.1: its 0.2 is 11.5): shear by an angle from minus this to this."""
    zoom_range: tuple[float, float] | float = 0.0
    """Zoom each axis by a factor from the first to the second; one number z means from 1 - z to 1 + z."""
    horizontal_flip: bool = False
    """Mirror half of the pictures left to right."""
    vertical_flip: bool = False
    """Mirror half of the pictures top to bottom."""
    fill_mode: Literal["nearest", "reflect", "wrap", "constant"] = "nearest"
    """What lies beyond the border: its last pixel, its mirror image, the opposite side, or `cval`."""
    cval: float = 0.0
    """The value beyond the border for the fill mode constant."""
    interpolation_order: Literal[0, 1] = 1
    """Between pixels: 1 blends the four around, bilinear; 0 takes the nearest."""
    brightness_range: tuple[float, float] | None = None
    """Multiply all values by a factor from the first to the second; the result stays from 0 to 255."""
    channel_shift_range: float = 0.0
    """Add a value from minus this to this; the result stays within the picture's own lowest and highest value."""
    rescale: float | None = None
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
    zca_epsilon: float = 1e-6
    """Added to each variance before whitening divides by its root."""
    data_format: Literal["channels_last", "channels_first"] = "channels_last"
    """Whether channels are a picture's last or first axis."""
    validation_split: Annotated[float, NOT_A_FLAG] = 0.0
    """The share of pictures, the first ones, that `flow` and its like hand out as their subset "validation"."""
    preprocessing_function: Annotated[Callable[[Any], Any] | None, NOT_A_FLAG] = None
    """Called on each picture, a float32 array of rank 3, before anything is rescaled. Only from Python."""
    statistics: Annotated[Any, NOT_A_FLAG] = dataclasses.field(default=None, compare=False, repr=False)
    """What `fit` has measured."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            value = value.tolist() if hasattr(value, "tolist") else value  # NumPy's numbers and arrays
            value = tuple(value) if isinstance(value, list) else value  # as JSON has it; a tuple can be hashed
            object.__setattr__(self, field.name, value)
            if get_origin(field.type) is Literal:
                choices = get_args(field.type)
                self._must(field.name, value in choices, f"one of {', '.join(map(str, choices))}")
            elif field.name in RANGES and (value, field.default) != (None, None):
                allowed, expected = RANGES[field.name]
                several = value if isinstance(value, tuple) and value and field.name in SHIFTS else (value,)
                self._must(field.name, all(_finite(each) and allowed(each) for each in several), expected)
        for name, pair in (("zoom_range", self.zoom), ("brightness_range", self.brightness_range or (1.0, 1.0))):
            factors = isinstance(pair, tuple) and len(pair) == 2 and all(map(_finite, pair))
            ordered = factors and 0 <= pair[0] <= pair[1] and (name != "zoom_range" or pair[0] > 0)
            self._must(name, ordered, "two factors above 0, lower first")

    def _must(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise UserError(f"{name}={getattr(self, name)!r} makes no sense: expected {expected}.")

    @classmethod
    def of(cls, parameters: dict[str, Any]) -> Self:
        """From its parameters by name. Raises UserError for a name that is none."""
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := [str(name) for name in parameters if name not in known]:
            raise UserError(f"An augmentation has no {unknown[0]}.", f"It has {', '.join(known[:-1])}.")
        return cls(**parameters)

    @property
    def zoom(self) -> tuple[float, float]:
        """The lowest and highest zoom factor."""
        if isinstance(self.zoom_range, int | float):
            return 1 - self.zoom_range, 1 + self.zoom_range
        return self.zoom_range

    @property
    def moves(self) -> bool:
        """Whether pixels change their place."""
        ranges = (self.rotation_range, self.width_shift_range, self.height_shift_range, self.shear_range)
        return any(ranges) or self.zoom != (1, 1) or self.horizontal_flip or self.vertical_flip

    @property
    def is_random(self) -> bool:
        """Whether anything differs from epoch to epoch."""
        return self.moves or bool(self.channel_shift_range) or self.brightness_range is not None

    @property
    def standardizes(self) -> bool:
        """Whether values are put on another scale than 0 to 255."""
        return bool(self.centers_samples or self.rescale or self.preprocessing_function or self.needs_fit)

    @property
    def centers_samples(self) -> bool:
        """Whether each picture's own mean is subtracted: dividing by its deviation implies it."""
        return self.samplewise_center or self.samplewise_std_normalization

    @property
    def divides(self) -> bool:
        """Whether pictures are divided by the split's deviation: whitening takes the place of it."""
        return self.featurewise_std_normalization and not self.zca_whitening

    @property
    def needs_fit(self) -> bool:
        """Whether statistics of a training split are needed. Its mean always is: all that needs some is centred."""
        return self.featurewise_center or self.featurewise_std_normalization or self.zca_whitening
