"""A recipe that lies in a file of the user's own stands wherever a name does, and begins as a copy of mlp."""

import importlib
import inspect
import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

import keraskit
from keraskit.cli import app
from keraskit.errors import UserError
from keraskit.registry import Card, find_card

MINE = '''"""Products of two numbers."""

import keraskit
from keraskit import Recipe, from_arrays

import keras
import numpy as np

UNITS = 8


def build(units: int = UNITS, depth: int = int("2"), activation: str = "tanh") -> keras.Model:
    """Two numbers in, one out.

    Args:
        units: Of each hidden layer.
    """
    inputs = x = keras.Input((2,))
    for _ in range(depth):
        x = keras.layers.Dense(units, activation=activation)(x)
    return keras.Model(inputs, keras.layers.Dense(1)(x))


def compile_model(model, learning_rate=10.0**-2):
    model.compile(keras.optimizers.Adam(learning_rate), "mse", metrics=["mae"])


x = np.random.default_rng(0).normal(size=(300, 2)).astype("float32")
recipe = Recipe(build=build, compile=compile_model, data=from_arrays(x[:200], x[:200, 0] * x[:200, 1], x[200:],
    x[200:, 0] * x[200:, 1]), section="0", epochs=2, expected={"test_mae": 0.5}, batch_size=32, monitor="val_loss")

if __name__ == "__main__":
    keraskit.main(recipe)
'''


def parameters(units, depth=2):
    """Of the network above, by arithmetic."""
    return 3 * units + (depth - 1) * units * (units + 1) + units + 1


pytestmark = pytest.mark.usefixtures("undrawn", "uncompiled")  # neither is looked at here


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder, with the file in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mymodel.py").write_text(MINE)
    return tmp_path


@pytest.fixture
def keraskit_says(capsys):
    """Exit code, stdout and stderr of a command line, in this process."""

    def call(*words):
        with pytest.raises(SystemExit) as end:
            app.command_line([str(word) for word in words])
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return call


def runs(folder, name="mymodel"):
    """The manifests of a recipe's runs, that which ended first at the beginning; several may begin in a second."""
    paths = sorted((folder / "runs" / name).glob("*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(path.read_text()) for path in paths]


def test_a_file_stands_wherever_a_name_does(here, keraskit_says, monkeypatch):
    code, out, err = keraskit_says("run", "./mymodel.py", "--epochs", "1", "--units", "3", "--learning-rate", "0.02")
    assert (code, err) == (0, "") and "recipe         mymodel with --units 3 --learning-rate 0.02" in out
    (run,) = runs(here)
    assert (run["recipe"], run["source"]) == ("mymodel", str(here / "mymodel.py"))
    assert run["parameters"] == parameters(3) and run["summary"] == "Products of two numbers"
    assert run["command"] == "keraskit run mymodel.py --epochs 1 --units 3 --learning-rate 0.02"
    assert run["optimizer"]["learning_rate"] == pytest.approx(0.02)

    code, out, err = keraskit_says("show", "mymodel.py", "--depth", "1")
    assert (code, err) == (0, "") and f"{parameters(8, 1)}" in out and "graph: mymodel.svg" in out
    assert "<svg" in (here / "mymodel.svg").read_text()

    measured = []
    monkeypatch.setattr("keraskit.training.autotune.autotune", lambda *given: measured.append(given))
    assert keraskit_says("autotune", "./mymodel.py", "--units", "5")[0] == 0
    ((recipe, _, options),) = measured
    assert (recipe.name, options) == ("mymodel", {"units": 5})

    assert keraskit.run("./mymodel.py", epochs=1, depth=1).model.count_params() == parameters(8, 1)
    code, _, err = keraskit_says("predict", "runs/mymodel", "mymodel.py")
    assert code == 2 and "mymodel learned from no pictures" in err
    assert keraskit_says("compare", *(here / "runs" / "mymodel").iterdir())[0] == 0


def test_a_recipe_without_words_of_its_own_is_shown_and_told_in_plain_ones(here, keraskit_says):
    """Without a docstring, of one epoch and one step, on arrays without a name."""
    (here / "bare.py").write_text(MINE.partition("\n\n")[2].replace('section="0", ', ""))
    code, out, err = keraskit_says("show", "./bare.py")
    assert (code, err) == (0, "") and out.startswith("Source: bare.py\n\nModel")
    code, out, err = keraskit_says("run", "./bare.py", "--epochs", "1", "--batch-size", "256")
    assert (code, err) == (0, "") and ", 1 epoch of 1 step of 256, seed 0\n" in out
    assert "\ndata           arrays: " in out
    (folder,) = (here / "runs" / "bare").iterdir()
    page = (folder / "report.html").read_text()
    assert '<p class="quiet">bare.py. ' in page and "document" not in page.partition("</p>")[0]


def test_an_activation_without_a_name_is_drawn(here, keraskit_says):
    (here / "mine.py").write_text(MINE.replace("activation=activation)", "activation=lambda x: x)"))
    code, _, err = keraskit_says("show", "./mine.py")
    assert (code, err) == (0, "") and ">lambda<" in (here / "mine.svg").read_text()


def test_what_trains_nothing_is_not_run_as_if_it_did():
    with pytest.raises(UserError, match=r"^classify trains no model\. Call keraskit\.load_recipe\('classify'\)\.$"):
        keraskit.run("classify")


def test_defaults_that_are_names_or_calls_are_what_they_are(here, keraskit_says):
    code, out, err = keraskit_says("run", "./mymodel.py", "--help")
    assert (code, err) == (0, "")
    texts = {line.split()[1]: line.strip("│ ") for line in out.splitlines() if line.startswith("│ --")}
    for flag, default in (("--units", 8), ("--depth", 2), ("--activation", "tanh"), ("--learning-rate", 0.01)):
        assert texts[flag].endswith(f"[default: {default}]")
    assert "Of each hidden layer." in texts["--units"]
    keraskit_says("run", "./mymodel.py", "--epochs", "1", "--units", "8", "--depth", "2")
    assert runs(here)[0]["parameters"] == parameters(8) and runs(here)[0]["options"] == {}


def test_a_file_with_the_name_of_one_of_ours_is_itself(here, keraskit_says, preforked):
    """As a program too: a process of its own, whose defaults are not read from its source."""
    (here / "mlp.py").write_text(MINE)
    done = preforked.run(here / "mlp.py", ["--epochs", "1", "--depth", "1"], here, dict(os.environ))
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = runs(here, "mlp")
    assert run["source"] == str(here / "mlp.py") and run["command"].startswith("keraskit run mlp.py")
    assert run["parameters"] == parameters(8, 1)
    assert keraskit_says("run", "./mlp.py", "--epochs", "1")[0] == 0
    assert runs(here, "mlp")[1]["parameters"] == parameters(8)
    assert not Card(here / "mlp.py").ours and find_card("mlp").ours


def test_usage_of_a_program_is_the_users_own(here, monkeypatch, capsys):
    (here / "mlp.py").write_text(MINE)
    monkeypatch.setattr(sys, "argv", ["mlp.py", "--help"])
    with pytest.raises(SystemExit):
        keraskit.main(keraskit.load_recipe("./mlp.py"))
    assert capsys.readouterr().out.startswith("Usage: python mlp.py [OPTIONS]\n")


BREAKING = """
import keras

class Breaks(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1 and {breaks}:
            raise RuntimeError("the middle\\nof nowhere")

def make():
    return [Breaks()]
"""


def test_an_unexpected_error_leaves_its_traceback_and_goes_on_once_mended(here, keraskit_says):
    (here / "mine.py").write_text(BREAKING.format(breaks=True))
    flags = ("./mymodel.py", "--epochs", "3", "--callbacks", "mine.py:make")
    code, _, err = keraskit_says("run", *flags)
    (folder,) = (here / "runs" / "mymodel").iterdir()
    error = folder / "error.txt"
    assert code == 1 and err == f"keraskit: Unexpected RuntimeError: the middle of nowhere ({error} says where.)\n"
    text = error.read_text()
    assert text.startswith("Traceback") and 'mine.py", line 7, in on_epoch_begin' in text
    assert text.endswith("RuntimeError: the middle\nof nowhere\n")
    (run,) = runs(here)
    assert run["status"] == "failed" and "the middle" in run["error"]

    (here / "mine.py").write_text(BREAKING.format(breaks=False))
    code, _, err = keraskit_says("resume", folder)  # which runs a file as it was alone
    assert code == 2 and f"With the file as it is now: {run['command']} --resume" in err
    code, out, err = keraskit_says("run", *flags, "--resume")
    assert (code, err) == (0, "") and "goes on at epoch 2" in out
    (run,) = runs(here)
    assert (run["status"], run["error"]) == ("finished", None) and not error.exists()
    keraskit_says("run", *flags)
    assert [each["weights_sha256"] for each in runs(here)] == [run["weights_sha256"]] * 2


WRONG = [
    ("run ./gone.py", "There is no file ./gone.py."),
    ("show ./empty.py", "empty.py makes no `recipe = Recipe(...)`."),
    ("run ./half.py", "half.py cannot be read as Python"),
    ("run ./imports.py", "imports.py cannot be imported: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    ("run ./mymodel.py --unit 3", "Did you mean --units?"),
    ("run ./mymodel.py --units 3.5", "--units 3.5 makes no sense"),
    ("run ./mymodel.py --dataset x.npz", "Unknown option: --dataset."),
    ("run mymodel", "There is no recipe 'mymodel'. Did you mean ./mymodel.py?"),
    ("run ./mymodel.py --callbacks gone.py:make", "--callbacks gone.py:make names no function."),
    ("run ./mymodel.py --callbacks mymodel.py", "--callbacks mymodel.py names no function. Expected file.py:function."),
    ("resume ./mymodel.py", "There is no run folder mymodel.py"),
    ("new mymodel", "mymodel.py is there already."),
    ("new my-model", "'my-model' cannot be a Python module's name."),
    ("new other --folder mymodel.py", "is a file, so no folder fits below it. Name a folder with --folder."),
]


@pytest.mark.parametrize(("words", "says"), WRONG, ids=lambda text: text[:40])
def test_what_cannot_be_is_one_line_and_leaves_nothing(here, keraskit_says, words, says):
    (here / "empty.py").write_text('"""Nothing."""\n')
    (here / "half.py").write_text("def build(:\n")
    (here / "imports.py").write_text(f"import nothing_of_this_name\n{MINE.replace('(2,)', '(n,)')}")
    before = sorted(here.iterdir())
    code, out, err = keraskit_says(*words.split())
    assert (code, out) == (2, "") and err.count("\n") == 1 and says in err, err
    assert sorted(here.iterdir()) == before


def test_a_new_recipe_runs_at_once_and_so_does_its_test(here, keraskit_says, monkeypatch, tmp_path):
    code, out, err = keraskit_says("new", "fresh")
    assert (code, err) == (0, "") and "keraskit run ./fresh.py --quick" in out
    assert keraskit_says("run", "./fresh.py", "--quick", "--epochs", "1", "--hidden", "8")[0] == 0
    (run,) = runs(here, "fresh")
    assert run["options"] == {"hidden": [8]} and "expected" not in run["verdict"]
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save("digit.png")
    code, out, _ = keraskit_says("predict", "runs/fresh", "digit.png")
    assert code == 0 and out.count("%") == 3

    assert Card(here / "fresh.py").code.replace("fresh", "mlp") == find_card("mlp").code
    assert not {"section", "expected"} & set(Card(here / "fresh.py").declared)
    monkeypatch.syspath_prepend(str(here))
    test = importlib.import_module("test_fresh")
    for name, function in inspect.getmembers(test, inspect.isfunction):
        if name.startswith("test_"):
            function(*([tmp_path] if inspect.signature(function).parameters else []))
    for name in ("fresh", "test_fresh"):
        sys.modules.pop(name)
