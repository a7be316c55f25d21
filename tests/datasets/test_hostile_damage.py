"""Files of every format, damaged at random, are read or refused with a reason, soon, and nothing else is written."""

import io
import signal
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hostile import damaged
from PIL import Image

from keraskit.datasets import digits
from keraskit.datasets.images import decode
from keraskit.datasets.images.layout import arrange
from keraskit.datasets.images.sources import open_files
from keraskit.errors import UserError

RAMP = Image.fromarray(np.add.outer(np.arange(10) * 3, np.arange(14) * 5).astype(np.uint8))
LABELS = np.arange(12, dtype=np.uint8) % 3
PIXELS = np.random.default_rng(0).integers(0, 255, (12, 28, 28), dtype=np.uint8)
ARRAYS = {"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS[:6], "y_test": LABELS[:6]}


def encoded(form, mode="RGB", **options):
    """A small picture as a file's bytes."""
    file = io.BytesIO()
    (RAMP.convert("RGB").quantize(8) if mode == "P" else RAMP.convert(mode)).save(file, form, **options)
    return file.getvalue()


PICTURES = [
    *(encoded(form) for form in decode.FORMATS),
    *(encoded("PNG", mode) for mode in ("L", "LA", "RGBA", "P", "1")),
    *(encoded("JPEG", mode) for mode in ("L", "CMYK")),
    encoded("JPEG", progressive=True, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"),
    *(encoded("GIF", "P"), encoded("WEBP", lossless=True)),
]


def npz(**arrays):
    """The bytes of an .npz file in Keras's layout, with these arrays in the place of its own."""
    file = io.BytesIO()
    np.savez_compressed(file, **ARRAYS | arrays)
    return file.getvalue()


def odd_arrays():
    """Arrays of other kinds, shapes and scales, and one whose header is a program."""
    for kind in ("u1", "i8", "f2", "f8", "c8", "?", "O", "U3", "M8[s]", "u1,f4", "S2"):
        for shape in ((), (0,), (12,), (12, 28, 28), (6, 0, 5), (1, 2, 3, 4, 5)):
            yield npz(x_train=np.zeros(shape, "f8").astype(kind)), npz(y_test=np.ones(shape, "f8").astype(kind))
    for scale in (1 / 255, 1.0, 1.01 / 255, 1.5 / 255, np.nan, 1e30):
        yield (npz(x_train=PIXELS * scale, x_test=PIXELS[:6] * scale),)
    for header in ("__import__('os').system('touch ran')", "(" * 200, "{'descr': '|u1', 'shape': (-1,)}", "\0"):
        forged = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode()
        yield (archive({f"{name}.npy": forged for name in ARRAYS}),)


def archive(members):
    """The bytes of a zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return file.getvalue()


def read_picture(data, folder):
    """A picture of 8 bits with pixels."""
    image = decode.read(data)
    assert image.mode in {"RGB", "L"} and min(image.size) > 0
    assert decode.pixels(image, (5, 7)).shape == (5, 7, 3) and decode.pixels(image, (5, 7), 1).shape == (5, 7)


def read_arrays(path):
    """Splits of pictures as they were written, on one scale, rounded, each with its class."""
    splits = digits.images(dataset=str(path))
    found = splits.test.pictures(np.arange(splits.test.size))
    assert found.dtype == np.uint8 and len(found) == len(splits.test.labels) > 0 and len(splits.classes) > 1
    factor = 255 if splits.source["scale"].startswith("0 to 1") else 1
    with np.load(path, allow_pickle=False) as given:
        assert np.abs(found - factor * given["x_test"].astype(float).reshape(found.shape)).max() <= 0.51


def read_npz(data, folder):
    """The same from one file."""
    (folder / "case.npz").write_bytes(data)
    read_arrays(folder / "case.npz")


def read_archive(data, folder):
    """Names and pictures of a zip."""
    (folder / "case.zip").write_bytes(data)
    files = open_files(folder / "case.zip")
    for name, _ in arrange(files.names, folder).splits["train"]:
        with suppress(OSError, decode.BadPicture):
            decode.read(files.read(name))


PETS = {f"pets/{kind}/{i}.png": PICTURES[1] for kind in ("cat", "dog") for i in range(5)}
ODD_NAMES = (
    "../x.png",
    "/etc/x.png",
    "c:x.png",
    "a\\b.png",
    f"cat/{'9' * 5_000}.png",
    "\x1b[31m/\n.png",
    "<b>/é雪.png",
)
KINDS = {  # what reads a format, its good files, how many damaged ones, and odd ones
    "pictures": (read_picture, PICTURES, 200, []),
    "npz": (read_npz, [npz()], 80, [data for case in odd_arrays() for data in case]),
    "zip": (read_archive, [archive(PETS)], 40, [archive(PETS | {name: PICTURES[1]}) for name in ODD_NAMES]),
}


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_read_or_refused_with_a_reason_and_nothing_else_is_written(kind, tmp_path, monkeypatch):
    (tmp_path / "in" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "in" / "here")
    read, good, count, odd = KINDS[kind]
    read(good[0], tmp_path / "in")
    refused = 0
    for data in [*damaged(good, count), *odd]:
        signal.alarm(10)
        try:
            read(data, tmp_path / "in")
        except (UserError, decode.BadPicture) as error:
            assert len(str(error)) > 5
            refused += 1
        finally:
            signal.alarm(0)
    assert refused > count / 10
    assert [path.name for path in tmp_path.iterdir()] == ["in"] and not list((tmp_path / "in" / "here").iterdir())
