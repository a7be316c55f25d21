"""Targets and weights of examples that a model's loss and metrics take: plain Keras is the oracle."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

import keraskit
from keraskit.datasets.arrays import from_arrays
from keraskit.datasets.splits import Split
from keraskit.recipe import Pretrained, Recipe
from keraskit.runs import predictions
from keraskit.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("undrawn", "uncompiled")  # no pictures are looked at here

X = np.random.default_rng(0).random((60, 4)).astype("float32")
Y = np.array([0] * 36 + [1] * 24)
W = np.linspace(0, 3, 60).astype("float32")
CLASSES = {0: 0.5, 1: 4.0}
BALANCED = dict(enumerate(compute_class_weight("balanced", classes=np.unique(Y), y=Y).tolist()))

Own = type("Own", (keras.losses.Loss,), {"call": lambda self, y, answers: tf.square(y - answers[:, 0])})
CASES = {  # targets, loss, units, what from_arrays is given, what fit is given
    "labels": (Y, "sparse_categorical_crossentropy", [2], {"class_weight": CLASSES}, {"class_weight": CLASSES}),
    "floats": (Y * 1.0, "binary_crossentropy", [1], {"class_weight": CLASSES}, {"class_weight": CLASSES}),
    "one-hot": (np.eye(2)[Y], "categorical_crossentropy", [2], {"class_weight": CLASSES}, {"class_weight": CLASSES}),
    "own": (X.sum(axis=1).astype("float64"), Own(), [1], {}, {}),
    "samples": (X.sum(axis=1), "mse", [1], {"sample_weight": W}, {"sample_weight": W}),
    "outputs": ([Y * 1.0, X], "mse", [1, 4], {"sample_weight": [W, W[::-1]]}, {"sample_weight": [W, W[::-1]]}),
    "names": ({"head1": Y * 1.0, "head4": X}, "mse", [1, 4], {"sample_weight": W}, {"sample_weight": [W, W]}),
    "flag": (Y, "sparse_categorical_crossentropy", [2], {}, {"class_weight": BALANCED}),
}


def made(units, end, loss, metrics, x=X, y=Y):
    def build():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, end)])

    def compile_model(model):
        model.compile("sgd", loss, metrics=metrics())

    data = from_arrays(x, y, x, y)
    return Recipe(build=build, compile=compile_model, data=data, monitor="val_loss", epochs=1, batch_size=16)


@pytest.mark.parametrize("kind", ["labels", "floats"])
def test_metrics_that_want_columns_take_what_one_unit_learns(kind, tmp_path):
    f1 = lambda: [keras.metrics.F1Score("micro", 0.5, name="f1"), "accuracy"]  # noqa: E731
    hinge = lambda: ["hinge"]  # noqa: E731
    labels = kind == "labels"
    recipe = made(1, "sigmoid", "binary_crossentropy", f1) if labels else made(1, None, "mse", hinge, y=X.sum(axis=1))
    result = keraskit.run(recipe, output_dir=tmp_path, xla="off")
    plain = result.model
    recipe.compile(plain)
    expected = plain.evaluate(X, (Y if labels else X.sum(axis=1))[:, None], verbose=0, return_dict=True)
    assert {name: result.metrics[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    (warning,) = RunFolder(result.folder).read_json("run.json")["warnings"][:1]
    assert warning == "50 of 60 test examples are exact copies of train examples: the test says too much."


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


def layers(units, features=False):
    inputs, glorot = keras.Input((4,)), keras.initializers.GlorotUniform
    x = inputs
    if features:
        x = keras.layers.Dense(3, "tanh", kernel_initializer=glorot(seed=2), trainable=False, name="features")(x)
    ends = {1: "sigmoid", 2: "softmax", 4: None}
    heads = [keras.layers.Dense(n, ends[n], kernel_initializer=glorot(seed=n), name=f"head{n}")(x) for n in units]
    return keras.Model(inputs, heads[0] if len(heads) == 1 else heads)


@pytest.mark.parametrize(("case", "features"), [*((c, False) for c in CASES), ("own", True), ("samples", True)])
def test_weights_reach_the_loss_as_plain_keras_has_them(case, features, tmp_path):
    y, loss, units, given, plainly = CASES[case]

    def build():
        return layers(units, features)

    def compile_model(model):
        metrics = {"own": [lambda y, p: tf.abs(y - p[:, 0])], "samples": ["mae"]}.get(case)  # the first wants float32
        model.compile(keras.optimizers.SGD(0.5), loss if len(units) == 1 else [loss] * 2, metrics=metrics)

    class Evaluates(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.evaluate(X[:20], y[:20], verbose=0)

    data = from_arrays(X, y, X, y, x_validation=X, y_validation=y, **given)
    base = Pretrained(load=lambda _: [], weights="none", features="features") if features else None
    knobs = {"epochs": 1, "batch_size": 60, "monitor": "val_loss", "pretrained": base}
    knobs |= {"callbacks": lambda: [Evaluates()]} if case == "samples" and not features else {}
    recipe = Recipe(build=build, compile=compile_model, data=data, **knobs)
    flag = {"class_weight": "balanced"} if case == "flag" else {}
    result = keraskit.run(recipe, output_dir=tmp_path, xla="off", **flag)

    model = build()
    compile_model(model)
    held = (X, [*y.values()] if case == "names" else y)
    expected = model.fit(*held, batch_size=60, verbose=0, validation_data=held, **plainly).history
    assert result.history[0]["loss"] == pytest.approx(expected["loss"][0], rel=1e-5)
    assert result.history[0]["val_loss"] == pytest.approx(expected["val_loss"][0], rel=1e-5) == result.metrics["loss"]
    for ours, theirs in zip(result.model.get_weights(), model.get_weights(), strict=True):
        assert np.allclose(ours, theirs, atol=1e-6)
    if case == "flag":
        facts = json.loads((result.folder / "run.json").read_text())
        assert facts["config"]["class_weight"] == "balanced" and "--class-weight balanced" in facts["command"]


def test_balanced_weights_are_scikit_learns_of_the_examples_that_are_used():
    labels = np.array([0] * 50 + [2] * 7 + [5] * 3)
    found = Split.of(np.zeros((60, 1)), labels, labels=labels).limited(30).balanced()
    _, y, weights = found.take(np.arange(30))
    of_class = dict(zip(np.unique(y), compute_class_weight("balanced", classes=np.unique(y), y=y), strict=True))
    assert np.allclose(weights, [of_class[label] for label in y])
    with pytest.raises(keraskit.UserError, match="models of one output"):
        Split.of(X, {"a": Y, "b": X}, labels=Y).balanced()


class Adds(keras.layers.Layer):
    def call(self, inputs):
        self.add_loss(keras.ops.mean(inputs**2))
        return inputs


def test_a_loss_within_a_layer_is_one_and_a_head_of_yes_or_no_is_kept(tmp_path):
    def build():
        inputs = keras.Input((4,))
        outputs = Adds()(keras.layers.Dense(1, "sigmoid")(inputs))
        return keras.Model(inputs, {"p": outputs, "alarm": outputs > 0.5})

    known = {"data": from_arrays(X, {"p": Y * 1.0}, X, {"p": Y * 1.0}), "monitor": "val_loss", "epochs": 1}
    result = keraskit.run(Recipe(build=build, compile=lambda model: model.compile("sgd"), **known), output_dir=tmp_path)
    kept = predictions.read(RunFolder(result.folder)).predictions
    assert result.metrics["loss"] == pytest.approx((kept["p"] ** 2).mean(), rel=0.05)  # the mean over batches
    assert np.array_equal(kept["alarm"], kept["p"] > 0.5) and kept["alarm"].dtype == bool
