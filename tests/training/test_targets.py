"""Targets that a model's loss and metrics take, or one line; inputs and outputs in lists, as `fit` takes them."""

import keras
import numpy as np
import pytest

import keraskit
from keraskit.datasets.arrays import from_arrays
from keraskit.errors import UserError
from keraskit.recipe import Recipe
from keraskit.runs import predictions
from keraskit.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("undrawn", "uncompiled")  # no pictures are looked at here

X = np.random.default_rng(0).random((60, 4)).astype("float32")
Y = (X.sum(axis=1) > 2).astype("int64")


def made(units, end, loss, metrics, x=X, y=Y, **more):
    def build():
        inputs = keras.Input((4,))
        glorot = keras.initializers.GlorotUniform(seed=1)
        return keras.Model(inputs, keras.layers.Dense(units, end, kernel_initializer=glorot)(inputs))

    def compile_model(model):
        model.compile("sgd", loss, metrics=metrics())

    data = from_arrays(x, y, x, y)
    return Recipe(build=build, compile=compile_model, data=data, monitor="val_loss", epochs=1, batch_size=16, **more)


@pytest.mark.parametrize("kind", ["labels", "floats"])
def test_metrics_that_want_columns_take_what_one_unit_learns(kind, tmp_path):
    f1 = lambda: [keras.metrics.F1Score("micro", 0.5, name="f1"), "accuracy"]  # noqa: E731
    r2 = lambda: [keras.metrics.R2Score(name="r2")]  # noqa: E731
    labels = kind == "labels"
    recipe = made(1, "sigmoid", "binary_crossentropy", f1) if labels else made(1, None, "mse", r2, y=X.sum(axis=1))
    result = keraskit.run(recipe, output_dir=tmp_path, xla="off")
    plain = result.model
    recipe.compile(plain)
    expected = plain.evaluate(X, (Y if labels else X.sum(axis=1))[:, None], verbose=0, return_dict=True)
    assert {name: result.metrics[name] for name in expected} == pytest.approx(expected, rel=1e-4)


def test_numbers_as_text_are_refused_where_the_model_takes_numbers(tmp_path):
    recipe = made(2, "softmax", "sparse_categorical_crossentropy", lambda: ["accuracy"], x=X.astype(str))
    with pytest.raises(UserError, match=r"one has text as input, the other numbers\. .*astype\(float\)"):
        keraskit.run(recipe, output_dir=tmp_path)


def test_inputs_and_outputs_in_lists_are_taken_as_fit_takes_them(tmp_path):
    x, y = [X, X[:, :2]], [X.sum(axis=1), Y.astype("float32")]

    def build():
        one, two = keras.Input((4,)), keras.Input((2,))
        joined = keras.layers.Concatenate()([one, two])
        glorot = keras.initializers.GlorotUniform(seed=1)
        ends = (("price", None), ("sold", "sigmoid"))
        heads = [keras.layers.Dense(1, end, kernel_initializer=glorot, name=name)(joined) for name, end in ends]
        return keras.Model([one, two], heads)

    def compile_model(model):
        model.compile("sgd", ["mse", "binary_crossentropy"], metrics=[["mae"], ["accuracy"]], loss_weights=[0.1, 1.0])

    data = from_arrays(x, y, x, y, x_validation=x, y_validation=y)
    recipe = Recipe(build=build, compile=compile_model, data=data, monitor="val_sold_accuracy", epochs=2, batch_size=60)
    result = keraskit.run(recipe, output_dir=tmp_path, xla="off")
    model = recipe.build()
    recipe.compile(model)
    history = model.fit(x, y, 60, epochs=2, verbose=0, validation_data=(x, y)).history
    for epoch, row in enumerate(result.history):
        assert {name: row[name] for name in history} == pytest.approx({k: v[epoch] for k, v in history.items()})
    expected = result.model.predict(x, verbose=0)
    found = predictions.read(RunFolder(result.folder))
    assert list(found.predictions) == list(found.targets) == ["price", "sold"]
    for name, target, predicted in zip(("price", "sold"), y, expected, strict=True):
        assert np.array_equal(found.targets[name], target)
        np.testing.assert_allclose(found.predictions[name], predicted, rtol=1e-5)
    assert "sold accuracy" in (result.folder / "report.html").read_text("utf-8")
