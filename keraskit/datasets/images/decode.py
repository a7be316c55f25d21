"""Read images of several formats: upright, 8 bits, in colour or grey; errors state briefly what is wrong.

This module imports only Pillow and NumPy, since every export contains a copy of it.
"""

import io
import stat
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")  # the only decoders used, whatever the file name
MOST_PIXELS = 80_000_000  # per image; a file can claim more than fits into memory
MOST_SIDE = 65_535  # pixels, the limit of JPEG; rows of one pixel cost far more than their pixels
MOST_BYTES = 200_000_000  # per image file
DEPTHS = (8, 10, 12, 14, 16)  # bit depths of cameras and scanners, stored in 16 bits


class BadPicture(ValueError):
    """The file is not a usable image; the message says why."""


def contents(path: Path) -> bytes:
    """Read an untrusted file. Raises OSError if it is too large, or not a regular file, such as a pipe or a device."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
        raise OSError(f"it is no regular file of at most {MOST_BYTES:,} bytes")
    return path.read_bytes()


def read(data: bytes, bits: int | None = None, most: int = MOST_PIXELS) -> Image.Image:
    """Decode the first frame, upright, in mode RGB or L, with transparent parts on white.

    `bits` is the number of bits that the grey 16-bit images of a data set use (default: what this one uses, which is
    `info["depth"]` of the result). Raises BadPicture if the file is empty, damaged, of another format, or has more than
    `most` pixels.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > most or max(image.size) > MOST_SIDE or not min(image.size):
            allowed = f"{most:,} are allowed, and {MOST_SIDE:,} in a row"
            raise BadPicture(f"has {image.width:,} x {image.height:,} pixels; {allowed}")
        image.load()
        return _plain(ImageOps.exif_transpose(image), bits)
    except (BadPicture, MemoryError):
        raise
    except Image.UnidentifiedImageError as error:
        raise BadPicture(f"is no picture ({', '.join(FORMATS)})" if data else "is empty") from error
    except Exception as error:
        raise BadPicture(f"is damaged: {error}") from error


def _plain(image: Image.Image, bits: int | None) -> Image.Image:
    """Convert to 8 bits per channel, no palette or transparency. Grey images with 16 bits use `bits` of them."""
    image.info["depth"] = 0  # a file can claim any
    if image.mode[0] in "IF":  # grey with more than 8 bits; Pillow's own conversion would clip
        values = np.asarray(image)
        if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65_535:
            raise BadPicture(f"has {values.dtype}, beyond 16 bits; save it with 8 or 16 bits")
        depth = next(depth for depth in DEPTHS if values.max() < 1 << depth)
        grey = values >> max(bits or 0, depth) - 8
        grey[values == image.info.get("transparency", -1)] = 255
        image = Image.fromarray(grey.astype(np.uint8))
        image.info["depth"] = depth
    elif image.has_transparency_data and image.convert("RGBA").getchannel("A").getbbox():  # else it means nothing
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode in {"RGB", "L"} else image.convert("L" if image.mode == "1" else "RGB")


def center_crop(image: Image.Image, aspect: float = 1.0, share: float = 0.875) -> Image.Image:
    """Crop the centre: `share` of the largest rectangle of that aspect ratio; by default as evaluations on ImageNet."""
    width = share * min(image.width, image.height * aspect)
    left, top = (image.width - width) / 2, (image.height - width / aspect) / 2
    right, bottom = max(round(left) + 1, round(left + width)), max(round(top) + 1, round(top + width / aspect))
    return image.crop((round(left), round(top), right, bottom))


def squeezed(image: Image.Image, size: tuple[int, int]) -> bool:
    """Whether resizing to (height, width) changes the aspect ratio by half or more."""
    factor = image.width * size[0] / (image.height * size[1])
    return max(factor, 1 / factor) >= 1.5


def pixels(
    image: Image.Image, size: tuple[int, int], channels: int = 3, resampling: str = "bilinear", crop: bool = False
) -> np.ndarray:
    """Resize to uint8 of shape (height, width, 3), or (height, width) for one channel.

    The aspect ratio is ignored, or kept with `crop`, by the centre of that shape. "bilinear" averages over the area of
    a pixel when reducing; "nearest" is Keras's default.
    """
    image = image.convert("RGB" if channels == 3 else "L")
    image = center_crop(image, size[1] / size[0], share=1) if crop else image
    image = image if image.size == size[::-1] else image.resize(size[::-1], Image.Resampling[resampling.upper()])
    return np.asarray(image)
