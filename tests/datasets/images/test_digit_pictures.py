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
    """MNIST's first test pictures."""
    return mnist.load()[0]["x_test"][:SOME]


@pytest.fixture(scope="module")
def photographs(digits):
    """One of each digit."""
    random = np.random.default_rng(0)
    return [photograph(digit, random) for digit in digits]


def mass(picture):
    """Centre of mass, (row, column)."""
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


def test_mnists_own_pictures_on_a_larger_canvas_come_back(digits):
    returned = [digit_pictures.cut_out(Image.fromarray(np.pad(digit, ((9, 40), (30, 2))))) for digit in digits]
    assert not any(dark for _, dark in returned)
    away = np.array(
        [np.abs(picture.astype(int) - digit).mean() for (picture, _), digit in zip(returned, digits, strict=True)]
    )
    assert np.median(away) < 0.5 and np.mean(away < 1) > 0.9


def test_photographs_get_mnists_size_and_place(digits, photographs):
    alike = []
    for image, digit in zip(photographs, digits, strict=True):
        picture, dark = digit_pictures.cut_out(image)
        assert dark and picture.shape == (28, 28) and picture.dtype == np.uint8
        assert longer_side(picture) in (19, 20)
        assert np.abs(mass(picture) - 14).max() <= 0.51
        alike.append(likeness(picture, digit))
    assert min(alike) > 0.85 and np.median(alike) > 0.95


def test_chalk_on_a_blackboard_is_as_ink_on_paper(photographs):
    for image in photographs[:10]:
        picture, dark = digit_pictures.cut_out(ImageOps.invert(image))
        assert not dark
        assert np.abs(picture.astype(int) - digit_pictures.cut_out(image)[0]).mean() < 3
        assert digit_pictures.cut_out(image, dark_ink=True)[1]


def test_a_small_digit_far_away_is_found(digits):
    random = np.random.default_rng(0)
    for digit in digits[:3]:
        page = Image.new("L", (3_000, 2_200), 220)
        page.paste(Image.fromarray(220 - (digit * 0.6).astype(np.uint8)).resize((200, 200)), (2_300, 400))
        noisy = np.asarray(page) + random.normal(0, 4, (2_200, 3_000))
        picture, _ = digit_pictures.cut_out(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))
        assert likeness(picture, digit) > 0.9


@pytest.mark.parametrize("noise", [0, 1, 5, 15])
@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (60, 80), (300, 200)])
@pytest.mark.parametrize("light", [20, 235])
def test_blank_paper_has_no_ink(shape, noise, light):
    random = np.random.default_rng(0)
    slope = np.add.outer(np.linspace(0, 0.3, shape[0]), np.linspace(0, 0.3, shape[1]))
    paper = light * (1 - slope) + random.normal(0, noise, shape)
    assert digit_pictures.cut_out(Image.fromarray(paper.clip(0, 255).astype(np.uint8))) is None
