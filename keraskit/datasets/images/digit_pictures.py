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
SAMPLE = 1_000  # pictures to measure
WORKED = 320  # pixels of a photograph's longer side while its ink is looked for
FAINT, INK = 0.1, 0.25  # contrast below which nothing is ink; of the strongest contrast, what has less is paper


def measure(pictures: np.ndarray) -> dict[str, float]:
    """What must be known of a run's grey training pictures, uint8 of shape (n, height, width), to treat others alike.

    Returns "darkest_border" and "brightest_border" of single pictures, 0 to 255, and "as_mnist", the share of pictures
    that are prepared as MNIST's, whether their ink is bright or dark.
    """
    borders = _borders(pictures).mean(axis=1)
    alike = [_is_prepared(each) for each in np.abs(pictures - borders[:, None, None])]
    darkest, brightest = float(borders.min()), float(borders.max())
    return {"darkest_border": darkest, "brightest_border": brightest, "as_mnist": float(np.mean(alike))}


def as_mnist(inputs: Inputs, trained: Mapping[str, float]) -> bool:
    """Whether a run's pictures, of which `measure` found this, are nearly all prepared as MNIST's."""
    return trained["as_mnist"] >= 0.95 and (*inputs.size, inputs.channels) == (FIELD, FIELD, 1)


def prepared(
    image: Image.Image, inputs: Inputs, trained: Mapping[str, float], invert: Invert = "auto", prepare: Prepare = "auto"
) -> tuple[np.ndarray, str]:
    """Return a picture, from `decode.read`, in a run's size, uint8, and a note on what else was done to it.

    `trained` is what `measure` found in the run's training pictures; `invert` and `prepare` are as `predict` has them.
    """
    low, high = trained["darkest_border"], trained["brightest_border"]
    if prepare == "auto" and as_mnist(inputs, trained):
        bright_paper, is_so = low + high > 255, measure(np.asarray(image.convert("L"))[None])["as_mnist"] == 1
        dark_ink = None if invert == "auto" else bright_paper == (invert == "no")
        if found := None if is_so else cut_out(image, dark_ink):
            array, dark_ink = found
            note = "digit cut out, scaled to 20x20 and centred" + "; inverted" * (dark_ink != bright_paper)
            return 255 - array if bright_paper else array, note
    array = decode.pixels(image, inputs.size, inputs.channels)
    if invert == "auto" and inputs.channels == 1:  # where the border is nearer to the training pictures' then
        brightness = _borders(array[None]).mean()
        distance, swapped = (max(low - value, value - high, 0) for value in (brightness, 255 - brightness))
        invert = "yes" if swapped < distance else "no"
    if invert == "yes":
        return decode.pixels(ImageOps.invert(image), inputs.size, inputs.channels), "inverted"
    return array, ""


def cut_out(image: Image.Image, dark_ink: bool | None = None) -> tuple[np.ndarray, bool] | None:
    """The digit of a photograph as MNIST has it: a plain threshold, a box, 20x20 pixels, the centre of mass.

    The paper reaches the border, and is lit evenly. `dark_ink` says whether the ink is darker; None lets the picture
    decide. Returns uint8 of shape (28, 28), white on black, and whether the ink was dark; None where there is no ink.
    """
    small = image.convert("L")
    small.thumbnail((WORKED, WORKED), Image.Resampling.BOX, reducing_gap=None)
    grey = np.asarray(small, np.float32)
    contrast = (grey - np.median(_borders(grey[None]))) / 255
    dark_ink = bool(-contrast.min() > contrast.max()) if dark_ink is None else dark_ink
    ink = -contrast if dark_ink else contrast
    if ink.max() < FAINT:
        return None
    ink = np.where(ink > INK * ink.max(), ink / ink.max(), 0).astype(np.float32)
    top, bottom, left, right = _bounds(ink)
    side = max(bottom - top, right - left)
    size = max(1, round((right - left) * BOX / side)), max(1, round((bottom - top) * BOX / side))
    digit = np.asarray(Image.fromarray(ink[top:bottom, left:right]).resize(size, Image.Resampling.BOX))
    top, left = np.round(MIDDLE - _centre(digit)).astype(int).clip(0, FIELD - np.array(digit.shape))
    field = np.zeros((FIELD, FIELD), np.uint8)
    field[top : top + size[1], left : left + size[0]] = np.round(255 * digit / digit.max())
    return field, dark_ink


def _is_prepared(ink: np.ndarray) -> bool:
    """Whether ink from 0 to 255 has the size and place of MNIST's, give or take two pixels and one."""
    ink = np.where(ink < FAINT * 255, 0, ink)
    if ink.shape != (FIELD, FIELD) or not ink.any():
        return False
    top, bottom, left, right = _bounds(ink)
    return BOX - 2 <= max(bottom - top, right - left) <= BOX and np.abs(_centre(ink) - MIDDLE).max() <= 1


def _borders(pictures: np.ndarray) -> np.ndarray:
    """The outermost pixels of pictures of shape (n, height, width)."""
    return np.concatenate([pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], axis=1)


def _bounds(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of what is not 0, counted from 0; bottom and right are the first beyond."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _centre(ink: np.ndarray) -> np.ndarray:
    """The centre of mass, (row, column), counted from 0."""
    return np.array([np.average(index, weights=ink) for index in np.indices(ink.shape)])
