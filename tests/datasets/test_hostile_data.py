"""Data and names made to do harm: bombs, pipes, links, paths that leave, markup, escapes, formulas."""

import os
import shlex
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import command
from hostile import EVIL
from PIL import Image

from keraskit import Augmentation, load_recipe, system
from keraskit.cli import app
from keraskit.config import RunConfig
from keraskit.datasets import array_files
from keraskit.datasets.images import cats_and_dogs
from keraskit.datasets.images.sources import find
from keraskit.errors import UserError, flags
from keraskit.runs import pictures
from keraskit.runs.pictures import Network
from keraskit.training.user_callbacks import from_file


def test_arrays_that_claim_more_than_fits_are_refused_unread(tmp_path, monkeypatch):
    arrays = {name: np.zeros((2_000, 28, 28) if name[0] == "x" else 2_000, np.uint8) for name in array_files.NAMES}
    np.savez_compressed(tmp_path / "own.npz", **arrays)
    monkeypatch.setattr(system, "available_memory", lambda: 5_000_000)
    tracemalloc.start()
    with pytest.raises(UserError, match=r"own.npz claims 0.0 GB of arrays; 0.0 GB would fit into memory"):
        array_files.read(tmp_path / "own.npz")
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_pickled_objects_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    arrays = {name: np.array([Evil()], object) for name in array_files.NAMES}
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(UserError, match="allow_pickle"):
        array_files.read(tmp_path / "own.npz")
    assert not (tmp_path / "ran").exists()
    np.load(tmp_path / "own.npz", allow_pickle=True)["x_train"]  # the attack is real
    assert (tmp_path / "ran").exists()


def test_pipes_and_devices_among_pictures_are_left_out(tmp_path):
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        for i in range(30):
            Image.new("L", (6, 5), 2 * i).save(tmp_path / kind / f"{i}.png")
    pipe = tmp_path / "cat" / "pipe.png"
    os.mkfifo(pipe)
    (tmp_path / "dog" / "zero.png").symlink_to("/dev/zero")
    source = cats_and_dogs.unit(data_dir=tmp_path).load((8, 8, 3)).source
    why = "cannot be read: it is no regular file of at most 200,000,000 bytes"
    assert source["left_out"] == dict.fromkeys(("cat/pipe.png", "dog/zero.png"), why)
    assert source["notes"][-1] == "no pixel is above 58, and 0 to 255 is expected"
    (row,) = pictures.predictions([pipe], Network(lambda _: 1 / 0, lambda _: 1 / 0, None), ["a"])
    assert row.error.startswith("cannot be read: it is no regular file")
    assert pipe not in find([tmp_path])


@pytest.fixture(scope="module")
def mlp():
    return app.app(["run", "mlp"])


@pytest.mark.parametrize("knob", [*RunConfig.model_fields, *Augmentation.model_fields])
def test_any_value_of_a_knob_is_taken_or_refused_and_makes_words_of_a_shell(knob, mlp):
    for value in EVIL:
        with suppress(UserError):
            inner = knob in Augmentation.model_fields
            config = RunConfig(**{"augment": {knob: value}} if inner else {knob: value})
            words = ["run", "mlp", *shlex.split(flags(config.given()))]
            read = mlp.parse_args(words, exit_on_error=False, print_error=False)[1].arguments
            assert read.get("config", RunConfig()).given() == ({} if value is None else config.given()), words


@pytest.mark.parametrize("words", ["run", "run mlp --hidden", "run mlp --dataset", "run cats_dogs --data-dir", "show",
    "predict", "compare", "resume", "augment --preview", "", "launch --workers", "run mlp --device"])  # fmt: skip
def test_any_word_ends_a_command_in_one_line(words, here):
    for value in (each for each in EVIL if isinstance(each, str) and each not in ("--help", "0", "con", "true")):
        code, _, err = command(*words.split(), value)
        assert code == 2 and err.startswith("keraskit: ") and err.count("\n") == 1 and len(err) > 25, (value, err)
        assert all(c.isprintable() or c == "\n" for c in err), value
    assert not list(here.iterdir())


def test_what_is_no_python_file_is_never_run(tmp_path):
    source = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\nrecipe = Recipe()\n"
    for name in ("recipe.txt", "recipe", "recipe.PY~"):
        (tmp_path / name).write_text(source)
        with pytest.raises(UserError, match=r"names no function\. Expected file\.py:function"):
            from_file(f"{tmp_path / name}:make")
        with pytest.raises(UserError, match=r"does not end in \.py|There is no file|a recipe is a Python file"):
            load_recipe(str(tmp_path / name))
    assert not (tmp_path / "ran").exists()


def test_what_is_no_file_is_never_replaced(here):
    """As /dev/null would be by an administrator's `--csv /dev/null`; a pipe stands in for it."""
    os.mkfifo("pipe.png")
    Path("folder.png").mkdir()
    Image.new("L", (6, 5)).save("a.png")
    for name in ("pipe.png", "folder.png"):
        for words in (
            ["compare", "a", "b", "--output", name],
            ["augment", "--preview", "a.png", "--output", name],
            ["show", "mlp", "--graph", name],
            *(["predict", "run", "a.png", flag, name] for flag in ("--json", "--csv", "--sheet")),
            ["classify", "a.png", "--csv", name],
        ):
            code, _, err = command(*words)
            assert code == 2 and "no file that could be replaced" in err and err.count("\n") == 1, words
    assert Path("pipe.png").is_fifo() and Path("folder.png").is_dir()
    for words in (["compare", "a", "b", "--output", "x"], ["predict", "run", "a.png", "--sheet", "x.doc"]):
        code, _, err = command(*words)
        assert code == 2 and "does not end in one of .png" in err and err.count("\n") == 1, words
