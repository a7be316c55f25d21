"""Description: what may happen to pictures, in ImageDataGenerator's own words and units. Needs no TensorFlow."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Interval, Len
from cyclopts import Parameter
from pydantic import AfterValidator, BeforeValidator

from keraskit.errors import Typed, UserError

NOT_A_FLAG = Parameter(parse=False)
Share = Annotated[float, Interval(ge=0, le=1e300)]


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, int | float | str) else value


def _factors(pair: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if pair and len(pair) == 2 and not 0 <= pair[0] <= pair[1]:
        raise ValueError("expected two factors from 0 up, lower first")
    return pair


def _zooms(zoom: tuple[float, ...]) -> tuple[float, ...]:
    if _between(zoom)[0] <= 0 or _between(zoom)[0] > _between(zoom)[1]:
        raise ValueError("expected two factors above 0, lower first, or one number from 0 to less than 1")
    return zoom


def _between(zoom: tuple[float, ...]) -> tuple[float, float]:
    return (1 - zoom[0], 1 + zoom[0]) if len(zoom) == 1 else (zoom[0], zoom[1])


class Description(Typed):
    """A description of random transforms and of standardisation. Pictures have values from 0 to 255.

    The random transforms are composed into one matrix per picture, in the order of ImageDataGenerator: zoom, shear,
    shift, rotation, seen from the result, and flips at the end; then channels shift and brightness changes. Then
    pictures are standardised, in ImageDataGenerator's order again.
    """

    rotation_range: Annotated[float, Interval(ge=0, le=360)] = 0.0
    """Degrees: turn by an angle from minus this to this, about the picture's centre."""
    width_shift_range: Share = 0.0
    """Move sideways by at most this share of the width, or this many pixels if it is 1 or more."""
    height_shift_range: Share = 0.0
    """Move up or down by at most this share of the height, or this many pixels if it is 1 or more."""
    shear_range: Annotated[float, Interval(ge=0, lt=90)] = 0.0
    """Degrees (radians in Keras 2.1: its 0.2 is 11.5): shear by an angle from minus this to this."""
    zoom_range: Annotated[
        tuple[float, ...], Len(1, 2), BeforeValidator(_several), AfterValidator(_zooms), Parameter(consume_multiple=1)
    ] = (0.0,)
    """Zoom each axis by a factor from the first to the second; one number z means from 1 - z to 1 + z."""
    horizontal_flip: bool = False
    """Mirror half of the pictures left to right."""
    vertical_flip: bool = False
    """Mirror half of the pictures top to bottom."""
    fill_mode: Literal["nearest", "reflect", "wrap", "constant"] = "nearest"
    """What lies beyond the border: its last pixel, its mirror image, the opposite side, or `cval`."""
    cval: Annotated[float, Interval(ge=0, le=255)] = 0.0
    """The value beyond the border for the fill mode constant."""
    interpolation_order: Annotated[int, Interval(ge=0, le=1)] = 1
    """Between pixels: 1 blends the four around, bilinear; 0 takes the nearest."""
    brightness_range: Annotated[tuple[float, float] | None, AfterValidator(_factors)] = None
    """Multiply all values by a factor from the first to the second; the result stays from 0 to 255."""
    channel_shift_range: Annotated[float, Interval(ge=0, le=255)] = 0.0
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
    validation_split: Annotated[float, Interval(ge=0, lt=1), NOT_A_FLAG] = 0.0
    """The share of pictures, the first ones, that flows hand out as their subset "validation"."""
    preprocessing_function: Annotated[Callable[[Any], Any] | None, NOT_A_FLAG] = None
    """Called on each picture, a float32 array of rank 3, before anything is rescaled. Only from Python."""
    statistics: ClassVar[Any] = None
    """What `fit` has measured."""

    def with_statistics(self, statistics: Any) -> Self:
        """The same with what `fit` has measured of a training split."""
        copy = self.model_copy()
        vars(copy)["statistics"] = statistics
        return copy

    @classmethod
    def of(cls, parameters: dict[str, Any]) -> Self:
        """From its parameters by name. Raises UserError for a name that is none."""
        if unknown := [str(name) for name in parameters if name not in cls.model_fields]:
            raise UserError(f"An augmentation has no {unknown[0]}.", f"It has {', '.join(cls.model_fields)}.")
        return cls(**parameters)

    @property
    def zoom(self) -> tuple[float, float]:
        """The lowest and highest zoom factor."""
        return _between(self.zoom_range)

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
