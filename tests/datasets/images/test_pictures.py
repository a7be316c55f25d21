"""One decoder for every picture: odd files come out right, or as a few words that say why not."""

import io
import struct
import zlib

import numpy as np
import pytest
from drawn_photographs import photograph
from PIL import Image, ImageOps

from keraskit.datasets.digits import load_mnist
from keraskit.datasets.images import decode, digit_pictures
from keraskit.datasets.preprocessing import Inputs

RED, GREEN, WHITE = (220, 20, 30), (20, 160, 40), (255, 255, 255)


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def halves(mode="RGB"):
    image = Image.new("RGB", (40, 20), RED)
    image.paste(GREEN, (20, 0, 40, 20))
    return image.convert(mode)


def colours(data):
    array = decode.pixels(decode.read(data), (20, 40)).astype(int)
    return array[10, 8], array[10, 32]


@pytest.mark.parametrize("form", decode.FORMATS)
def test_every_format_whatever_the_file_is_called(form):
    left, right = colours(encoded(halves(), form))
    tolerance = 40 if form in {"JPEG", "WEBP"} else 2  # lossy; still far from each other's colour
    assert np.abs(left - RED).max() <= tolerance and np.abs(right - GREEN).max() <= tolerance


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_grey_of_more_than_8_bits_keeps_its_brightness(bits):
    ramp = np.linspace(0, 2**bits - 1, 256).astype(np.uint16)
    array = decode.pixels(decode.read(encoded(Image.fromarray(np.tile(ramp, (4, 1))))), (4, 256), 1)
    assert np.abs(array[0].astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA"])
def test_what_is_transparent_is_white(mode):
    image = halves("RGBA")
    image.putalpha(Image.new("L", (40, 20), 0))
    image.paste((10, 10, 10, 255), (20, 0, 40, 20))
    left, right = colours(encoded(image.convert(mode) if mode != "P" else image.quantize(8)))
    assert np.abs(left - WHITE).max() <= 2 and right.max() <= 12
    image.putalpha(0)  # as of a BMP whose fourth byte means nothing
    assert colours(encoded(image))[1].tolist() == [10, 10, 10]


def test_exif_turns_the_picture_upright():
    turned = halves().transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    image = decode.read(encoded(turned, "JPEG", exif=exif, quality=95))
    assert image.size == (40, 20)
    assert np.asarray(image)[10, 5].argmax() == 0 and np.asarray(image)[10, 35].argmax() == 1


def claiming(width, height):
    """A PNG of one pixel that claims to be larger."""
    data = bytearray(encoded(Image.new("L", (1, 1))))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # Pillow's own, before ours
@pytest.mark.parametrize(("data", "why"), [
    (b"", "is empty"),
    (b"no picture at all, however long it may be", "is no picture"),
    (encoded(halves(), "JPEG")[:300], "is damaged"),
    (encoded(halves(), "PNG")[:-30], "is damaged"),
    (encoded(halves(), "PPM"), "is no picture"),
    (encoded(halves(), "TIFF")[:-300], "is damaged"),
    (encoded(Image.fromarray(np.full((4, 4), np.float32(0.5))), "TIFF"), "float32, beyond"),
    (encoded(Image.fromarray(np.full((4, 4), np.int32(70_000))), "TIFF"), "int32, beyond"),
    (claiming(20_000, 20_000), "damaged: .*decompression bomb|80,000,000 are allowed"),
    (claiming(10_000, 9_000), "80,000,000 are allowed"),
    (claiming(1, 65_536), "80,000,000 are allowed, and 65,535 in a row"),
])  # fmt: skip
def test_what_is_wrong_is_said(data, why):
    with pytest.raises(decode.BadPicture, match=why):
        decode.read(data)


def test_the_size_is_height_and_width_and_smaller_pixels_average():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8).astype(np.uint8))
    small = decode.pixels(noise, (30, 20))
    blocks = np.asarray(noise).reshape(30, 10, 20, 10, 3).mean((1, 3))
    assert small.shape == (30, 20, 3)
    nearest = decode.pixels(noise, (30, 20), resampling="nearest")
    assert np.abs(small - blocks).mean() < 12 < np.abs(nearest - blocks).mean()
    assert decode.pixels(noise, (30, 20), 1).shape == (30, 20)


def test_cropping_keeps_the_shape_where_resizing_squeezes():
    image = halves()
    for size, box in (((20, 20), (10, 0, 30, 20)), ((10, 40), (0, 5, 40, 15)), ((40, 80), (0, 0, 40, 20))):
        assert np.array_equal(decode.pixels(image, size, crop=True), decode.pixels(image.crop(box), size))
        assert decode.squeezed(image, size) == (box != (0, 0, 40, 20))
    assert decode.pixels(image.resize((400, 1)), (400, 1), crop=True).shape == (400, 1, 3)


# Pictures prepared as MNIST's are told from others, and a photograph of a digit becomes such a picture


@pytest.fixture(scope="module")
def digits():
    return load_mnist()[0]["x_test"][:60]


@pytest.fixture(scope="module")
def photographs(digits):
    random = np.random.default_rng(0)
    return [photograph(digit, random) for digit in digits]


def mass(picture):
    rows, columns = np.indices(picture.shape)
    return np.array([np.average(rows, weights=picture), np.average(columns, weights=picture)])


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
        sides = [np.ptp(np.flatnonzero((picture > 25).any(axis))) + 1 for axis in (0, 1)]
        assert max(sides) in (19, 20)  # of the box around what is brighter than a tenth
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


@pytest.mark.parametrize(("low", "high", "shade", "note"), [
    (100, 147, 150, ""), (100, 147, 250, ""), (100, 147, 0, ""), (0, 20, 250, "inverted"), (0, 20, 150, ""),
])  # fmt: skip
def test_only_a_border_that_is_much_nearer_the_other_way_inverts(low, high, shade, note):
    known, inputs = {"darkest_border": low, "brightest_border": high, "as_mnist": 0}, Inputs((4, 4), 1, "unit", (16,))
    assert digit_pictures.prepared(Image.new("L", (4, 4), shade), inputs, known)[1] == note
