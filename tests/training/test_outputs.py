"""Logits are taken for what they are: Keras's loss, SciPy's sigmoid and softmax, and scikit-learn are the oracles."""

import functools
import html

import keras
import numpy as np
import pytest
import scipy.special
import sklearn.metrics
import tensorflow as tf
from PIL import Image

import keraskit
from keraskit import Recipe, from_arrays
from keraskit.datasets.splits import Split
from keraskit.runs import listing, metrics
from keraskit.runs.folder import RunFolder
from keraskit.runs.opening import open_run
from keraskit.runs.pictures import network
from keraskit.tools import compare, predict
from keraskit.tools.export import export
from keraskit.training import evaluate, examine

random = np.random.default_rng(0)
X, LABELS = random.normal(size=(60, 6)).astype("float32"), random.integers(0, 3, 60)
LOGITS, L, Z = {"from_logits": True}, keras.layers, keras.losses


class Wrapped(Z.Loss):
    def call(self, y, outputs):
        return Z.SparseCategoricalCrossentropy(**LOGITS)(y, outputs)


def of_tensorflow(y, outputs):
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(y, tf.float32), logits=outputs)


def dice(y, outputs):
    return 1 - 2 * keras.ops.sum(y * outputs) / (keras.ops.sum(y) + keras.ops.sum(outputs))


def examined(columns, loss, one_hot=False, end=None, metrics=None, dtype=None, several=False):
    """What is found of a model with these many outputs, and the model with its examples and labels."""
    inputs = keras.Input((6,))
    logits = L.Dense(columns, dtype=dtype)(L.Dense(8, activation="relu", bias_regularizer="l2")(inputs))  # of zeros
    nested = keras.Sequential([keras.Input((columns,)), L.Activation(end or "linear", dtype=dtype)])
    model = keras.Model(inputs, nested(logits) if end else logits)
    model.compile(loss=loss, metrics=metrics)
    labels = LABELS if columns > 1 else LABELS.clip(0, 1)
    y = np.eye(columns)[labels] if one_hot else labels if columns > 1 else labels[:, None]
    y = random.integers(0, 2, (60, columns)) if several else y
    return *examine.outputs(model, Split.of(X, y, labels=None if several else labels), None), model, y, labels


ONE, MANY = Z.BinaryCrossentropy(**LOGITS), Z.SparseCategoricalCrossentropy(**LOGITS)
BINARY = functools.partial(Z.binary_crossentropy, from_logits=True)


@pytest.mark.parametrize(("columns", "loss", "known", "wanted"), [
    (1, Z.BinaryCrossentropy(**LOGITS), {}, "sigmoid"), (1, BINARY, {}, "sigmoid"), (1, of_tensorflow, {}, "sigmoid"),
    (1, "binary_crossentropy", {"end": "sigmoid"}, None),
    (3, Z.SparseCategoricalCrossentropy(**LOGITS), {}, "softmax"), (3, Wrapped(), {}, "softmax"),
    (3, Z.SparseCategoricalCrossentropy(**LOGITS), {"dtype": "bfloat16"}, "softmax"),
    (3, Z.CategoricalCrossentropy(**LOGITS), {"one_hot": True}, "softmax"),
    (3, "sparse_categorical_crossentropy", {"end": "softmax"}, None),
    (3, "categorical_crossentropy", {"end": "softmax", "one_hot": True}, None),
    # Others say it too, and are no log loss
    (1, Z.BinaryFocalCrossentropy(apply_class_balancing=True, **LOGITS), {}, "sigmoid"),
    (1, Z.BinaryFocalCrossentropy(label_smoothing=0.1), {"end": "sigmoid"}, None), (1, "mse", {"end": "sigmoid"}, None),
    (3, Z.CategoricalFocalCrossentropy(label_smoothing=0.3, **LOGITS), {"one_hot": True}, "softmax"),
    (3, Z.CategoricalFocalCrossentropy(), {"one_hot": True, "end": "softmax"}, None),
    (3, Z.BinaryCrossentropy(**LOGITS), {"one_hot": True}, "sigmoid"),
    (3, "binary_crossentropy", {"one_hot": True, "end": "sigmoid"}, None),
    (3, dice, {"one_hot": True, "end": "softmax"}, None),
    (1, "hinge", {}, "sigmoid"), (1, "hinge", {"end": "sigmoid"}, None),
    (3, "categorical_hinge", {"one_hot": True}, "softmax"), (1, "binary_crossentropy", {"end": tf.nn.sigmoid}, None),
    (3, "cosine_similarity", {"one_hot": True, "end": "softmax"}, None),
    # Of a loss within steps of one's own nothing is known but the values
    (1, None, {}, "sigmoid"), (1, None, {"end": "sigmoid"}, None), (3, None, {}, "softmax"),
    # Several labels
    (4, Z.BinaryCrossentropy(**LOGITS), {"several": True}, "sigmoid"), (4, "mse", {"several": True}, None),
    (4, "binary_crossentropy", {"several": True, "end": "sigmoid"}, None),
])  # fmt: skip
def test_the_log_loss_of_the_probabilities_is_keras_own_loss(columns, loss, known, wanted):
    activation, wrong, model, y, labels = examined(columns, loss, **known)
    assert (activation, wrong) == (wanted, [])
    called = getattr(loss, "name", str(loss))
    other = loss in ("mse", dice, None) or any(word in called for word in ("cosine", "focal", "hinge"))
    if other or "several" in known or ("binary" in called and columns > 1):
        return
    probabilities = metrics.probabilities(model.predict(X, verbose=0), activation)
    measured = sklearn.metrics.log_loss(labels, probabilities / probabilities.sum(axis=1, keepdims=True))
    assert measured == pytest.approx(model.evaluate(X, y, verbose=0), rel=1e-2 if "dtype" in known else 1e-5)


def test_a_metric_that_misreads_logits_is_told_also_where_examples_lie_by_class():
    _, wrong, model, y, labels = examined(1, ONE, metrics=["accuracy"])
    order = np.argsort(labels)
    assert len(wrong) == len(examine.outputs(model, Split.of(X[order], y[order], labels=labels[order]), None)[1]) == 1


FALSE, M = "takes logits for probabilities", keras.metrics


@pytest.mark.parametrize(("columns", "loss", "metric", "known", "says"), [
    (1, ONE, M.AUC, {}, FALSE), (1, ONE, lambda: M.AUC(from_logits=True), {}, ""), (1, ONE, M.Precision, {}, FALSE),
    (1, ONE, lambda: M.Recall(thresholds=0.0), {}, ""), (1, "binary_crossentropy", M.AUC, {"end": "sigmoid"}, ""),
    (4, ONE, M.BinaryAccuracy, {"several": True}, "if every answer were right"),
    (4, ONE, lambda: M.BinaryAccuracy(threshold=0.0), {"several": True}, ""),
    (4, ONE, lambda: M.F1Score("micro", 0.5), {"several": True}, FALSE),
    (4, "binary_crossentropy", M.BinaryAccuracy, {"several": True, "end": "sigmoid"}, ""),
])  # fmt: skip
def test_metrics_that_take_logits_for_probabilities_are_told(columns, loss, metric, known, says):
    _, wrong, *_ = examined(columns, loss, metrics=[metric()], **known)
    assert (len(wrong) == 1 and says in wrong[0]) if says else wrong == []


@pytest.mark.parametrize(("y", "loss", "activation", "says"), [
    (LABELS.clip(0, 1).astype("f4"), ONE, "sigmoid", "accuracy would be"), (X.sum(axis=1), "mse", None, "for classes"),
    (LABELS.clip(0, 1)[:, None].astype("f4"), "binary_crossentropy", None, ""),
    (255.0 * LABELS.clip(0, 1), "binary_crossentropy", None, "gives at most 1, and its targets go to 255"),
    ((X > 0)[..., None].astype("f4"), ONE, "sigmoid", "accuracy would be"), (X[..., None], "mse", None, "for classes"),
])  # fmt: skip
def test_accuracy_is_told_of_floats_which_name_no_classes(y, loss, activation, says):
    end = L.Dense(1, "sigmoid" if loss == "binary_crossentropy" else None)
    model = keras.Sequential([keras.Input((6,)), *[L.Reshape((6, 1))] * (y.ndim > 2), end])
    model.compile(loss=loss, metrics=["accuracy"])
    found, wrong = examine.outputs(model, Split.of(X, y), None)
    assert found == activation and (says in wrong[0] if says else not wrong)


def test_categories_among_floats_are_looked_up_as_they_are():
    inputs = keras.Input((6,))
    rows = L.Flatten()(L.Embedding(10, 2)(inputs[:, :1]))
    model = keras.Model(inputs, L.Dense(3, "softmax")(L.Concatenate()([rows, inputs[:, 1:]])))
    model.compile(loss="sparse_categorical_crossentropy")
    x = np.concatenate([np.arange(60)[:, None] % 10, X[:, 1:]], axis=1).astype("f4")
    assert examine.outputs(model, Split.of(x, LABELS, labels=LABELS), None) == (None, [])


def r2(y, outputs):
    return 1 - keras.ops.sum((y - outputs) ** 2) / keras.ops.sum((y - keras.ops.mean(y)) ** 2)


def test_a_metric_that_broadcasts_targets_is_told():
    model, mean = keras.Sequential([keras.Input((6,)), L.Dense(1)]), lambda y, outputs: keras.ops.mean(outputs)
    model.compile(loss="mse", metrics=[r2, "mae", mean, lambda y, outputs: keras.ops.abs(y - outputs[:, 0])])
    (wrong,) = examine.unpaired(model, Split.of(X, X.sum(axis=1)))
    assert "r2 sets each answer against every target" in wrong
    (wrong,) = examine.unpaired(model, Split.of(X, X.sum(axis=1, keepdims=True)))
    assert "shape (n,): y" in wrong and "r2" not in wrong
    pinball = {"call": lambda self, y, outputs: keras.ops.maximum(0.9 * (y - outputs), 0.1 * (outputs - y))}
    model.compile(loss=type("Pinball", (Z.Loss,), pinball)(), metrics=["mae"])
    assert "loss sets each answer" in examine.unpaired(model, Split.of(X, X.sum(axis=1)))[0]
    model.compile(loss="mse", metrics=[lambda y, outputs: keras.ops.mean(keras.ops.equal(y, keras.ops.round(outputs)))])
    assert examine.unpaired(model, Split.of(X, LABELS[:, None].clip(0, 1))) == []
    assert examine.unpaired(model, Split.of(X, X.sum(axis=1, keepdims=True))) == []


@pytest.mark.parametrize(("names", "alphabetic", "wanted"), [
    (("zeta", "alpha"), True, "alpha"), (("zeta", "alpha"), False, "zeta"), (("kind", "tags"), False, "tags"),
])  # fmt: skip
def test_of_several_outputs_the_first_with_several_labels_has_its_own_activation(names, alphabetic, wanted):
    """By Keras's order, which is that of the keys in a dict; one-hot rows are one label."""
    inputs, ends, losses = keras.Input((6,)), (None, "sigmoid"), (ONE, "mse")
    heads = {name: L.Dense(3, end, name=name)(inputs) for name, end in zip(names, ends, strict=True)}
    model = keras.Model(inputs, heads if alphabetic else [*heads.values()])
    model.compile(loss=dict(zip(names, losses, strict=True)))
    y = {name: np.eye(3)[LABELS] if name == "kind" else random.integers(0, 2, (60, 3)) for name in names}
    activation, (warned,) = examine.outputs(model, split := Split.of(X, y), names[0])
    targets, scores = evaluate.infer(model, {"test": split}, 20)["test"][1].of_labels({"class_activation": activation})
    given = keras.Model(inputs, heads[wanted]).predict(X, verbose=0)
    assert np.allclose(scores, scipy.special.expit(given) if wanted == "zeta" else given, atol=1e-6)
    assert np.array_equal(targets, y[wanted]) and f"class_output='{names[0]}' has no effect" in warned


def pictures(size):
    labels = np.arange(size) % 3
    x = random.normal(70 * labels[:, None, None] + 60, 30, (size, 8, 8))
    return x.clip(0, 255).astype("uint8"), labels


ACTIVATIONS = {1: scipy.special.expit, 3: functools.partial(scipy.special.softmax, axis=1)}


@pytest.mark.parametrize("columns", [1, 3])
def test_a_run_of_logits_says_the_same_everywhere(columns, tmp_path, capsys):
    (x, y), (a, b) = pictures(120), pictures(60)
    if columns == 1:
        y, b = y.clip(0, 1), b.clip(0, 1)

    def build() -> keras.Model:
        inputs = keras.Input((8, 8, 1))
        last = L.Dense(columns, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(0.3))
        return keras.Model(inputs, last(L.Flatten()(inputs)))

    def compile_model(model):
        model.compile(keras.optimizers.Adam(0.001), ONE if columns == 1 else MANY, metrics=["accuracy"])

    data = from_arrays(x, y, a, b, scale="unit")
    recipe = Recipe(build=build, compile=compile_model, data=data, epochs=2, batch_size=20, monitor="val_loss")
    result = keraskit.run(recipe, output_dir=tmp_path)
    said, folder = capsys.readouterr().out, RunFolder(result.folder)
    model = keras.models.load_model(result.folder / "model.keras", compile=False)
    given = a[..., None] / np.float32(255)
    known = ACTIVATIONS[columns](model.predict(given, verbose=0).astype(float))
    known = np.concatenate([1 - known, known], axis=1) if columns == 1 else known
    right = (known.argmax(axis=1) == b).mean()

    facts, metrics = folder.read_json("run.json"), folder.read_json("metrics.json")
    assert facts["class_activation"] == {1: "sigmoid", 3: "softmax"}[columns]
    assert np.array_equal(metrics["confusion"], sklearn.metrics.confusion_matrix(b, known.argmax(axis=1)))
    assert metrics["test"]["loss"] == pytest.approx(sklearn.metrics.log_loss(b, known), rel=1e-4)
    if columns == 1:  # the metric stays Keras's, of raw values above 0.5, and that is said twice
        warned = "every answer were right. Take keras.metrics.BinaryAccuracy(threshold=0.0)"
        assert warned in facts["warnings"][0] and [warned in each for each in said.split("Epoch 1/2")] == [True, True]
        assert metrics["test"]["accuracy"] == pytest.approx(((model.predict(given, verbose=0)[:, 0] > 0.5) == b).mean())
        assert warned in html.unescape((result.folder / "report.html").read_text().partition("<main>")[0])
    else:
        assert metrics["test"]["accuracy"] == pytest.approx(right)
    (answers,) = compare.answers(listing.Row("", [listing.read(result.folder)]))[1].values()
    assert answers.mean() == right

    asked, files = open_run(result.folder), [tmp_path / f"{i}.png" for i in range(3)]
    assert np.abs(network(asked).probabilities(a) - known).max() < 1e-6
    for i, file in enumerate(files):
        Image.fromarray(a[i]).save(file)
    for i, row in enumerate(predict.predict(result.folder, files, invert="no")):
        assert row.best[0][1] == pytest.approx(known[i].max(), abs=1e-6)
    np.save(tmp_path / "x.npy", given)
    names, columns_of = predict.predict_arrays(result.folder, tmp_path / "x.npy")
    assert names == facts["classes"] and np.abs(columns_of - known).max() < 1e-6
    splits = recipe.data()
    exported = export.exportable(model, facts, splits.test)
    assert f"test accuracy {right:.4f}" in capsys.readouterr().out
    for values in (exported.expected["output"], exported.model.predict({"picture": a}, verbose=0)["output"]):
        assert np.abs(values - known).max() < 1e-6
