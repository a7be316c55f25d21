"""A recipe's file that is edited: what only speaks of the model changes nothing, and all else is said."""

import dataclasses
import sys
from pathlib import Path

import pytest
from breaking import at, kill, only
from conftest import command
from own import SOURCE

import keraskit
from keraskit.runs.folder import RunFolder
from keraskit.training import resume

WORDS = ("run", "./mine.py", "--xla", "off", "--output-dir", "runs")
pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here


@pytest.fixture
def broken(here):
    """A run of the file that was broken off in its second epoch, in runs/ of the working folder."""
    (here / "mine.py").write_text(SOURCE)
    with at(1, 7, kill):  # its last step
        assert command(*WORDS).code == 2
    return RunFolder(only(here / "runs"))


def edit(*pairs):
    """Change the file, which is imported anew as in a new process."""
    text = SOURCE
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    Path("mine.py").write_text(text)
    for name in [name for name in sys.modules if name.startswith("keraskit_file_")]:
        del sys.modules[name]


SPOKEN = (
    ('"""Three numbers in, one out.', '"""So it is.'),
    ("UNITS = 8", "UNITS = 8  # well"),
    ('"3"', '"4"'),
    ("9.0", "0.5"),
)


def test_what_a_recipe_says_of_itself_refuses_no_old_run(broken):
    edit(*SPOKEN)
    config = keraskit.RunConfig(output_dir="runs", xla="off")
    assert resume.find(keraskit.load_recipe("./mine.py"), config, {}).path == broken.path
    code, _, err = command("resume", "runs/mine")
    assert code == 2 and "Name it, and it is imported as it is now" in err
    code, out, _ = command("resume", "runs/mine", "--recipe", "mine.py")
    assert code == 0 and "goes on at epoch 2" in out and "changed" not in out
    assert command("verify", "runs", "--recipe", "mine.py").code == 0


def test_what_was_changed_is_said_and_each_way_names_the_other(broken):
    edit(("Dense(1)", 'Dense(1, activation="tanh")'))
    code, _, err = command(*WORDS, "--resume")
    named = f"--recipe {broken.path.parents[2] / 'mine.py'}"
    assert f"`keraskit resume {broken.path.relative_to(broken.path.parents[2])} {named}` goes on with it" in err
    assert code == 2 and "changed since" in err and "Without --resume a new run begins." in err and err.count("\n") == 1
    edit(("epochs=2", "epochs=5"))
    code, _, err = command(*WORDS, "--resume")
    assert code == 2 and "epochs 2, now 5. Without --resume" in err
    code, _, err = command("resume", broken.path, "--recipe", "mine.py")
    assert code == 2 and "was not mine as it is now: epochs 2, now 5." in err
    edit(("Dense(1)", 'Dense(1, activation="tanh")'))
    code, out, _ = command("resume", broken.path, "--recipe", "mine.py")
    assert code == 0 and "goes on at epoch 2" in out
    assert "NOTE           mine's code was changed since this run began" in out


def test_a_variant_made_in_python_begins_its_own_run(broken, capsys):
    other = dataclasses.replace(keraskit.load_recipe("./mine.py"), monitor=("val_loss", "min"))
    assert resume.find(other, keraskit.RunConfig(output_dir="runs", xla="off"), {}) is None
    assert "no unfinished run has these flags" in capsys.readouterr().out
