"""Resuming a run of one's own file: after an edit of it, and with more epochs than it was to have."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from breaking import at, hashes, kill, only, outcome
from conftest import command
from own import SOURCE

import keraskit
from keraskit import start
from keraskit.runs.folder import RunFolder
from keraskit.training import settings

WORDS = ("run", "./mine.py", "--xla", "off", "--output-dir", "runs")
STEPS = 8  # in an epoch
MINE = ("--recipe", "mine.py")
pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here


@pytest.fixture
def broken(here):
    """A run of the file that was broken off in its second epoch, in runs/ of the working folder."""
    (here / "mine.py").write_text(SOURCE)
    with at(1, 7, kill):  # its last step
        assert command(*WORDS).code == 2
    return RunFolder(only(here / "runs"))


@pytest.mark.parametrize("known, taken", [(True, "1"), (False, "0"), (None, None)])
def test_it_goes_on_with_the_kernels_that_it_had(broken, monkeypatch, known, taken):
    broken.write_json("run.json", broken.read_json("run.json") | {"hardware": {"onednn": known}})
    monkeypatch.setattr(start.QuietImport, "onednn", "as before")
    settings.requested(broken, Path("mine.py"))
    assert start.QuietImport.onednn == taken


def edit(*pairs):
    text = SOURCE
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    Path("mine.py").write_text(text)
    for name in [name for name in sys.modules if name.startswith("keraskit_file_")]:
        del sys.modules[name]


SPOKEN = (('"""Three numbers in, one out.', '"""So it is.'), ("UNITS = 8", "UNITS = 8  # well"),
          ('"3"', '"4"'), ("9.0", "0.5"))  # fmt: skip


def test_what_a_recipe_says_of_itself_refuses_no_old_run(broken):
    edit(*SPOKEN)
    config = keraskit.RunConfig(output_dir="runs", xla="off")
    assert settings.find(keraskit.load_recipe("./mine.py"), config, {}).path == broken.path
    code, _, err = command("resume", "runs/mine")
    assert code == 2 and "Name it, and it is imported as it is now" in err
    code, out, _ = command("resume", "runs/mine", "--recipe", "mine.py")
    assert code == 0 and "goes on at epoch 2" in out and "changed" not in out
    assert command("verify", "runs", "--recipe", "mine.py").code == 0


def test_a_changed_recipe_begins_a_new_run_and_resume_says_what_was_changed(broken):
    for change in (("Dense(1)", 'Dense(1, activation="tanh")'), ("epochs=2", "epochs=5")):
        edit(change)
        config = keraskit.RunConfig(output_dir="runs", xla="off")
        assert settings.find(keraskit.load_recipe("./mine.py"), config, {}) is None
    code, _, err = command("resume", broken.path, "--recipe", "mine.py")
    assert code == 2 and "was not mine as it is now: epochs 2, now 5." in err
    edit(("Dense(1)", 'Dense(1, activation="tanh")'))
    code, out, _ = command("resume", broken.path, "--recipe", "mine.py")
    assert code == 0 and "goes on at epoch 2" in out
    assert "NOTE           mine's code was changed since this run began" in out


def test_what_a_recipe_imports_was_changed_is_said_and_what_is_tested_is_kept(here):
    source = SOURCE.replace("Dense(units, activation)", "Dense(units, helper.END)")
    (here / "mine.py").write_text(source.replace("import keras\n", "import helper\nimport keras\n", 1))
    (here / "helper.py").write_text('END = "tanh"')
    with at(1, 7, kill):
        assert command(*WORDS).code == 2
    sys.modules["helper"].END = "relu"
    code, out, err = command(*WORDS, "--resume")
    assert (code, err) == (0, "") and "NOTE           mine's code was changed since this run began" in out
    assert command("verify", "runs", "--recipe", "mine.py").code == 0


def test_a_variant_made_in_python_begins_its_own_run(broken, capsys):
    other = dataclasses.replace(keraskit.load_recipe("./mine.py"), monitor=("val_loss", "min"))
    assert settings.find(other, keraskit.RunConfig(output_dir="runs", xla="off"), {}) is None
    assert "no unfinished run has these flags" in capsys.readouterr().out


@pytest.fixture
def own(here):
    for name, made in (("mine", "ReduceLROnPlateau(patience=1)"), ("stops", "EarlyStopping(patience=0)")):
        (here / f"{name}.py").write_text(SOURCE.replace("return []", f"return [keras.callbacks.{made}]"))
    (here / "cosine.py").write_text(SOURCE)
    return here


def runs(*words, output="runs", recipe="mine"):
    assert command("run", f"./{recipe}.py", "--xla", "off", "--output-dir", output, *words).code == 0
    return only(RunFolder(output).path)


def test_more_epochs_end_with_the_bits_of_a_run_that_had_them_from_the_beginning(own):
    whole = outcome(runs("--epochs", "7", output="whole"))
    folder = runs("--epochs", "3")
    code, out, _ = command("resume", folder, "--epochs", "5", *MINE)
    assert code == 0 and "goes on at epoch 4, step 1" in out
    with at(5, 7, kill):
        assert command("resume", folder, "--epochs", "7", *MINE).code == 2  # as of code of one's own, which `kill` is
    stopped = RunFolder(folder).read_json("run.json")  # nothing is left of the shorter run's figures
    figures = "test verdict advice regression balanced_accuracy weights_sha256 training_means timings"
    assert not {*figures.split(), "seconds_per_epoch"} & stopped.keys()
    assert not [*folder.glob("p*.npz")]  # predictions, pictures
    assert command("resume", folder, *MINE).code == 0  # it knows how many by now
    assert outcome(folder) == whole
    run = RunFolder(folder).read_json("run.json")
    assert run["config"]["epochs"] == 7 and "--epochs 7" in run["command"] and "--epochs 3" not in run["command"]
    assert [each["epoch"] for each in run["resumed"]] == [3, 5, 5]
    code, out, _ = command("resume", folder, "--epochs", "7")
    assert code == 0 and "has finished" in out


def test_a_schedule_goes_on_as_one_over_all_epochs(own):
    folder = runs("--cosine", "--epochs", "3", recipe="cosine")
    assert command("resume", folder, "--epochs", "4", "--recipe", "cosine.py").code == 0
    assert [row["epoch"] for row in RunFolder(folder).read_history()] == [1, 2, 3, 4]
    assert RunFolder(folder).read_json("run.json")["optimizer"]["learning_rate"]["config"]["decay_steps"] == 4 * STEPS


def another(path):
    with np.load(path) as arrays:
        position = str(arrays["position"]).replace('"seconds":', '"seconds":9')
        np.savez(path, **{name: arrays[name] for name in arrays.files} | {"position": position})


def test_what_a_finished_run_cannot_go_on_from_is_one_line_and_stays_as_it_was(own):
    folder = runs("--epochs", "2")
    stopped = runs("--epochs", "90", output="stopped", recipe="stops")
    for spoil, where, says, *words in (
        (lambda path: None, folder, "has come to epoch 2 already", "--epochs", "1", *MINE),
        (another, folder, "no checkpoint.npz of this run", "--epochs", "4", *MINE),
        (lambda path: path.unlink(), folder, "no checkpoint.npz of this run", "--epochs", "4", *MINE),
        (lambda path: None, stopped, "A callback ended this run after epoch", "--epochs", "95", "--recipe", "stops.py"),
    ):
        spoil(where / "checkpoint.npz")
        before = hashes(where)
        code, _, err = command("resume", where, *words)
        assert code == 2 and says in err and err.count("\n") == 1
        assert hashes(where) == before
