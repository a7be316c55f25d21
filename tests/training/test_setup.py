"""What decides which epoch is the best, and that a recipe's metrics are there, before anything is trained."""

import dataclasses

import keras
import numpy as np
import pytest

import keraskit
from keraskit import Recipe, from_arrays
from keraskit.datasets.splitting import cut
from keraskit.errors import UserError
from keraskit.runs.folder import RunFolder

random = np.random.default_rng(0)
X = random.normal(size=(140, 5)).astype("float32")
Y = (X @ random.normal(size=(5, 1)) + 0.3 * random.normal(size=(140, 1))).astype("float32")
KNOBS = {"epochs": 6, "xla": "off"}


pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here


def build(units: int = 4) -> keras.Model:
    inputs = keras.Input((5,), name="input")
    hidden = keras.layers.Dense(units, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(1, name="value")(hidden))


def closeness(y, predicted):
    return keras.ops.exp(-keras.ops.mean(keras.ops.abs(y - predicted), axis=-1))


def compile_model(model: keras.Model, learning_rate: float = 0.4) -> None:
    """A rate that is far too high, so that metrics go up and down."""
    metrics = ["mae", closeness, keras.metrics.R2Score(name="r2")]
    model.compile(keras.optimizers.Adam(learning_rate), "mse", metrics=metrics)


regression = Recipe(
    build=build, compile=compile_model, data=from_arrays(X[:90], Y[:90], X[90:], Y[90:]),
    epochs=6, batch_size=16, monitor="val_loss",
)  # fmt: skip


@pytest.mark.parametrize(
    ("monitor", "best"),
    [
        ("val_loss", np.argmin),
        ("val_r2", np.argmax),
        (("val_closeness", "max"), np.argmax),
        (("val_mae", "max"), np.argmax),
    ],
)
def test_the_best_epoch_is_the_one_that_the_monitor_means(monitor, best, tmp_path):
    recipe = dataclasses.replace(regression, monitor=monitor)
    result = keraskit.run(recipe, output_dir=tmp_path, **KNOBS)
    name = monitor if isinstance(monitor, str) else monitor[0]
    scores = [row[name] for row in result.history]
    assert np.argmax(scores) != np.argmin(scores)
    assert RunFolder(result.folder).read_json("run.json")["best_epoch"] == best(scores) + 1
    held = cut(90, (5, 1))[1]
    validation = result.model.evaluate(X[held], Y[held], verbose=0, return_dict=True)
    assert validation[name.removeprefix("val_")] == pytest.approx(scores[best(scores)], rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"monitor": "val_accuracy"}, "no metric accuracy. Measured are .*mae"),
        ({"monitor": ("val_closenes", "max")}, "no metric closenes"),
        ({"monitor": "val_closeness"}, r'rise or fall is not known. Say monitor=\("val_closeness", "min"\)'),
        ({"monitor": "mae"}, "Validation decides: monitor val_mae"),
        ({"expected": {"test_accuracy": 0.9}}, "no metric accuracy"),
    ],
)
def test_a_metric_that_does_not_exist_is_one_line_before_anything_is_trained(changes, says, tmp_path):
    with pytest.raises(UserError, match=says) as error:
        keraskit.run(dataclasses.replace(regression, **changes), output_dir=tmp_path, **KNOBS)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_a_model_whose_inputs_are_not_known_is_one_line(tmp_path):
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.value = keras.layers.Dense(1)

        def call(self, x):
            return self.value(x)

    for build in (Mine, lambda: keras.Sequential([keras.layers.Dense(1)])):
        with pytest.raises(UserError, match=r"inputs of the model, a \w+, are not known"):
            keraskit.run(dataclasses.replace(regression, build=build), output_dir=tmp_path, **KNOBS)
    assert not list(tmp_path.iterdir())
