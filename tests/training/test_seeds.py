"""--seeds: each seed in a process of its own, finished ones not again."""

import json
import os
import statistics

import pytest
from own import SOURCE

import keraskit

INPUTS = "    inputs = hidden = keras.Input((3,))\n"
BUILT = """    with open(__import__("os").environ["BUILT"], "a") as file:
        print(__import__("os").getpid(), file=file)
"""


def losses(folder):
    runs = [json.loads(file.read_text()) for file in folder.glob("*/run.json")]
    assert all(run["status"] == "finished" for run in runs)
    return {run["seed"]: run["test"]["loss"] for run in runs}


def mean(values):
    error = statistics.stdev(values) / len(values) ** 0.5
    return f"mean loss             {statistics.mean(values):.4f} ± {error:.4f}, of {len(values)} seeds"


def test_finished_seeds_are_not_trained_again(here, preforked, monkeypatch):
    for name in ("numpy", "json", "keras"):  # nobody's working folder is a place of our modules
        (here / f"{name}.py").write_text(f"open({str(here / 'mark')!r}, 'w')")
    (here / "mine").mkdir()
    (here / "mine" / "mine.py").write_text(SOURCE.replace(INPUTS, BUILT + INPUTS))
    monkeypatch.setenv("BUILT", str(here / "built"))

    def run(*words):
        line = ["run", "mine/mine.py", "--epochs", "1", "--seed", "5", "--xla", "off", *words]
        done = preforked.run("keraskit", line, here)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    run()
    first = losses(here / "runs" / "mine")
    said = run("--seeds=2", "--resume")
    both = losses(here / "runs" / "mine")
    assert sorted(both) == [5, 6] and both.items() > first.items() and mean([both[i] for i in (5, 6)]) in said
    assert said.count("finished in runs/mine/") == 2
    builders = (here / "built").read_text().split()
    assert len(builders) == len(set(builders)) == 2 and str(os.getpid()) not in builders
    assert not (here / "mark").exists()


def test_a_seed_that_fails_ends_them_with_its_line_and_code(preforked, tmp_path):
    words = ["run", "mlp", "--seeds", "3", "--quick", "--data-dir", "nowhere"]
    done = preforked.run("keraskit", words, tmp_path)
    assert done.returncode == 2 and "nowhere/mnist.npz is no file" in done.stderr
    assert done.stderr.endswith("The run of seed 0 ended with code 2. See above; --resume goes on.\n")
    assert done.stdout.count("seed ") == 1
    with pytest.raises(keraskit.UserError, match="runs of the command line"):
        keraskit.run("mlp", seeds=2)
