"""Detect whether images are prepared as MNIST's digits are, and prepare photographs in the same way.

According to http://yann.lecun.com/exdb/mnist, black and white digits were scaled to fit into a box of 20x20 pixels,
keeping their aspect ratio, which gave grey levels, and centred in 28x28 pixels by their centre of mass.
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
MIDDLE = FIELD // 2  # all of MNIST's centres of mass, with pixels counted from 0, lie within half a pixel of (14, 14)
SAMPLE, PLACED = 1_000, 200  # images to measure; of these, to find the ink in, one by one
NEGATIVE = 64  # of 255 that inversion brings a border closer: MNIST's by all, other pictures vary by less
WORKED = 320  # pixels of a photograph's longer side during the search for ink
FAINT, INK = 0.1, 0.25  # minimum contrast of ink; threshold between paper and ink, relative to the strongest contrast


def measure(pictures: np.ndarray) -> dict[str, float]:
    """Measure a run's grey training images, uint8 of shape (n, height, width), to prepare other images like them.

    Returns the lowest and highest mean border value of an image, "darkest_border" and "brightest_border", 0 to 255, and
    "as_mnist", the fraction of images that are prepared as MNIST's, with bright or dark ink.
    """
    borders = _borders(pictures).mean(axis=1)
    first = pictures[: PLACED if pictures.shape[1:] == (FIELD, FIELD) else 0]
    alike = [_is_prepared(abs(each - border)) for each, border in zip(first, borders, strict=False)] or [False]
    darkest, brightest = float(borders.min()), float(borders.max())
    return {"darkest_border": darkest, "brightest_border": brightest, "as_mnist": float(np.mean(alike))}


def as_mnist(inputs: Inputs, trained: Mapping[str, float]) -> bool:
    """Whether nearly all images of a run, measured by `measure`, are prepared as MNIST's."""
    return trained["as_mnist"] >= 0.95 and (*inputs.size, inputs.channels) == (FIELD, FIELD, 1)


def prepared(
    image: Image.Image, inputs: Inputs, trained: Mapping[str, float], invert: Invert = "auto", prepare: Prepare = "auto"
) -> tuple[np.ndarray, str]:
    """Return an image from `decode.read` in a run's size, uint8, and a note on other changes made to it.

    `trained` is the result of `measure` for the run's training images; `invert` and `prepare` are flags of `predict`.
    """
    low, high, note = trained["darkest_border"], trained["brightest_border"], ""
    is_so = measure(np.asarray(image.convert("L"))[None])["as_mnist"] == 1
    if prepare == "auto" and as_mnist(inputs, trained) and not is_so:
        bright_paper = low + high > 255
        if found := cut_out(image, None if invert == "auto" else bright_paper == (invert == "no")):
            array, dark_ink = found
            note = "digit cut out, scaled to 20x20 and centred" + "; inverted" * (dark_ink != bright_paper)
            return 255 - array if bright_paper else array, note
        note = "no digit found"
    array = decode.pixels(image, inputs.size, inputs.channels, crop=inputs.crop)
    if invert == "auto" and inputs.channels == 1:  # if this brings the border much closer to training's
        brightness = _borders(array[None]).mean()
        distance, swapped = (max(low - value, value - high, 0) for value in (brightness, 255 - brightness))
        invert = "yes" if distance - swapped > NEGATIVE else "no"
    if invert == "yes":
        array = decode.pixels(ImageOps.invert(image), inputs.size, inputs.channels, crop=inputs.crop)
        return array, f"{note}; inverted".removeprefix("; ")
    return array, note


def cut_out(image: Image.Image, dark_ink: bool | None = None) -> tuple[np.ndarray, bool] | None:
    """Cut the digit out of a photograph as in MNIST: threshold it, crop it, scale it to 20x20 pixels and centre it.

    Assumes evenly lit paper that reaches the border. `dark_ink` tells whether the ink is darker than the paper; None
    detects it. Returns uint8 of shape (28, 28), white on black, and whether the ink was dark; None without ink.
    """
    small = image.convert("L")
    small.thumbnail((WORKED, WORKED), Image.Resampling.BOX, reducing_gap=None)
    grey = np.asarray(small, np.float32)
    contrast = (grey - np.median(_borders(grey[None]))) / 255
    dark_ink = bool(-contrast.min() > contrast.max()) if dark_ink is None else dark_ink
    ink = -contrast if dark_ink else contrast
    if ink.max() < FAINT:
        return None
    digit = _cropped(np.where(ink > INK * ink.max(), ink / ink.max(), 0))
    width, height = (max(1, round(side * BOX / max(digit.size))) for side in digit.size)
    scaled = np.asarray(digit.resize((width, height), Image.Resampling.BOX))
    top, left = np.round(MIDDLE - _centre(scaled)).astype(int).clip(0, FIELD - np.array(scaled.shape))
    field = np.zeros((FIELD, FIELD), np.uint8)
    field[top : top + height, left : left + width] = np.round(255 * scaled / scaled.max())
    return field, dark_ink


def _is_prepared(ink: np.ndarray) -> bool:
    """Whether ink, 0 to 255, has MNIST's size, at most two pixels less, and position, within one pixel."""
    ink = np.where(ink < FAINT * 255, 0, ink)
    if not ink.any():
        return False
    return BOX - 2 <= max(_cropped(ink).size) <= BOX and np.abs(_centre(ink) - MIDDLE).max() <= 1


def _borders(pictures: np.ndarray) -> np.ndarray:
    """Return the outermost pixels of images of shape (n, height, width)."""
    return np.concatenate([pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], axis=1)


def _cropped(ink: np.ndarray) -> Image.Image:
    """Return the box around the nonzero pixels, as an image of floats."""
    whole = Image.fromarray(ink.astype(np.float32))
    return whole.crop(whole.getbbox())


def _centre(ink: np.ndarray) -> np.ndarray:
    """Return the centre of mass, (row, column), counted from 0."""
    return np.array([np.average(index, weights=ink) for index in np.indices(ink.shape)])
