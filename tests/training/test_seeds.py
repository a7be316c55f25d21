"""--seeds: each seed in a process of its own, finished ones not again."""

import json
import os
import statistics

import pytest

import keraskit

MINE = """
import os
import keraskit
import keras
import numpy as np
from keraskit import Recipe, from_arrays

def build():
    with open(os.environ["BUILT"], "a") as file:
        print(os.getpid(), file=file)
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(1)(inputs))

def compile_model(model):
    model.compile("adam", "mse")

x = np.random.default_rng(0).normal(size=(96, 3)).astype("float32")
recipe = Recipe(build=build, compile=compile_model, data=from_arrays(x, x[:, :1], x, x[:, :1]), epochs=1,
    batch_size=32, monitor="val_loss")
"""


def losses(folder):
    """The test loss of each run, by seed."""
    runs = [json.loads(file.read_text()) for file in folder.glob("*/run.json")]
    assert all(run["status"] == "finished" for run in runs)
    return {run["seed"]: run["test"]["loss"] for run in runs}


def mean(values):
    """What is said of several results."""
    error = statistics.stdev(values) / len(values) ** 0.5
    return f"mean loss             {statistics.mean(values):.4f} ± {error:.4f}, of {len(values)} seeds"


def test_finished_seeds_are_not_trained_again(command, tmp_path, monkeypatch):
    for name in ("numpy", "json", "keras"):  # nobody's working folder is a place of our modules
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.py").write_text(MINE)
    monkeypatch.setenv("BUILT", str(tmp_path / "built"))

    def run(*words):
        done = command("run", "mine/mine.py", "--seed", "5", "--xla", "off", *words)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    run()
    first = losses(tmp_path / "runs" / "mine")
    said = run("--seeds=2", "--resume")
    both = losses(tmp_path / "runs" / "mine")
    assert sorted(both) == [5, 6] and both.items() > first.items() and mean([both[i] for i in (5, 6)]) in said
    assert said.count("finished in runs/mine/") == 2
    builders = (tmp_path / "built").read_text().split()
    assert len(builders) == len(set(builders)) == 2 and str(os.getpid()) not in builders
    assert not (tmp_path / "mark").exists()


def test_a_seed_that_fails_ends_them_with_its_line_and_code(command, tmp_path):
    done = command("run", "mlp", "--seeds", "3", "--quick", "--data-dir", "nowhere")
    assert done.returncode == 2 and "nowhere/mnist.npz is no file" in done.stderr
    assert done.stderr.endswith("The run of seed 0 ended with code 2. See above; --resume goes on.\n")
    assert done.stdout.count("seed ") == 1
    with pytest.raises(keraskit.UserError, match="runs of the command line"):
        keraskit.run("mlp", seeds=2)
