"""A recipe's file that is edited: what only speaks of the model changes nothing, and all else is said."""

import dataclasses
import sys
from pathlib import Path

import pytest
from breaking import at, call, kill, only

import keraskit
from keraskit.runs.folder import RunFolder
from keraskit.training import resume

SOURCE = '''"""One number from three."""

from keraskit import Recipe, from_arrays

import keras
import numpy as np


def build():
    """Make it."""
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(1)(inputs))


def compile_model(model):
    model.compile("adam", "mse")


x = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
recipe = Recipe(build=build, compile=compile_model, data=from_arrays(x[:40], x[:40, :1], x[40:],
    x[40:, :1]), section="3", expected={"test_loss": 9.0}, epochs=3, batch_size=16, monitor="val_loss")
'''
WORDS = ("run", "./mine.py", "--xla", "off", "--output-dir", "runs")


pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A run of the file that was broken off in its second epoch, in runs/ of the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SOURCE)
    with at(1, 2, kill):
        assert call(*WORDS) == 2
    return RunFolder(only(tmp_path / "runs"))


def edit(*pairs):
    """Change the file, which is imported anew as in a new process."""
    text = SOURCE
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    Path("mine.py").write_text(text)
    for name in [name for name in sys.modules if name.startswith("keraskit_file_")]:
        del sys.modules[name]


SPOKEN = (('"""Make it."""', '"""Build it."""  # well'), ('"3"', '"4"'), ("9.0", "0.5"))


def test_what_a_recipe_says_of_itself_refuses_no_old_run(broken, capsys):
    edit(*SPOKEN)
    config = keraskit.RunConfig(output_dir="runs", xla="off")
    assert resume.find(keraskit.load_recipe("./mine.py"), config, {}).path == broken.path
    assert call("resume", "runs/mine") == 2 and "Name it, and it is imported as it is now" in capsys.readouterr().err
    assert call("resume", "runs/mine", "--recipe", "mine.py") == 0
    said = capsys.readouterr().out
    assert "goes on at epoch 2" in said and "changed" not in said
    assert call("verify", "runs", "--recipe", "mine.py") == 0


def test_what_was_changed_is_said_and_each_way_names_the_other(broken, capsys):
    edit(("Dense(1)", 'Dense(1, activation="tanh")'))
    assert call(*WORDS, "--resume") == 2
    said = capsys.readouterr().err
    named = f"--recipe {broken.path.parents[2] / 'mine.py'}"
    assert f"`keraskit resume {broken.path.relative_to(broken.path.parents[2])} {named}` goes on with it" in said
    assert "changed since" in said and "Without --resume a new run begins." in said and said.count("\n") == 1
    edit(("epochs=3", "epochs=5"))
    assert call(*WORDS, "--resume") == 2 and "epochs 3, now 5. Without --resume" in capsys.readouterr().err
    assert call("resume", broken.path, "--recipe", "mine.py") == 2
    assert "was not mine as it is now: epochs 3, now 5." in capsys.readouterr().err
    edit(("Dense(1)", 'Dense(1, activation="tanh")'))
    assert call("resume", broken.path, "--recipe", "mine.py") == 0
    said = capsys.readouterr().out
    assert "NOTE           mine's code was changed since this run began" in said and "goes on at epoch 2" in said


def test_a_variant_made_in_python_begins_its_own_run(broken, capsys):
    other = dataclasses.replace(keraskit.load_recipe("./mine.py"), monitor=("val_loss", "min"))
    assert resume.find(other, keraskit.RunConfig(output_dir="runs", xla="off"), {}) is None
    assert "no unfinished run has these flags" in capsys.readouterr().out
