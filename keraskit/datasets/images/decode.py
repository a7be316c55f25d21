"""Reads a picture whatever its format: upright, 8 bits, in colour or grey; or says in a few words what is wrong."""

import io
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from keraskit.errors import UserError

FORMATS = (
    "JPEG",
    "PNG",
    "BMP",
    "GIF",
    "WEBP",
    "TIFF",
)  # the only decoders that are ever run; a file's name decides nothing
ENDINGS = frozenset({".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
MOST_PIXELS = 80_000_000  # of one picture; a file can claim more than any memory holds
MOST_SIDE = 65_535  # as JPEG; rows of one pixel each cost far more than their pixels
MOST_BYTES = 200_000_000  # of one picture's file


class BadPicture(ValueError):
    """The file is no picture that can be used; the message says why."""


def contents(path: Path) -> bytes:
    """The bytes of a file that may be anything. Raises OSError for what never ends, such as a pipe or a device."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is no regular file")
        if found.st_size > MOST_BYTES:
            raise OSError(f"it has {found.st_size:,} bytes; {MOST_BYTES:,} are allowed")
        return path.read_bytes()
    except ValueError as error:  # a name that no file system takes
        raise OSError(str(error)) from error


def read(data: bytes, spend: Callable[[int], None] = lambda size: None) -> Image.Image:
    """The first frame, upright, in mode RGB or L, transparent parts on white.

    `spend` is told how many bytes it will decode to, before; it may raise UserError. Raises BadPicture where the file
    is empty, damaged, of another format, or too large.
    """
    if not data:
        raise BadPicture("is empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            pixels = image.width * image.height
            if pixels > MOST_PIXELS or max(image.size) > MOST_SIDE:
                most = f"{MOST_PIXELS:,} are allowed, and {MOST_SIDE:,} in a row"
                raise BadPicture(f"has {image.width:,} x {image.height:,} pixels; {most}")
            if not pixels:
                raise BadPicture("has no pixels")
            spend(pixels * len(image.getbands()))
            image.load()
            return _plain(ImageOps.exif_transpose(image))
    except (BadPicture, UserError, MemoryError):
        raise
    except Image.UnidentifiedImageError as error:
        raise BadPicture(f"is no picture ({', '.join(FORMATS)})") from error
    except Exception as error:  # a damaged file makes decoders raise anything
        raise BadPicture(f"is damaged: {error}") from error


def _plain(image: Image.Image) -> Image.Image:
    """8 bits a channel, no palette, no transparency."""
    if image.mode.startswith("I"):  # 16 bits grey; Pillow's own conversion would clip
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode in {"RGB", "L"} else image.convert("L" if image.mode == "1" else "RGB")


def middle(image: Image.Image, share: float = 0.875) -> Image.Image:
    """The square in the middle whose side is this share of the shorter side: how ImageNet's accuracies are measured."""
    side = share * min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.crop((round(left), round(top), round(left + side), round(top + side)))


def pixels(
    image: Image.Image,
    size: tuple[int, int],
    channels: Literal[1, 3] = 3,
    resampling: Literal["bilinear", "nearest"] = "bilinear",
) -> np.ndarray:
    """uint8 of shape (height, width, 3), or (height, width) for one channel; the picture is squeezed into that size.

    "bilinear" averages over what a smaller pixel covers; "nearest" is Keras's default.
    """
    image = image.convert("RGB" if channels == 3 else "L")
    if image.size != size[::-1]:
        image = image.resize(size[::-1], Image.Resampling[resampling.upper()])
    return np.asarray(image)
