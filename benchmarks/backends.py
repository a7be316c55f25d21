"""Check that recipes need Keras alone: build, compile and train them under its other backends, as far as installed.

    python benchmarks/backends.py [jax] [torch]

Under each, in a process of its own without TensorFlow: the document's tables, some steps of cnn, and its weights, which
give the same answers here. `make versions` runs it.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BACKENDS = ("jax", "torch")
EVERYTHING = """
import importlib, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from keraskit.models.weights import unallocated
from keraskit.recipe import call
from tables import LAYERS, TOTALS

assert len(LAYERS) == len(TOTALS)
for name in LAYERS:
    recipe = importlib.import_module(f"keraskit.recipes.{name}").recipe
    model = unallocated(recipe.build)  # 138 million weights need not be there to be counted
    rows = [(layer.name, tuple(layer.output.shape[1:]), layer.count_params()) for layer in model.layers]
    assert sorted(rows) == sorted(LAYERS[name]) and model.count_params() == TOTALS[name], name
    call(recipe.compile, {}, model=model, steps=10, batch_size=32)

import keras
from keraskit.recipes import cnn
x = np.random.default_rng(0).random((32, 28, 28, 1), "float32")
model = cnn.build()
cnn.compile_model(model, steps=10)
before = model.get_weights()
losses = [float(model.train_on_batch(x, np.arange(len(x)) % 10)[0]) for _ in range(4)]
assert all(not np.array_equal(a, b) for a, b in zip(before, model.get_weights())) and losses[-1] < losses[0], losses
np.savez("answers.npz", x=x, y=model.predict(x, verbose=0))
assert "tensorflow" not in sys.modules and keras.backend.backend() == sys.argv[2]
model.save("cnn.keras")  # for which Keras imports TensorFlow where it is

import keraskit
try:
    keraskit.run("mlp")
except keraskit.UserError as error:
    assert f"Keras runs on {sys.argv[2]} here, and keraskit needs TensorFlow." in str(error)
"""


def check(backend: str) -> None:
    """Raise an error unless all recipes work under the backend, and what it trained answers alike under TensorFlow."""
    with tempfile.TemporaryDirectory() as place:
        line = [sys.executable, "-c", EVERYTHING, ROOT / "tests", backend]
        subprocess.run(line, cwd=place, env=os.environ | {"KERAS_BACKEND": backend}, check=True)
        import keras
        import numpy as np

        known = np.load(f"{place}/answers.npz")
        answers = keras.saving.load_model(f"{place}/cnn.keras").predict(known["x"], verbose=0)
        np.testing.assert_allclose(answers, known["y"], atol=1e-5)


def main() -> None:
    """Check the backends that are named, or installed."""
    for backend in sys.argv[1:] or [name for name in BACKENDS if importlib.util.find_spec(name)]:
        check(backend)
        print(f"{backend:6} all recipes build, compile and train, and answer here as there")


if __name__ == "__main__":
    main()
