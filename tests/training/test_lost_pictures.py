"""A picture that goes away while a run reads it: the run names it, and goes on to the same bits."""

import os
import re
import shutil
import time

import numpy as np
import pytest
from breaking import at, only, outcome
from hostile import command
from PIL import Image

import keraskit
from keraskit.runs.folder import RunFolder

KNOBS = {"size": 64, "cache": "off", "batch_size": 2, "epochs": 2, "steps_per_epoch": 12, "precision": "float32"}


pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """48 pictures of noise, to be lost and put back."""
    place = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (place / kind).mkdir()
        for i in range(24):
            Image.fromarray(random.integers(0, 256, (40, 36, 3), np.uint8)).save(place / kind / f"{i}.png")
    return place


@pytest.fixture(scope="module")
def unbroken(photos, tmp_path_factory):
    """The outcome of a run that lost nothing."""
    return outcome(
        keraskit.run("cats_dogs_augmented", data_dir=photos, output_dir=tmp_path_factory.mktemp("runs"), **KNOBS).folder
    )


def test_the_file_is_named_and_resume_ends_with_the_same_bits(photos, unbroken, tmp_path, capsys):
    def lose(_):
        shutil.copytree(photos, tmp_path / "kept")
        for path in photos.rglob("*.png"):
            path.write_bytes(b"no picture")

    words = ["run", "cats_dogs_augmented", "--data-dir", photos, "--output-dir", tmp_path / "runs"]
    flags = [word for name, value in KNOBS.items() for word in (f"--{name.replace('_', '-')}", value)]
    with at(1, 2, lose):
        code, said = command([*words, *flags], capsys)
    folder = only(tmp_path / "runs")
    assert code == 1 and said.count("\n") == 1
    assert ".png of " in said and "is none now: " in said and "is no picture" in said
    assert "keraskit resume" in said.partition("Put it back. Then go on with: ")[2] and len(said) < 600
    facts = RunFolder(folder).read_json("run.json")
    assert facts["status"] == "failed" and not (folder / "error.txt").exists()
    code, said = command(["resume", folder], capsys)
    assert code == 2 and "48 of 48 pictures" in said and said.count("\n") == 1

    shutil.copytree(tmp_path / "kept", photos, dirs_exist_ok=True)
    assert command(["resume", folder], capsys) == (0, "")
    resumed = RunFolder(folder).read_json("run.json")
    assert (resumed["resumed"][-1]["epoch"], resumed["resumed"][-1]["step"]) == (1, 0)
    assert outcome(folder) == unbroken


def test_a_process_says_one_line_without_tensorflows_tracebacks(photos, preforked, tmp_path):
    place, out, err = shutil.copytree(photos, tmp_path / "pets"), tmp_path / "out", tmp_path / "err"
    knobs = KNOBS | {"epochs": 500, "data_dir": place, "output_dir": tmp_path / "runs"}
    flags = [word for name, value in knobs.items() for word in (f"--{name.replace('_', '-')}", value)]
    process = preforked.start("keraskit", ["run", "cats_dogs", *flags], tmp_path, dict(os.environ), [out, err])
    while not re.search("Epoch 2/500", out.read_text() if out.exists() else "") and process.poll() is None:
        time.sleep(0.05)
    for path in place.rglob("*.png"):
        path.unlink()
    assert process.wait() == 1
    assert err.read_text().count("\n") == 1 and "is none now: No such file or directory. Put it back" in err.read_text()
