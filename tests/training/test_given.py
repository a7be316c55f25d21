"""A flag that was given counts, also where it equals a default; a run's own values reach a recipe's functions."""

from typing import Literal

import pytest
from conftest import command
from pydantic import create_model

import keraskit
from keraskit import Augmentation, errors
from keraskit.errors import UserError
from keraskit.recipe import options_of
from keraskit.runs.folder import RunFolder
from keraskit.training import runner
from keraskit.training.settings import requested, settle
from keraskit.typed import Typed

pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here
AUGMENTED = "cats_dogs_augmented"
GIVEN = [
    (AUGMENTED, "--augment.rotation-range 0", {"augment": Augmentation(rotation_range=0)}, ("rotation_range", 0)),
    (AUGMENTED, "--augment.zoom-range 0", {"augment": {"zoom_range": 0}}, ("zoom_range", (1, 1))),
    ("vgg16", "--quick --width 1.0", {"quick": True, "width": 1.0}, ("width", 1.0)),
    ("cats_dogs", "--quick --limit 512", {"quick": True, "limit": 512}, ("limit", 512)),
    ("mlp", "--quick --epochs 5", {"quick": True, "epochs": 5}, ("epochs", 5)),
    ("cats_dogs", "--quick --steps-per-epoch 100", {"quick": True, "steps_per_epoch": 100}, ("steps_per_epoch", 100)),
]


@pytest.mark.parametrize("way", ["words", "Python"])
@pytest.mark.parametrize(("recipe", "words", "values", "wanted"), GIVEN, ids=lambda value: str(value)[:40])
def test_what_was_given_counts_also_where_it_is_a_default(recipe, words, values, wanted, way, monkeypatch):
    taken = []
    monkeypatch.setattr(runner, "train", lambda *given, **_: taken.append(settle(*given)))
    if way == "words":
        assert command("run", recipe, *words.split()).code == 0
    else:
        keraskit.run(recipe, **values)
    (settings,) = taken
    name, value = wanted
    assert {"width": 1.0, **dict(settings.augment), **dict(settings), **settings.options}[name] == value
    assert settings.augment.width_shift_range == keraskit.load_recipe(recipe).augment.width_shift_range


FILLED = """
import enum
import pathlib
import keraskit
import keras
import numpy as np
from keraskit import Recipe, from_arrays

seen = {}
Way = enum.Enum("Way", {"LEFT": 1, "RIGHT": 2})

def data(size: int = 3, seed: int = -1, batch_size: int = -1, limit: int = -1):
    seen["data"] = size, seed, batch_size, limit
    x = np.random.default_rng(0).normal(size=(96, size)).astype("float32")
    return from_arrays(x, x[:, :1], x, x[:, :1])()

def build(size: int = 5, seed: int = -1, weights: str | None = "mine", batch_size: int = -1, steps: int = -1):
    seen["build"] = size, seed, weights, batch_size, steps
    inputs = keras.Input((size,))
    return keras.Model(inputs, keras.layers.Dense(1)(inputs))

def compile_model(model, steps, epochs: int, seed=-1, size: int = -1, way=Way.RIGHT, ways: list[pathlib.Path] = []):
    seen["compile"] = steps, epochs, seed, size
    model.compile("adam", "mse")

recipe = Recipe(build=build, compile=compile_model, data=data, epochs=2, batch_size=16, monitor="val_loss")
"""


@pytest.mark.parametrize("size", [3, 4])  # 3 is what data has by default, and build has not
def test_the_runs_values_and_shared_flags_reach_every_function(tmp_path, size):
    (tmp_path / "mine.py").write_text(FILLED)
    recipe = keraskit.load_recipe(str(tmp_path / "mine.py"))
    seen = recipe.build.__globals__["seen"]
    own = {"size": size, "way": recipe.build.__globals__["Way"].LEFT, "ways": [tmp_path, tmp_path / "a b"]}
    result = keraskit.run(recipe, **own, seed=7, epochs=3, batch_size=20, xla="off", output_dir=tmp_path / "runs")
    assert seen == {"data": (size, 7, 20, -1), "build": (size, 7, "mine", 20, -1), "compile": (12, 3, 7, size)}
    facts = RunFolder(result.folder).read_json("run.json")
    assert facts["asked"]["options"] == own | {"way": 1, "ways": list(map(str, own["ways"]))}
    assert facts["asked"]["knobs"]["seed"] == 7 and facts["options"]["way"] == 1 and "--way LEFT " in facts["command"]
    assert settle(*requested(RunFolder(result.folder), tmp_path / "mine.py")).options["way"] is own["way"]
    assert [options_of(recipe.functions)(way=word).way for word in ("LEFT", "left")] == [own["way"]] * 2
    assert create_model("One", __base__=Typed, depth=(Literal[18, 34], 18))(depth="34").depth == 34
    assert errors.flags({"shuffle": False}) == "--shuffle=no"
    keraskit.run(recipe, size=4, weights="none", xla="off", output_dir=tmp_path / "runs")
    assert seen["build"][2] is None
    with pytest.raises(UserError, match="no flag --steps"):
        keraskit.run(recipe, steps=3)
