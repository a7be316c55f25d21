"""Recipes under Keras's other backends, in processes of their own: the document's tables, a step, a run's weights."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from tables import LAYERS, TOTALS

EVERYTHING = """
import importlib, json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from keraskit.models.weights import unallocated
from keraskit.recipe import call
from tables import LAYERS, TOTALS

for name in LAYERS:
    recipe = importlib.import_module(f"keraskit.recipes.{name}").recipe
    model = unallocated(recipe.build)  # 138 million weights need not be there to be counted
    rows = [(layer.name, tuple(layer.output.shape[1:]), layer.count_params()) for layer in model.layers]
    assert sorted(rows) == sorted(LAYERS[name]) and model.count_params() == TOTALS[name], name
    call(recipe.compile, {}, model=model, steps=10, batch_size=32)

import keras
from keraskit.recipes import cnn
x = np.load(sys.argv[2])
model = cnn.build()
cnn.compile_model(model, steps=10)
before = model.get_weights()
losses = [float(model.train_on_batch(x, np.arange(len(x)) % 10)[0]) for _ in range(4)]
assert all(not np.array_equal(a, b) for a, b in zip(before, model.get_weights())) and losses[-1] < losses[0], losses
model = keras.saving.load_model(sys.argv[3])
np.save(sys.argv[4], model.predict(x.reshape(-1, 784), verbose=0))
assert "tensorflow" not in sys.modules
print(json.dumps([keras.backend.backend(), len(LAYERS)]))

import keraskit
try:
    keraskit.run("mlp")
except keraskit.UserError as error:
    print(error)
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_recipes_need_keras_alone(backend, tiny_run, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    with np.load(ROOT / "data" / "mnist.npz", allow_pickle=False) as mnist:
        x = mnist["x_test"][:32, ..., None] / np.float32(255)
    np.save(tmp_path / "x.npy", x)
    line = [sys.executable, "-c", EVERYTHING, ROOT / "tests", "x.npy", tiny_run.folder / "model.keras", "y.npy"]
    environment = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    told, refused = done.stdout.splitlines()[-2:]
    assert json.loads(told) == [backend, len(TOTALS)] and len(LAYERS) == len(TOTALS)
    assert refused.startswith(f"Keras runs on {backend} here, and keraskit needs TensorFlow.")
    ours = tiny_run.model.predict(x.reshape(-1, 784), verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), ours, atol=1e-5)
