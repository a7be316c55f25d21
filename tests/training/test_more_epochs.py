"""A finished run is given more epochs, and ends as one that was to have them from the beginning: that is the oracle."""

import os

import numpy as np
import pytest
from breaking import at, call, kill, only, outcome

from keraskit.runs.folder import RunFolder

SOURCE = '''"""A regression of one's own."""

import keraskit
from keraskit import Recipe, from_arrays

import keras
import numpy as np


def build() -> keras.Model:
    inputs = keras.Input((3,))
    hidden = keras.layers.Dropout(0.2)(keras.layers.Dense(8, "tanh")(inputs))
    return keras.Model(inputs, keras.layers.Dense(1)(hidden))


def compile_model(model: keras.Model, steps: int, cosine: bool = False) -> None:
    rate = keras.optimizers.schedules.CosineDecay(0.1, steps) if cosine else 0.1
    model.compile(keras.optimizers.Adam(rate), "mse")


def callbacks():
    return [keras.callbacks.ReduceLROnPlateau(patience=1)]


x = np.random.default_rng(0).normal(size=(200, 3)).astype("float32")
recipe = Recipe(build=build, compile=compile_model, callbacks=callbacks, data=from_arrays(x[:150], x[:150, :1], x[150:],
    x[150:, :1]), epochs=3, batch_size=16, monitor="val_loss")
'''
STEPS = 8  # in an epoch: 125 examples
MINE = ("--recipe", "mine.py")


pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "cosine.py").write_text(SOURCE.replace("callbacks=callbacks, ", ""))
    (tmp_path / "stops.py").write_text(SOURCE.replace("ReduceLROnPlateau(patience=1)", "EarlyStopping(patience=0)"))
    return tmp_path


def runs(*words, output="runs", recipe="mine"):
    """The folder of a run that was started in these words."""
    assert call("run", f"./{recipe}.py", "--xla", "off", "--output-dir", output, *words) == 0
    return only(RunFolder(output).path)


def test_more_epochs_end_with_the_bits_of_a_run_that_had_them_from_the_beginning(here, capsys):
    whole = outcome(runs("--epochs", "7", output="whole"))
    folder = runs("--epochs", "3")
    assert call("resume", folder, "--epochs", "5", *MINE) == 0
    assert "goes on at epoch 4, step 1" in capsys.readouterr().out
    with at(5, 7, kill):
        assert call("resume", folder, "--epochs", "7", *MINE) == 2  # as of code of one's own, which `kill` is
    assert RunFolder(folder).read_json("run.json")["test"] is None
    assert call("resume", folder, *MINE) == 0  # it knows how many by now
    assert outcome(folder) == whole
    run = RunFolder(folder).read_json("run.json")
    assert run["config"]["epochs"] == 7 and "--epochs 7" in run["command"] and "--epochs 3" not in run["command"]
    assert [each["epoch"] for each in run["resumed"]] == [3, 5, 5]
    capsys.readouterr()
    assert call("resume", folder, "--epochs", "7") == 0 and "has finished" in capsys.readouterr().out


def test_a_schedule_goes_on_as_one_over_all_epochs(here):
    folder = runs("--cosine", "--epochs", "3", recipe="cosine")
    assert call("resume", folder, "--epochs", "4", "--recipe", "cosine.py") == 0
    assert [row["epoch"] for row in RunFolder(folder).read_history()] == [1, 2, 3, 4]
    assert RunFolder(folder).read_json("run.json")["optimizer"]["learning_rate"]["config"]["decay_steps"] == 4 * STEPS


def hashes(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


REFUSALS = {
    "another run's": (lambda folder: another(folder / "checkpoint.npz"), "no checkpoint.npz of this run"),
    "none": (lambda folder: (folder / "checkpoint.npz").unlink(), "no checkpoint.npz of this run"),
    "another model's": (lambda folder: smaller(folder / "checkpoint.npz"), "does not fit the model"),
    "damaged": (lambda folder: os.truncate(folder / "checkpoint.npz", 900), "is damaged"),
    "other data": (lambda folder: manifest(folder, data={"sha256": "0"}), "data is not what this run began with"),
    "other recipe": (lambda folder: manifest(folder, asked={"recipe": {"epochs": "9"}}), "now: epochs 9, now 3"),
}


def another(path):
    with np.load(path) as arrays:
        position = str(arrays["position"]).replace('"seconds":', '"seconds":9')
        np.savez(path, **{name: arrays[name] for name in arrays.files} | {"position": position})


def smaller(path):
    with np.load(path) as arrays:
        np.savez(path, **{name: arrays[name] if name == "position" else np.zeros(0) for name in arrays.files})


def manifest(folder, **changes):
    known = RunFolder(folder).read_json("run.json")
    RunFolder(folder).update_manifest(**{name: known[name] | more for name, more in changes.items()})


def test_a_refusal_leaves_every_byte_of_the_folder_as_it_was(here, capsys):
    folder = runs("--epochs", "2")
    kept = hashes(folder)

    def refused(name, says, *words):
        before = hashes(folder)
        capsys.readouterr()
        assert (name, call("resume", folder, *MINE, *words)) == (name, 2)
        said = capsys.readouterr().err
        assert says in said and said.count("\n") == 1, said
        assert hashes(folder) == before

    refused("fewer", "has come to epoch 2 already", "--epochs", "1")
    for name, (spoil, says) in REFUSALS.items():
        spoil(folder)
        refused(name, says, "--epochs", "4")
        for file, data in kept.items():
            (folder / file).write_bytes(data)
    assert call("resume", folder, "--epochs", "4", *MINE) == 0


def test_a_run_that_a_callback_ended_stays_finished(here, capsys):
    stopped = runs("--epochs", "90", output="stopped", recipe="stops")
    before = hashes(stopped)
    capsys.readouterr()
    assert call("resume", stopped, "--epochs", "95", "--recipe", "stops.py") == 2
    assert "A callback ended this run after epoch" in capsys.readouterr().err
    assert hashes(stopped) == before
