"""A finished run is given more epochs, and ends as one that was to have them from the beginning: that is the oracle."""

import numpy as np
import pytest
from breaking import at, hashes, kill, only, outcome
from conftest import command
from own import SOURCE

from keraskit.runs.folder import RunFolder

STEPS = 8  # in an epoch
MINE = ("--recipe", "mine.py")
pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here


@pytest.fixture
def here(here):
    for name, made in (("mine", "ReduceLROnPlateau(patience=1)"), ("stops", "EarlyStopping(patience=0)")):
        (here / f"{name}.py").write_text(SOURCE.replace("return []", f"return [keras.callbacks.{made}]"))
    (here / "cosine.py").write_text(SOURCE)
    return here


def runs(*words, output="runs", recipe="mine"):
    assert command("run", f"./{recipe}.py", "--xla", "off", "--output-dir", output, *words).code == 0
    return only(RunFolder(output).path)


def test_more_epochs_end_with_the_bits_of_a_run_that_had_them_from_the_beginning(here):
    whole = outcome(runs("--epochs", "7", output="whole"))
    folder = runs("--epochs", "3")
    code, out, _ = command("resume", folder, "--epochs", "5", *MINE)
    assert code == 0 and "goes on at epoch 4, step 1" in out
    with at(5, 7, kill):
        assert command("resume", folder, "--epochs", "7", *MINE).code == 2  # as of code of one's own, which `kill` is
    assert RunFolder(folder).read_json("run.json")["test"] is None
    assert command("resume", folder, *MINE).code == 0  # it knows how many by now
    assert outcome(folder) == whole
    run = RunFolder(folder).read_json("run.json")
    assert run["config"]["epochs"] == 7 and "--epochs 7" in run["command"] and "--epochs 3" not in run["command"]
    assert [each["epoch"] for each in run["resumed"]] == [3, 5, 5]
    code, out, _ = command("resume", folder, "--epochs", "7")
    assert code == 0 and "has finished" in out


def test_a_schedule_goes_on_as_one_over_all_epochs(here):
    folder = runs("--cosine", "--epochs", "3", recipe="cosine")
    assert command("resume", folder, "--epochs", "4", "--recipe", "cosine.py").code == 0
    assert [row["epoch"] for row in RunFolder(folder).read_history()] == [1, 2, 3, 4]
    assert RunFolder(folder).read_json("run.json")["optimizer"]["learning_rate"]["config"]["decay_steps"] == 4 * STEPS


def another(path):
    with np.load(path) as arrays:
        position = str(arrays["position"]).replace('"seconds":', '"seconds":9')
        np.savez(path, **{name: arrays[name] for name in arrays.files} | {"position": position})


def test_what_a_finished_run_cannot_go_on_from_is_one_line_and_stays_as_it_was(here):
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
