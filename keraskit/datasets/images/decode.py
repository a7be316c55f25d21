"""Reads a picture whatever its format: upright, 8 bits, in colour or grey; or says in a few words what is wrong.

It needs Pillow and NumPy alone, for every export carries this text as it stands.
"""

import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")  # the only decoders that are run; a name decides nothing
MOST_PIXELS = 80_000_000  # of one picture; a file can claim more than any memory holds
MOST_SIDE = 65_535  # as JPEG; rows of one pixel each cost far more than their pixels
MOST_BYTES = 200_000_000  # of one picture's file
DEPTHS = (8, 10, 12, 14, 16)  # bits of cameras and scanners, stored in 16


class BadPicture(ValueError):
    """The file is no picture that can be used; the message says why."""


def contents(path: Path) -> bytes:
    """The bytes of a file that may be anything. Raises OSError for what never ends, such as a pipe or a device."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
            raise OSError(f"it is no regular file of at most {MOST_BYTES:,} bytes")
        return path.read_bytes()
    except ValueError as error:  # a name that no file system takes
        raise OSError(str(error)) from error


def read(data: bytes, bits: int = 16) -> Image.Image:
    """The first frame, upright, in mode RGB or L, transparent parts on white.

    `bits` is how many of its 16 a picture of 16 bits uses, as `depth` finds for a data set. Raises BadPicture where the
    file is empty, damaged, of another format, or too large.
    """
    with _opened(data) as (image, deep):
        image.load()
        return _plain(ImageOps.exif_transpose(image), bits, deep)


def highest(data: bytes) -> int:
    """The highest value of a picture of 16 bits a channel, 0 for one of 8. Raises BadPicture as `read` does."""
    with _opened(data) as (image, deep):
        if image.mode.startswith("I"):
            return int(np.asarray(image).max())
        return int(np.asarray(image.convert("RGB")).max()) << 8 | 255 if deep else 0  # Pillow keeps the upper 8 bits


def depth(highest: int) -> int:
    """How many of their 16 bits the pictures of a data set use, of which this is the highest value; 16 for none."""
    return next(bits for bits in DEPTHS if highest < 1 << bits or bits == 16) if highest else 16


@contextmanager
def _opened(data: bytes) -> Iterator[tuple[Image.Image, bool]]:
    """The picture, not decoded yet, and whether its colours have 16 bits; whatever a decoder raises is a BadPicture."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MOST_PIXELS or max(image.size) > MOST_SIDE or not min(image.size):
            most = f"{MOST_PIXELS:,} are allowed, and {MOST_SIDE:,} in a row"
            raise BadPicture(f"has {image.width:,} x {image.height:,} pixels; {most}")
        stored = str(getattr(image, "tile", ""))
        yield image, ";16" in stored and "BGR" not in stored  # BGR;16 is a bitmap's pixel of 16 bits
    except (BadPicture, MemoryError):
        raise
    except Image.UnidentifiedImageError as error:
        raise BadPicture(f"is no picture ({', '.join(FORMATS)})" if data else "is empty") from error
    except Exception as error:
        raise BadPicture(f"is damaged: {error}") from error


def _plain(image: Image.Image, bits: int, deep: bool) -> Image.Image:
    """8 bits a channel, no palette, no transparency. `deep` pictures were stored in 16 bits, of which they use some."""
    if image.mode == "F":
        raise BadPicture("has floating-point values; save it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):  # 16 bits grey; Pillow's own conversion would clip
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65_535:
            raise BadPicture(f"has values from {values.min():,} to {values.max():,}; save it with 8 or 16 bits")
        grey = (values >> (bits - 8)).clip(0, 255)
        grey[values == image.info.get("transparency", -1)] = 255
        return Image.fromarray(grey.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image if image.mode in {"RGB", "L"} else image.convert("L" if image.mode == "1" else "RGB")
    return image.point(lambda value: min(255, value << (16 - bits))) if deep and bits < 16 else image


def center_crop(image: Image.Image, share: float = 0.875) -> Image.Image:
    """The square in the middle whose side is this share of the shorter side: how ImageNet's accuracies are measured."""
    side = share * min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.crop((round(left), round(top), round(left + side), round(top + side)))


def pixels(image: Image.Image, size: tuple[int, int], channels: int = 3, resampling: str = "bilinear") -> np.ndarray:
    """uint8 of shape (height, width, 3), or (height, width) for one channel; the picture is squeezed into that size.

    "bilinear" averages over what a smaller pixel covers; "nearest" is Keras's default.
    """
    image = image.convert("RGB" if channels == 3 else "L")
    image = image if image.size == size[::-1] else image.resize(size[::-1], Image.Resampling[resampling.upper()])
    return np.asarray(image)
