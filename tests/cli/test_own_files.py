"""A recipe in a file of the user's own, made in any way that Python allows, stands wherever a name does."""

import dataclasses
import functools
import json
import shlex
import shutil
import sys

import numpy as np
import pytest
from conftest import command
from own import LAST, SOURCE
from PIL import Image

import keraskit
from keraskit.errors import UserError
from keraskit.recipe import options_of
from keraskit.registry import Card, find_card
from keraskit.runs.folder import RunFolder
from keraskit.tools import compare

WAYS = {
    "attribute": "recipe = keraskit.Recipe(**PARTS)",
    "changed": "import dataclasses\nrecipe: Recipe = dataclasses.replace(Recipe(**PARTS), epochs=2)",
    "elsewhere": "import maker\nrecipe = maker.make(PARTS)",
    "wrapped": "import functools\nrecipe = Recipe(**{**PARTS, "
    "'compile': functools.wraps(compile_model)(lambda *a, **k: compile_model(*a, **k))})",
}
pytestmark = pytest.mark.usefixtures("undrawn", "uncompiled")  # neither is looked at here


def parameters(units, depth=2):
    return 4 * units + (depth - 1) * units * (units + 1) + units + 1


@pytest.fixture
def here(here, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (here / "mymodel.py").write_text(SOURCE)
    return here


def runs(folder, name="mymodel"):
    """The manifests of a recipe's runs, that which ended first at the beginning; several may begin in a second."""
    paths = sorted((folder / "runs" / name).glob("*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(path.read_text()) for path in paths]


def test_a_file_stands_wherever_a_name_does(here, monkeypatch):
    flags = "--epochs 1 --units 3 --betas 0.8 0.9"  # whose types are those of the defaults
    code, out, err = command("run", "./mymodel.py", *flags.split())
    assert (code, err) == (0, "") and "recipe         mymodel with --units 3 --betas 0.8 0.9:" in out
    (run,) = runs(here)
    assert (run["recipe"], run["source"]) == ("mymodel", str(here / "mymodel.py"))
    assert run["parameters"] == parameters(3) and run["summary"] == "A regression of one's own"
    assert run["command"] == f"keraskit run mymodel.py {flags}"

    code, out, err = command("show", "mymodel.py", "--depth", "1")
    assert (code, err) == (0, "") and f"{parameters(8, 1)}" in out and "<svg" in (here / "mymodel.svg").read_text()

    measured = []
    monkeypatch.setattr("keraskit.training.autotune.autotune", lambda *given: measured.append(given))
    assert command("autotune", "./mymodel.py", "--units", "5").code == 0
    ((recipe, _, options),) = measured
    assert (recipe.name, options) == ("mymodel", {"units": 5})
    assert keraskit.run("./mymodel.py", epochs=1, depth=1).model.count_params() == parameters(8, 1)
    code, _, err = command("predict", "runs/mymodel", "mymodel.py")
    assert code == 2 and "learned from no pictures" in err
    assert command("compare", *(here / "runs" / "mymodel").iterdir()).code == 0


def test_a_recipe_is_made_in_any_way_that_python_allows(here):
    (here / "maker.py").write_text("import keraskit\n\ndef make(parts): return keraskit.Recipe(**parts)\n")
    flags = {"units": 8, "depth": 2, "activation": "tanh", "learning_rate": 0.1, "cosine": False, "betas": (0.9, 0.999)}
    for name, last in WAYS.items():
        (here / f"{name}.py").write_text(SOURCE.replace(LAST, last))
        recipe = find_card(f"{name}.py").recipe
        fields = options_of(recipe.functions).model_fields
        assert (recipe.epochs, recipe.name) == (2, name)
        assert {each: field.default for each, field in fields.items()} == flags
        assert fields["units"].description == "Of each hidden layer."


def test_a_file_with_the_name_of_one_of_ours_is_itself(here, preforked):
    (here / "mlp.py").write_text(SOURCE)
    done = preforked.run(here / "mlp.py", ["--epochs", "1", "--depth", "1"], here)
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = runs(here, "mlp")
    assert run["source"] == str(here / "mlp.py") and run["command"].startswith("keraskit run mlp.py")
    assert run["parameters"] == parameters(8, 1)
    usage = preforked.run(here / "mlp.py", ["--help"], here).stdout
    assert usage.startswith("Usage: python mlp.py [OPTIONS]\n")
    assert keraskit.load_recipe("./mlp.py").build().count_params() == parameters(8)
    (here / "mlp.py").write_text(SOURCE.replace("UNITS = 8", "UNITS = 9"))
    assert keraskit.load_recipe("./mlp.py").build().count_params() == parameters(9)  # as it is now
    (here / "mine" / "recipes").mkdir(parents=True)
    relative = SOURCE.replace("UNITS = 8", "from .units import UNITS")
    for name, text in (
        ("__init__", ""),
        ("recipes/__init__", ""),
        ("recipes/units", "UNITS = 7"),
        ("recipes/it", relative),
    ):
        (here / "mine" / f"{name}.py").write_text(text)
    assert keraskit.load_recipe("mine/recipes/it.py").build().count_params() == parameters(7)
    shutil.copytree(here / "mine", here / "other" / "mine")
    with pytest.raises(ImportError, match="no known parent package"):  # not the first one's units
        keraskit.load_recipe("other/mine/recipes/it.py")
    assert not Card(here / "mlp.py").ours and find_card("mlp").ours


def test_a_recipe_without_a_file_runs_and_takes_no_other_file_for_its_own(here):
    (here / "recipe.py").write_text('"""Something else."""\n')
    recipe = dataclasses.replace(keraskit.load_recipe("./mymodel.py"), source=None, name="recipe")
    recipe = dataclasses.replace(recipe, build=functools.cache(recipe.build))  # as of a notebook's model
    keraskit.run(recipe, epochs=1)
    with pytest.raises(UserError, match=r"returns the same model again\. .* inside"):
        keraskit.run(recipe, epochs=1)
    (run,) = runs(here, "recipe")
    assert (run["recipe"], run["source"]) == ("recipe", None)

    def of(units, loss, build=recipe.build.__wrapped__, **fields):
        compile_model = lambda model: model.compile("adam", loss, metrics=["mae"])  # noqa: E731
        return dataclasses.replace(recipe, build=lambda: build(units), compile=compile_model, **fields)

    def loss(factor):
        return lambda y, p: factor * (y - p) ** 2

    first, second = (keraskit.run(of(8, loss(1)), epochs=1, seed=seed) for seed in (0, 1))
    for seed, other in enumerate((of(3, loss(1)), of(8, loss(1), batch_size=4), of(8, loss(2))), 2):
        keraskit.run(other, epochs=1, seed=seed)
    assert sorted(len(row.runs) for row in compare.compared([here / "runs"])) == [1, 1, 1, 1, 2]  # no seeds of these
    code, _, err = command("verify", first.folder)
    assert code == 2 and "was made in Python. Put its code into a file, and name that: --recipe FILE.py" in err
    RunFolder(second.folder).update_manifest(status="interrupted")
    for other in (of(3, loss(1)), of(8, loss(2))):
        with pytest.raises(UserError, match=r"was of another model\. A new run begins without resume"):
            keraskit.run(other, epochs=1, seed=1, resume=True)
    keraskit.run(of(8, loss(1), name="cnn"), epochs=1)  # a name of ours
    (named,) = (here / "runs" / "cnn").iterdir()
    assert "was made in Python" in command("verify", named).err
    with pytest.raises(UserError, match="cannot be called"):
        dataclasses.replace(recipe, name="a/b")


BREAKING = """
import keras

class Breaks(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1 and {breaks}:
            raise RuntimeError("the middle\\nof nowhere")

def make():
    return [Breaks()]
"""


def test_an_unexpected_error_leaves_its_traceback_and_goes_on_once_mended(here, monkeypatch):
    (here / "mine.py").write_text(BREAKING.format(breaks=True))
    flags = ("./mymodel.py", "--epochs", "3", "--callbacks", "mine.py:make")
    code, _, err = command("run", *flags)
    (folder,) = (here / "runs" / "mymodel").iterdir()
    error = folder / "error.txt"
    first, *rest = err.splitlines()
    assert code == 2 and first.startswith("keraskit: mine.py, line 7: ")
    assert [line.strip() for line in rest] == ["RuntimeError: the middle of nowhere.", f"{error} says where."]
    text = error.read_text()
    assert text.startswith("Traceback") and 'mine.py", line 7, in on_epoch_begin' in text
    (run,) = runs(here)
    assert run["status"] == "failed" and "the middle" in run["error"]

    (here / "mine.py").write_text(BREAKING.format(breaks=False))
    (here / "b").mkdir()
    monkeypatch.chdir(here / "b")  # the command works from any folder
    code, _, err = command("resume", folder)
    _, *words = shlex.split(err.partition("Its own command goes on: ")[2])
    code, out, err = command(*words)
    assert (code, err) == (0, "") and "goes on at epoch 2" in out
    monkeypatch.chdir(here)
    (run,) = runs(here)
    assert (run["status"], run.get("error")) == ("finished", None) and not error.exists()
    command("run", *flags)
    assert [each["weights_sha256"] for each in runs(here)] == [run["weights_sha256"]] * 2


def test_a_new_recipe_runs_at_once(here):
    code, out, err = command("new", "fresh")
    assert (code, err) == (0, "") and "keraskit run ./fresh.py --quick" in out
    assert command("run", "./fresh.py", "--quick", "--epochs", "1", "--hidden", "8").code == 0
    (run,) = runs(here, "fresh")
    assert run["options"] == {"hidden": [8]} and "expected" not in run["verdict"]
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save("digit.png")
    code, out, _ = command("predict", "runs/fresh", "digit.png")
    assert code == 0 and out.count("%") == 3
    recipe = keraskit.load_recipe("./fresh.py")
    assert not recipe.section and not recipe.expected
