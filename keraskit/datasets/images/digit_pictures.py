"""Digits as MNIST's makers prepared theirs: tells whether pictures are so prepared, and prepares a photograph so.

http://yann.lecun.com/exdb/mnist says how: black and white digits were scaled, their aspect ratio kept, to fit in a box
of 20x20 pixels, whence the grey levels, and set into 28x28 pixels with their centre of mass in the middle.
"""

import numpy as np
from PIL import Image, ImageFilter

FIELD, BOX = 28, 20  # pixels
MIDDLE = FIELD // 2  # MNIST's centres of mass, pixels counted from 0, all lie within half a pixel of (14, 14)
SHAPE = (FIELD, FIELD, 1)
SAMPLE = 1_000  # pictures to measure
WORKED = 320  # pixels of a photograph's longer side while its ink is looked for
GRID = 32  # the paper's brightness is estimated in GRID x GRID cells
DIM = 64  # brightness; of darker paper, noise would have as much contrast as ink
FAINT = 0.1  # contrast below which nothing counts as ink


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


def _is_prepared(ink: np.ndarray) -> bool:
    """Whether ink from 0 to 255 has the size and place of MNIST's, give or take two pixels and one."""
    ink = np.where(ink < FAINT * 255, 0, ink)
    if ink.shape != (FIELD, FIELD) or not ink.any():
        return False
    top, bottom, left, right = _bounds(ink)
    return BOX - 2 <= max(bottom - top, right - left) <= BOX and np.abs(_centre(ink) - MIDDLE).max() <= 1


def cut_out(image: Image.Image, dark_ink: bool | None = None) -> tuple[np.ndarray, bool] | None:
    """The digit of a photograph as MNIST has it.

    Args:
        image: of any size, grey or colour.
        dark_ink: whether the ink is darker than the paper; None lets the picture decide.

    Returns:
        uint8 of shape (28, 28), white on black, and whether the ink was dark; None where there is no ink.
    """
    small = image.convert("L")
    small.thumbnail((WORKED, WORKED), Image.Resampling.BOX, reducing_gap=None)
    width, highest = (3, 20) if max(small.size) >= 100 else (1, 8)  # blank paper's noise stays below so many steps
    grey = np.asarray(small.filter(ImageFilter.MedianFilter(width)), np.float32)
    paper = _paper(grey)
    if dark_ink is None:
        dark_ink = bool(((grey - paper) ** 3).sum() < 0)  # cubed, for ink is far from the paper and noise is near
    difference, most = (paper - grey, paper) if dark_ink else (grey - paper, 255 - paper)
    ink = difference / most.clip(DIM)
    step = np.abs(np.diff(difference.ravel()))  # from pixel to pixel; most are of the same ink or paper
    if ink.max() < FAINT or difference.max() < highest * np.median(step):
        return None
    full = _strength(ink)
    strokes = Image.fromarray(ink > full / 3).convert("L").filter(ImageFilter.MaxFilter(3))  # with their soft edges
    ink = np.where(np.asarray(strokes) & (ink > full / 50), ink, 0)

    top, bottom, left, right = _bounds(ink)
    side = max(bottom - top, right - left)
    if 2 * side < max(ink.shape):  # look again, nearer
        scale, room = max(image.size) / max(ink.shape), side / 2
        near = int(scale * max(0, left - room)), int(scale * max(0, top - room))
        far = int(scale * (right + room)), int(scale * (bottom + room))
        return cut_out(image.crop((*near, min(far[0], image.width), min(far[1], image.height))), dark_ink)
    size = max(1, round((right - left) * BOX / side)), max(1, round((bottom - top) * BOX / side))
    box = (left, top, right, bottom)
    scaled = np.asarray(Image.fromarray(ink.astype(np.float32)).resize(size, Image.Resampling.HAMMING, box=box))
    return _centred((scaled / _strength(scaled)).clip(0, 1)), dark_ink


def _strength(ink: np.ndarray) -> float:
    """How strong the ink of full strokes is: their edges are weaker, noise may be stronger."""
    return float(np.percentile(ink[ink > ink.max() / 2], 75))


def _paper(grey: np.ndarray) -> np.ndarray:
    """The brightness of the paper under the ink, unevenly lit, float32 of the picture's shape (height, width).

    A surface of second degree by least absolute deviations, which ink moves little, follows the light; then the median
    of what remains around each cell follows the edges of shadows. Digits seldom reach the border, so it weighs more.
    """
    cells = np.asarray(Image.fromarray(grey).resize((GRID, GRID), Image.Resampling.BOX))
    y, x = np.meshgrid(*[np.linspace(-1, 1, GRID)] * 2, indexing="ij")
    terms = np.stack([x**0, x, y, x * x, x * y, y * y], axis=-1).reshape(GRID * GRID, -1)
    known = np.pad(np.full((GRID - 2, GRID - 2), 0.1), 1, constant_values=1.0).ravel()
    weights, values = known, cells.ravel()
    for _ in range(20):
        surface = terms @ np.linalg.lstsq(terms * weights[:, None], values * weights, rcond=None)[0]
        weights = known / np.sqrt(np.abs(values - surface).clip(1))
    light = surface.reshape(cells.shape)
    reach = GRID // 3
    around = np.lib.stride_tricks.sliding_window_view(np.pad(cells - light, reach, "edge"), (2 * reach + 1,) * 2)
    estimate = Image.fromarray((light + np.median(around, axis=(2, 3))).astype(np.float32))
    return np.asarray(estimate.resize(grey.shape[::-1], Image.Resampling.BICUBIC))


def _centred(ink: np.ndarray) -> np.ndarray:
    """Ink from 0 to 1, at most 20x20, with its centre of mass in the middle of 28x28 pixels, uint8."""
    room = FIELD - np.array(ink.shape)
    top, left = np.round(MIDDLE - _centre(ink)).astype(int).clip(0, room)
    field = np.zeros((FIELD, FIELD), np.uint8)
    field[top : top + ink.shape[0], left : left + ink.shape[1]] = np.round(255 * ink)
    return field


def _bounds(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of what is not 0, counted from 0; bottom and right are the first beyond."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _centre(ink: np.ndarray) -> np.ndarray:
    """The centre of mass, (row, column), counted from 0."""
    return np.array([ink.sum(axis=1) @ np.arange(ink.shape[0]), ink.sum(axis=0) @ np.arange(ink.shape[1])]) / ink.sum()
