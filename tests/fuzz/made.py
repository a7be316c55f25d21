"""What cases are made of: texts, numbers, small files, damage, and a place to work in."""

import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from keraskit import Augmentation
from keraskit.registry import find_card

STANDARDISED = Augmentation(featurewise_center=True)  # so that a run has a file of statistics
TINY = {"quick": True, "limit": 32, "hidden": (8,), "augment": STANDARDISED}  # a run of mlp
EVIL = (
    *(
        "",
        " ",
        "-",
        "--",
        "-rf",
        "--help",
        "0",
        "-1",
        "nan",
        "inf",
        "1e400",
        "9" * 5_000,
        "None",
        "true",
        "{}",
        '{"a":',
    ),
    *("[1,2", "=cmd|' /C calc'!A0", "@SUM(1)", "\x1b[31m", "a\nb", "\r", "\t", "é雪", "\udcff", "\u202e", "x" * 300),
    *(
        "~nosuchuser/x",
        "../x",
        "/proc/x",
        "$(touch x)",
        "; touch x",
        "`touch x`",
    ),
    *("<script>alert(1)</script>", "$\\frac$", "%s%n", "nowhere", "*.png", "**", "[", "%00", "con", "."),
)
THERE = ("pets", "pets/cat", "pets/cat/0.png", "pets.zip", "own.npz", "run", "run/model.keras", "pipe", "loop", "idx")
TEXT = st.one_of(st.sampled_from(EVIL), st.text(st.characters(exclude_characters="\0"), max_size=12))
NUMBER = st.one_of(st.integers(), st.floats(), st.sampled_from([2**31, 2**63, -(2**63), 10**400, 1e308]))
VALUE = st.one_of(TEXT, NUMBER, st.none(), st.booleans(), st.just([]), st.just({}), st.just([[[]]]), st.just({"a": {}}))


@dataclass
class Box:
    """A place to work in, with a small data set of each kind and a finished run; the process's working folder."""

    root: Path
    cache: Path

    @classmethod
    def make(cls, root, cache, finished):
        """Fill a folder. `finished` is the folder of a run on MNIST."""
        box = cls(root, cache)
        for kind, colour in (("cat", 60), ("dog", 190)):
            (root / "pets" / kind).mkdir(parents=True)
            for i in range(5):
                (root / "pets" / kind / f"{i}.png").write_bytes(encoded("PNG", colour + i))
        with zipfile.ZipFile(root / "pets.zip", "w") as file:
            for path in sorted((root / "pets").rglob("*.png")):
                file.write(path, path.relative_to(root))
        np.savez(root / "own.npz", **small_arrays())
        (root / "idx").mkdir()
        os.mkfifo(root / "pipe")
        (root / "loop").symlink_to("loop")
        for name in ("run", "other"):
            (root / name).mkdir()
            for each in ("summary.txt", "curves.png"):  # which this run has not drawn
                (root / name / each).write_bytes(b"text")
            for found in finished.iterdir():
                if found.suffix != ".html":
                    (root / name / found.name).write_bytes(found.read_bytes() or b"text")
            (root / name / "checkpoint.npz").write_bytes((finished / "trained.npz").read_bytes())
        (root / "digit.png").write_bytes(encoded("PNG", 0, (28, 28), "L"))
        (root / "mine.py").write_bytes(find_card("mlp").source.read_bytes())
        return box


def encoded(form, colour=120, size=(14, 10), mode="RGB", **options):
    """A small picture as a file's bytes."""
    ramp = np.add.outer(np.arange(size[1]) * 3, np.arange(size[0]) * 5) + colour
    image = Image.fromarray(ramp.clip(0, 255).astype(np.uint8)).convert("L" if mode == "P" else mode)
    file = io.BytesIO()
    (image.quantize(8) if mode == "P" else image).save(file, form, **options)
    return file.getvalue()


def small_arrays():
    """Twelve pictures in Keras's layout."""
    y = np.arange(12, dtype=np.uint8) % 3
    x = np.random.default_rng(0).integers(0, 255, (12, 28, 28), dtype=np.uint8)
    return {"x_train": x, "y_train": y, "x_test": x[:6], "y_test": y[:6]}


@st.composite
def damaged(draw, originals):
    """A file's bytes with some changed, some cut off, some put in."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(data) - 1)) if data else 0
        what = draw(st.sampled_from(["set", "cut", "insert", "repeat", "long"]))
        if what == "set":
            data[place : place + 1] = bytes([draw(st.sampled_from([0, 1, 127, 128, 255, place % 256]))])
        elif what == "cut":
            del data[place : place + draw(st.sampled_from([1, 4, len(data)]))]
        elif what == "insert":
            data[place:place] = draw(st.binary(max_size=8))
        elif what == "repeat":
            data[place:place] = data[place : place + 64] * 2
        else:
            data[place : place + 4] = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"]))
    return bytes(data)
