"""A recipe made in any way that Python allows is found on the command line, and its flags are without Keras."""

import json
import subprocess
import sys

import pytest

import keraskit
from keraskit import Recipe
from keraskit.errors import UserError

pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here

PARTS = '''"""Halves of numbers."""
{imports}
import keras
import numpy as np
from keraskit import from_arrays

@keras.saving.register_keras_serializable()
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x

def data(count: int = 96):
    x = np.linspace(0, 1, count, dtype="float32")[:, None]
    return from_arrays(x, x / 2, x, x / 2)()

def build(units: int = 4, late: bool = False) -> keras.Model:
    """One number in, one out.

    Args:
        units: How wide.
    """
    import beside
    inputs = keras.Input((1,))
    return keras.Model(inputs, keras.layers.Dense(1)(Twice()(keras.layers.Dense(units + beside.MORE)(inputs))))

def compile_model(model, learning_rate: float = 0.01):
    model.compile(keras.optimizers.Adam(learning_rate), "mse")

PARTS = dict(build=build, compile=compile_model, data=data, epochs=1, batch_size=32, monitor="val_loss")
'''
WAYS = {
    "attribute": ("import keraskit", "recipe = keraskit.Recipe(**PARTS)"),
    "annotated": ("from keraskit import Recipe", "recipe: Recipe = Recipe(**PARTS)"),
    "alias": ("from keraskit import Recipe as R", "recipe = R(**PARTS)"),
    "changed": ("from keraskit import Recipe", "import dataclasses\nrecipe = Recipe(**PARTS)\n"
        "recipe = dataclasses.replace(recipe, epochs=1)"),
    "function": ("import maker", "recipe = maker.make(PARTS)"),
    "decorated": ("import functools\nfrom keraskit import Recipe", "recipe = Recipe(**{**PARTS, "
        "'compile': functools.wraps(compile_model)(lambda *a, **k: compile_model(*a, **k))})"),
}  # fmt: skip
MAKER = "import keraskit\n\ndef make(parts):\n    return keraskit.Recipe(**parts)\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder, with helpers of a recipe in a folder below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "maker.py").write_text(MAKER)
    (tmp_path / "mine" / "beside.py").write_text("MORE = 3\n")
    yield tmp_path
    for name in ("maker", "beside"):
        sys.modules.pop(name, None)


READ = """
import sys
from keraskit.registry import Card
from keraskit.recipe import options_of
from pathlib import Path
for name in sys.argv[1:]:
    card = Card(Path(f"mine/{name}.py"))
    assert card.trains and card.declared["epochs"] == 1 and card.declared["batch_size"] == 32
    fields = options_of(card.functions).model_fields
    print({name: field.default for name, field in fields.items()}, fields["units"].description)
    assert not {"keras", "tensorflow", "beside"} & set(sys.modules)
"""


def test_flags_are_read_without_keras(here):
    for name, (imports, last) in WAYS.items():
        (here / "mine" / f"{name}.py").write_text(PARTS.format(imports=imports) + last + "\n")
    done = subprocess.run([sys.executable, "-c", READ, *WAYS], cwd=here, capture_output=True, text=True, timeout=120)
    said = "{'count': 96, 'units': 4, 'late': False, 'learning_rate': 0.01} How wide.\n"
    assert (done.stdout, done.stderr) == (said * len(WAYS), "")


@pytest.mark.parametrize("way", ["function", "attribute"])
def test_it_runs_by_its_file_and_imports_what_lies_beside_it_in_build(here, way, command):
    imports, last = WAYS[way]
    (here / "mine" / f"{way}.py").write_text(PARTS.format(imports=imports) + last + "\n")
    done = command("run", f"mine/{way}.py", "--units", "2", "--xla", "off")
    assert (done.returncode, done.stderr) == (0, "")
    (file,) = here.glob(f"runs/{way}/*/run.json")
    run = json.loads(file.read_text())
    assert run["source"] == str(here / "mine" / f"{way}.py") and run["parameters"] == 5 * 2 + 5 + 1
    assert run["summary"] == "Halves of numbers"


def test_a_file_that_makes_none_is_one_line(here):
    (here / "mine" / "none.py").write_text("recipe = 3\n")
    with pytest.raises(UserError, match=r"none\.py makes no `recipe = Recipe\(\.\.\.\)`"):
        keraskit.load_recipe("mine/none.py")


NOTEBOOK = (
    PARTS.format(imports="")
    + """
import keraskit
keraskit.run(keraskit.Recipe({name}**PARTS), output_dir="out", xla="off")
"""
)


@pytest.mark.parametrize(("name", "called"), [("", "recipe"), ('name="mine", ', "mine")])
def test_a_recipe_without_a_file_runs_and_takes_no_other_file_for_its_own(here, name, called):
    (here / "recipe.py").write_text('"""Something else."""\n')
    (here / "beside.py").write_text("MORE = 3\n")
    text = NOTEBOOK.replace("{name}", name)
    done = subprocess.run([sys.executable, "-"], input=text, cwd=here, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (file,) = here.glob(f"out/{called}/*/run.json")
    run = json.loads(file.read_text())
    assert (run["recipe"], run["source"], run["asked"]["code"]) == (called, None, None)
    assert "Something else" not in file.read_text()


def test_a_name_is_one_of_a_folder():
    parts = {"build": len, "compile": len, "data": len, "epochs": 1, "batch_size": 1}
    assert Recipe(**parts).name == "test_ways" and Recipe(name="mine", **parts).name == "mine"
    with pytest.raises(UserError, match="cannot be called"):
        Recipe(name="a/b", **parts)


def test_stand_ins_leave_nothing_behind(here):
    (here / "uses.py").write_text("import keras\n\nclass Mine(keras.Model): pass\n")
    code = (
        "import sys; sys.path.insert(0, '.'); from keraskit import stand_ins\n"
        "with stand_ins.standing_in():\n"
        "    import keras.layers as layers, tensorflow as tf, uses, json, numpy\n"
        "    assert isinstance(layers.Dense(3), layers.Dense)\n"
        "assert not {'keras', 'keras.layers', 'tensorflow', 'uses'} & set(sys.modules) and 'numpy' in sys.modules\n"
        "import keras, uses\nassert uses.Mine.__mro__[1] is keras.Model\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=here, check=True, capture_output=True, timeout=120)


ARRAYS = """
import keraskit
from keraskit import Recipe, from_arrays
import keras
import numpy as np

x = np.random.default_rng(0).random((40, 4)).astype("float32")

def build(units=3):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dense(1)])

def compile_model(model):
    model.compile("adam", "mse")

def make():
    return Recipe(build=build, compile=compile_model, data=from_arrays(x, x.sum(1), x, x.sum(1)), monitor="val_loss",
                  epochs=1, batch_size=8)

recipe = make()
"""


def test_flags_of_arrays_and_functions_without_docstrings_cost_no_tensorflow(here):
    (here / "mine" / "arrays.py").write_text(ARRAYS)
    code = (
        "import sys; from pathlib import Path; from keraskit.registry import Card\n"
        "assert list(Card(Path('mine/arrays.py')).functions) == ['data', 'build', 'compile']\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=here, check=True, timeout=120)
    line = [sys.executable, "-m", "keraskit", "run", "mine/arrays.py", "--units", "2"]
    done = subprocess.run(line, cwd=here, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")  # what is imported in earnest afterwards starts as quietly as ever
