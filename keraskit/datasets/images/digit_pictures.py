"""Digits as MNIST's makers prepared theirs: tells whether pictures are so prepared, and prepares a photograph so.

http://yann.lecun.com/exdb/mnist says how: black and white digits were scaled, their aspect ratio kept, to fit in a box
of 20x20 pixels, whence the grey levels, and set into 28x28 pixels with their centre of mass in the middle.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from keraskit.datasets.images import decode
from keraskit.datasets.preprocessing import Inputs

Invert = Literal["auto", "yes", "no"]
Prepare = Literal["auto", "no"]

FIELD, BOX = 28, 20  # pixels
MIDDLE = FIELD // 2  # MNIST's centres of mass, pixels counted from 0, all lie within half a pixel of (14, 14)
SHAPE = (FIELD, FIELD, 1)
SAMPLE = 1_000  # pictures to measure
NEARLY_ALL = 0.95  # of them
WORKED = 320  # pixels of a photograph's longer side while its ink is looked for
FAINT = 0.1  # contrast below which nothing counts as ink
INK = 0.25  # of the strongest contrast: what has less is paper


def measure(pictures: np.ndarray) -> dict[str, float]:
    """What must be known of a run's grey training pictures to treat others alike.

    Args:
        pictures: uint8 of shape (n, height, width).

    Returns:
        "darkest_border" and "brightest_border" of single pictures, 0 to 255, and "as_mnist", the share of pictures
        that are prepared as MNIST's, whether their ink is bright or dark.
    """
    borders = border(pictures)
    known = {"darkest_border": float(borders.min()), "brightest_border": float(borders.max())}
    alike = [_is_prepared(each) for each in np.abs(pictures - borders[:, None, None])]
    return known | {"as_mnist": float(np.mean(alike))}


def border(pictures: np.ndarray) -> np.ndarray:
    """The mean brightness of the outermost pixels, shape (n,), of pictures of shape (n, height, width)."""
    sides = (pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1])
    return np.concatenate(sides, axis=1).mean(axis=1)


def is_prepared(image: Image.Image) -> bool:
    """Whether a picture is as MNIST's are, whether its ink is bright or dark."""
    return measure(np.asarray(image.convert("L"))[None])["as_mnist"] == 1


def prepared(
    image: Image.Image, inputs: Inputs, trained: Mapping[str, float], invert: Invert = "auto", prepare: Prepare = "auto"
) -> tuple[np.ndarray, str]:
    """Return a picture in a run's size, uint8, and a note on what else was done to it.

    Args:
        image: from `decode.read`.
        inputs: the run's.
        trained: what `measure` found in its training pictures.
        invert, prepare: as `predict` has them.
    """
    bright_paper = trained["darkest_border"] + trained["brightest_border"] > 255
    if prepare == "auto" and as_mnist(inputs, trained) and not is_prepared(image):
        dark_ink = None if invert == "auto" else bright_paper == (invert == "no")
        if found := cut_out(image, dark_ink):
            array, dark_ink = found
            note = "digit cut out, scaled to 20x20 and centred" + "; inverted" * (dark_ink != bright_paper)
            return 255 - array if bright_paper else array, note
    array = decode.pixels(image, inputs.size, inputs.channels)
    if invert == "yes" or (invert == "auto" and inputs.channels == 1 and _differs(array, trained)):
        return decode.pixels(ImageOps.invert(image), inputs.size, inputs.channels), "inverted"
    return array, ""


def as_mnist(inputs: Inputs, trained: Mapping[str, float]) -> bool:
    """Whether a run's pictures are digits prepared as MNIST's."""
    return trained["as_mnist"] >= NEARLY_ALL and (*inputs.size, inputs.channels) == SHAPE


def _differs(array: np.ndarray, trained: Mapping[str, float]) -> bool:
    """Whether the border of a grey picture, once inverted, is nearer to those of the training pictures."""
    brightness, low, high = float(border(array[None])[0]), trained["darkest_border"], trained["brightest_border"]
    distance, swapped = (max(low - value, value - high, 0) for value in (brightness, 255 - brightness))
    return swapped < distance


def _is_prepared(ink: np.ndarray) -> bool:
    """Whether ink from 0 to 255 has the size and place of MNIST's, give or take two pixels and one."""
    ink = np.where(ink < FAINT * 255, 0, ink)
    if ink.shape != (FIELD, FIELD) or not ink.any():
        return False
    top, bottom, left, right = _bounds(ink)
    return BOX - 2 <= max(bottom - top, right - left) <= BOX and np.abs(_centre(ink) - MIDDLE).max() <= 1


def cut_out(image: Image.Image, dark_ink: bool | None = None) -> tuple[np.ndarray, bool] | None:
    """The digit of a photograph as MNIST has it: a plain threshold, a box, 20x20 pixels, the centre of mass.

    Args:
        image: of any size, grey or colour; the paper, which reaches the border, is lit evenly.
        dark_ink: whether the ink is darker than the paper; None lets the picture decide.

    Returns:
        uint8 of shape (28, 28), white on black, and whether the ink was dark; None where there is no ink.
    """
    small = image.convert("L")
    small.thumbnail((WORKED, WORKED), Image.Resampling.BOX, reducing_gap=None)
    grey = np.asarray(small, np.float32)
    difference = grey - _paper(grey)
    if dark_ink is None:
        dark_ink = bool(-difference.min() > difference.max())
    ink = (-difference if dark_ink else difference) / 255
    if ink.max() < FAINT:
        return None
    ink = (ink / ink.max()).clip(0, 1)
    ink = np.where(ink > INK, ink, 0)
    top, bottom, left, right = _bounds(ink)
    side = max(bottom - top, right - left)
    size = max(1, round((right - left) * BOX / side)), max(1, round((bottom - top) * BOX / side))
    scaled = Image.fromarray(ink.astype(np.float32)).resize(size, Image.Resampling.BOX, box=(left, top, right, bottom))
    return _centred(np.asarray(scaled)), dark_ink


def _paper(grey: np.ndarray) -> np.ndarray:
    """The brightness of the paper: a surface of second degree, fitted to the outermost pixels."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in grey.shape), indexing="ij")
    terms = np.stack([x**0, x, y, x * x, x * y, y * y], axis=-1)
    outermost = np.maximum(np.abs(x), np.abs(y)) == 1
    return terms @ np.linalg.lstsq(terms[outermost], grey[outermost])[0]


def _centred(ink: np.ndarray) -> np.ndarray:
    """Ink from 0 to 1, at most 20x20, with its centre of mass in the middle of 28x28 pixels, uint8."""
    room = FIELD - np.array(ink.shape)
    top, left = np.round(MIDDLE - _centre(ink)).astype(int).clip(0, room)
    field = np.zeros((FIELD, FIELD), np.uint8)
    field[top : top + ink.shape[0], left : left + ink.shape[1]] = np.round(255 * ink / ink.max())
    return field


def _bounds(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of what is not 0, counted from 0; bottom and right are the first beyond."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _centre(ink: np.ndarray) -> np.ndarray:
    """The centre of mass, (row, column), counted from 0."""
    return np.array([ink.sum(axis=1) @ np.arange(ink.shape[0]), ink.sum(axis=0) @ np.arange(ink.shape[1])]) / ink.sum()
