"""Pictures prepared as MNIST's are told from others, and a photograph of a digit becomes such a picture."""

import numpy as np
import pytest
from drawn_photographs import photograph
from PIL import Image, ImageOps

from keraskit.datasets import mnist
from keraskit.datasets.images import digit_pictures

SOME = 60


@pytest.fixture(scope="module")
def digits():
    return mnist.load()[0]["x_test"][:SOME]


@pytest.fixture(scope="module")
def photographs(digits):
    random = np.random.default_rng(0)
    return [photograph(digit, random) for digit in digits]


def mass(picture):
    rows, columns = np.indices(picture.shape)
    return np.array([np.average(rows, weights=picture), np.average(columns, weights=picture)])


def longer_side(picture):
    """Of the box around what is brighter than a tenth."""
    return max(np.ptp(np.flatnonzero((picture > 25).any(axis))) + 1 for axis in (0, 1))


def likeness(picture, digit):
    """Correlation, the best of a pixel's shifts: a centre of mass between two pixels is rounded either way."""
    shifts = [np.roll(picture, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return max(np.corrcoef(each.ravel(), digit.ravel())[0, 1] for each in shifts)


def test_mnist_is_recognised_in_both_shades_and_nothing_else(digits):
    for pictures, borders in ((digits, (0, 10)), (255 - digits, (245, 255))):
        measured = digit_pictures.measure(pictures)
        assert measured["as_mnist"] == 1
        assert borders[0] <= measured["darkest_border"] <= measured["brightest_border"] <= borders[1]
    stretched = [np.asarray(Image.fromarray(each[4:24, 4:24]).resize((28, 28))) for each in digits]
    moved, small = np.roll(digits, 3, axis=2), digits[:, 2:-2, 2:-2]
    noise = np.random.default_rng(0).integers(0, 256, (9, 28, 28), np.uint8)
    for pictures in (np.stack(stretched), moved, small, noise, np.zeros_like(digits), 255 + 0 * digits):
        assert digit_pictures.measure(pictures)["as_mnist"] < 0.05


def test_photographs_get_mnists_size_and_place_chalk_as_ink(digits, photographs):
    alike = []
    for image, digit in zip(photographs, digits, strict=True):
        picture, dark = digit_pictures.cut_out(image)
        assert dark and picture.shape == (28, 28) and picture.dtype == np.uint8
        assert longer_side(picture) in (19, 20)
        assert np.abs(mass(picture) - 14).max() <= 0.51
        alike.append(likeness(picture, digit))
        chalk, dark = digit_pictures.cut_out(ImageOps.invert(image))
        assert not dark and likeness(chalk, picture) > 0.9
    assert min(alike) > 0.8 and np.median(alike) > 0.93


@pytest.mark.parametrize("light", [20, 235])
@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (300, 200)])
def test_blank_paper_has_no_ink(shape, light):
    paper = light + np.random.default_rng(0).normal(0, 3, shape)
    assert digit_pictures.cut_out(Image.fromarray(paper.clip(0, 255).astype(np.uint8))) is None
