"""Files and folders that a user names are looked at before TensorFlow is loaded: there, and of the right kind."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keraskit.cli import app, places
from keraskit.config import KNOBS, RunConfig
from keraskit.datasets import digits
from keraskit.datasets.array_files import IDX_FILES, NAMES
from keraskit.errors import UserError, sentence


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with files of several kinds, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "idx", "run", "pets/cat", "pets/dog", "home"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "half.npz").write_bytes(b"PK\3\4")
    (tmp_path / "text.h5").write_text("text")
    (tmp_path / "images").write_bytes(b"\0\0\x08\3" + bytes(12))
    for stem in IDX_FILES.values():
        (tmp_path / "idx" / f"{stem}-ubyte.gz").write_bytes(b"")
    np.savez(tmp_path / "mnist.npz", **dict.fromkeys(NAMES, np.zeros(1)))
    for i in range(4):
        for kind in ("cat", "dog"):
            Image.new("RGB", (4, 4)).save(tmp_path / "pets" / kind / f"{i}.png")
    return tmp_path


WRONG = [
    ("digits.flat", {"data_dir": "nowhere"}, "--data-dir nowhere does not exist"),
    ("digits.flat", {"data_dir": "mnist.npz"}, "is a file, not the folder of mnist.npz"),
    ("digits.flat", {"data_dir": "empty"}, "holds no mnist.npz. Name the folder"),
    ("digits.flat", {"data_dir": "idx"}, "holds no mnist.npz. For the IDX files in it say --dataset idx instead."),
    ("digits.flat", {"dataset": "nowhere.npz"}, "nowhere.npz does not exist. What is read: an .npz file"),
    ("digits.flat", {"dataset": "fashion_mist"}, r"Did you mean fashion_mnist\?"),
    ("digits.flat", {"dataset": "table.csv"}, "it is no .npz file, .* What is read: an .npz file with x_train"),
    ("digits.flat", {"dataset": "half.npz"}, "it is no .npz file, or half of one"),
    ("digits.flat", {"dataset": "images"}, r"is a single IDX file; a set is four of them. Name its folder: /"),
    ("digits.flat", {"dataset": "idx/train-images-idx3-ubyte.gz"}, "single IDX file.* Name its folder: .*/idx"),
    ("digits.flat", {"dataset": "empty"}, "holds no train-images-idx3-ubyte"),
    ("cats_and_dogs.unit", {"data_dir": "nowhere"}, "nowhere does not exist. Name a zip archive"),
    ("cats_and_dogs.unit", {"data_dir": "table.csv"}, "no zip archive that can be read"),
    ("cats_and_dogs.unit", {"data_dir": "empty"}, "0 classes of pictures"),
    ("mine", {"weights": "nowhere.h5"}, "--weights nowhere.h5: there is no such file"),
    ("mine", {"weights": "empty"}, "the folder holds no model.keras"),
    ("mine", {"weights": "text.h5"}, "neither a .keras nor an HDF5 file"),
    ("mine", {"output_dir": "table.csv"}, "is a file, so no folder fits below it"),
]


def check(reader, given):
    """Look at what a user gave: knobs of every run, and flags of the recipe's own."""
    knobs = {name: value for name, value in given.items() if name in KNOBS}
    kinds = {"data_dir": Path, "dataset": str}  # as the command line has them
    options = {name: kinds[name](value) for name, value in given.items() if name not in KNOBS}
    places.check(RunConfig(**knobs), options, reader)


@pytest.mark.parametrize(("reader", "knobs", "says"), WRONG, ids=lambda value: str(value)[:40])
def test_what_cannot_be_read_is_refused(here, reader, knobs, says):
    with pytest.raises(UserError, match=says):
        check(reader, knobs)


@pytest.mark.parametrize(
    ("reader", "knobs"),
    [
        ("digits.flat", {}),
        ("digits.flat", {"data_dir": "."}),
        ("digits.flat", {"dataset": "mnist.npz"}),
        ("digits.flat", {"dataset": "idx"}),
        ("digits.flat", {"dataset": "cifar10"}),
        ("cats_and_dogs.unit", {"data_dir": "pets"}),
        ("mine", {"dataset": "table.csv", "data_dir": "nowhere"}),
        ("mine", {"weights": "imagenet"}),
        ("mine", {"weights": "mnist.npz"}),
    ],
    ids=str,
)
def test_what_may_be_right_is_let_through(here, reader, knobs):
    check(reader, knobs)


def test_the_sets_that_need_no_file_are_those_that_are_read():
    assert set(places.NAMED_SETS) == {"mnist", *digits.BY_KERAS}


def test_an_error_is_said_in_a_sentence():
    assert sentence(ValueError("File is not a zip file")) == "File is not a zip file."
    assert sentence(ValueError("Is it?\nSecond line")) == "Is it?"
    assert sentence(ValueError()) == "ValueError."
    long = sentence(ValueError("word " * 100), most=50)
    assert len(long) <= 54 and long.endswith("word ...")


@pytest.mark.parametrize(
    "words",
    [
        ("cats_dogs", "--dataset", "nofile.npz"),
        ("quickstart", "--dataset", "nofile.npz"),
        ("quickstart", "--data-dir", "."),
        ("mlp", "--download"),
        ("cnn", "--cache", "off"),
        ("vgg16", "--dataset", "cifar10"),
    ],
)
def test_a_flag_that_a_recipe_does_not_read_is_refused(words, capsys):
    with pytest.raises(SystemExit) as ended:
        app.command_line(["run", *words])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"`keraskit run {words[0]}` has no flag {words[1]}." in said
