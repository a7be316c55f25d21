"""A run's figures and predictions are what its saved model says, at its batch size: plain Keras is the oracle."""

import dataclasses

import keras
import numpy as np
import pytest
import sklearn.metrics as scikit
import tensorflow as tf
from keras import layers, ops

import keraskit
from keraskit import Recipe, from_arrays
from keraskit.datasets.digits import load_mnist
from keraskit.datasets.splits import Split
from keraskit.errors import UserError
from keraskit.runs import predictions
from keraskit.runs.folder import RunFolder
from keraskit.runs.results import by_output
from keraskit.training import evaluate, fit

random = np.random.default_rng(0)
X = random.normal(size=(170, 6)).astype("float32")
Y = (X @ random.normal(size=(6, 2))).astype("float32")
BATCH = 16  # of which neither 50 test examples nor 20 of validation are a multiple
pytestmark = pytest.mark.usefixtures("undrawn", "uncompiled")  # no pictures are looked at here


class OwnTestStep(keras.Model):
    """Adds a penalty to the loss in `test_step`, and calls the model twice."""

    def test_step(self, data):
        x, y, *_ = data
        self(x + 1.0, training=False)
        loss = self.compute_loss(x, y, self(x, training=False), training=False) + 10.0
        self._loss_tracker.update_state(loss)
        return self.compute_metrics(x, y, self(x, training=False))


class OwnSteps(keras.Model):
    """Compiled without a loss, as variational autoencoders are; never calls itself; its logs have other names."""

    def __init__(self, inputs, outputs, **options):
        super().__init__(inputs, outputs, **options)
        self.total, self.part = keras.metrics.Mean(name="total_tracker"), keras.metrics.Mean(name="part")

    @property
    def metrics(self):
        return [self.total, self.part]

    def seen(self, data):
        part = ops.mean(ops.square(data[1] - self.layers[-1](self.layers[-2](data[0]))))
        loss = part + ops.mean(ops.abs(self.layers[-1].kernel))
        self.total.update_state(loss)
        self.part.update_state(part)
        return loss, {"loss": self.total.result(), "part": self.part.result()}

    def train_step(self, data):
        with tf.GradientTape() as tape:
            loss, logs = self.seen(data)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return logs

    def test_step(self, data):
        return self.seen(data)[1]


class Adds(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.size = keras.metrics.Mean(name="size")

    def call(self, inputs):
        self.add_loss(ops.sum(ops.square(inputs)) * 0.01)
        self.size.update_state(ops.mean(ops.abs(inputs)))
        return inputs


def model(kind=keras.Model, inside=lambda x: x, **last):
    def build() -> keras.Model:
        inputs = keras.Input((6,), name="input")
        hidden = inside(layers.Dense(4, activation="tanh", name="hidden")(inputs))
        return kind(inputs, layers.Dense(2, name="output", **last)(hidden))

    return build


def two() -> keras.Model:
    inputs = keras.Input((6,), name="input")
    return keras.Model(inputs, {name: layers.Dense(1, name=name)(inputs) for name in ("one", "other")})


by = keras.losses.MeanSquaredError
WEIGHTS = {"one": 1.0, "other": 0.1}
BOTH = {"one": Y[:, :1], "other": Y[:, 1:]}
MODELS = {  # how it is built, compiled, and what it learns
    "summed loss": (model(), {"loss": by(reduction="sum"), "metrics": ["mse"]}, Y),
    "add_loss": (model(inside=lambda x: Adds(name="adds")(x)), {"loss": "mse"}, Y),
    "own test_step": (model(OwnTestStep), {"loss": "mse", "metrics": ["mae"]}, Y),
    "own steps": (model(OwnSteps), {}, Y),
    "several outputs": (two, {"loss": {"one": "mse", "other": by(reduction="sum")}, "loss_weights": WEIGHTS}, BOTH),
}


def recipe(name, **more):
    build, rest, y = MODELS[name]

    def of(where):
        return {key: value[where] for key, value in y.items()} if isinstance(y, dict) else y[where]

    def compile_model(model):
        model.compile(keras.optimizers.SGD(0.01), **rest)

    splits = slice(0, 100), slice(100, 120), slice(120, 170)
    train, validation, test = ((X[s], of(s)) for s in splits)
    data = from_arrays(*train, *test, x_validation=validation[0], y_validation=validation[1])
    known = {"data": data, "epochs": 2, "batch_size": BATCH, "monitor": ("val_loss", "min")} | more
    return Recipe(build=build, compile=compile_model, **known), validation, test


@pytest.mark.parametrize("name", MODELS)
def test_validation_and_test_are_what_evaluate_says_of_the_saved_model(name, tmp_path):
    ours, *pairs = recipe(name, expected={"test_none": 1.0} if name == "own steps" else {})
    result = keraskit.run(ours, output_dir=tmp_path)
    folder = RunFolder(result.folder)
    said = "test none is expected to be 1.0, and is not measured"  # which is known at the end
    assert folder.read_json("run.json")["verdict"] == said * (name == "own steps")
    saved = ours.build()
    saved.load_weights(folder.path / "model.keras")
    ours.compile(saved)
    written = folder.read_json("metrics.json")
    for split, (x, y) in zip(("validation", "test"), pairs, strict=True):
        says = saved.evaluate(x, y, batch_size=BATCH, verbose=0, return_dict=True)
        assert written[split] == pytest.approx(says, abs=1e-6), split
        kept = predictions.read(folder, split).predictions
        predicted = saved.predict(x, verbose=0)
        for output, values in (predicted if isinstance(predicted, dict) else {"": predicted}).items():
            np.testing.assert_allclose(kept[output], values, atol=1e-6)
    assert result.metrics == written["test"]
    best = folder.read_history()[written["best_epoch"] - 1]
    assert {k: best[f"val_{k}"] for k in written["validation"]} == pytest.approx(written["validation"], abs=1e-5)


def test_what_draws_at_random_is_measured_the_same_again():
    class Draws(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.seeds = keras.random.SeedGenerator()

        def call(self, inputs):
            drawn = keras.random.normal(ops.shape(inputs), seed=self.seeds)
            return inputs + drawn + keras.random.normal(ops.shape(inputs))

    drawn = model(inside=lambda x: Draws(name="draws")(x))()
    drawn.compile("sgd", "mse")
    first, again = (evaluate.infer(drawn, {"test": Split.of(X, Y)}, BATCH)["test"] for _ in range(2))
    assert first[0] == again[0]
    np.testing.assert_array_equal(first[1].predictions[""], again[1].predictions[""])
    assert np.abs(drawn.predict(X, verbose=0) - first[1].predictions[""]).max() > 0.1


def test_a_misspelt_output_of_a_loss_or_of_targets_is_refused_with_the_one_that_was_meant(tmp_path):
    ours, y = recipe("several outputs")[0], {"one": Y[:, :1], "othr": Y[:, 1:]}
    loss = {"compile": lambda model: model.compile("sgd", dict.fromkeys(y, "mse"))}
    for wrong, says in ((loss, r"The path: \('othr',\)"), ({"data": from_arrays(X, y, X, y)}, "no output 'othr'")):
        with pytest.raises(UserError, match=f"{says}.* Did you mean other\\?"):
            keraskit.run(dataclasses.replace(ours, **wrong), output_dir=tmp_path)


def test_a_batch_that_the_device_cannot_hold_is_one_line_that_names_a_smaller_one():
    with pytest.raises(UserError, match=r"A batch of 16 .* --batch-size 8\.") as error, fit.enough_memory(16):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmuch")
    assert "\n" not in str(error.value)


# predictions.npz: what it holds, what it cannot hold


def test_a_runs_predictions_are_its_saved_models_and_give_its_figures(tiny_run):
    arrays, _ = load_mnist()
    facts = RunFolder(tiny_run.folder).read_json("run.json")
    model = keras.models.load_model(tiny_run.folder / "model.keras", compile=False)
    x_train, x_test = (arrays[name].reshape(-1, 784) / np.float32(255) for name in ("x_train", "x_test"))
    true = {"test": (x_test[:512], arrays["y_test"][:512])}
    true["validation"] = x_train[55_000:][:512], arrays["y_train"][55_000:][:512]
    for split, (x, y) in true.items():
        found = predictions.read(RunFolder(tiny_run.folder), split)
        assert np.array_equal(found.labels, y) and np.array_equal(found.targets[""], y) and found.names is None
        assert np.abs(found.of_classes(facts)[1] - model.predict(x, verbose=0)).max() < 1e-6
    labels, probabilities = predictions.read(RunFolder(tiny_run.folder)).of_classes(facts)
    assert scikit.accuracy_score(labels, probabilities.argmax(axis=1)) == pytest.approx(tiny_run.metrics["accuracy"])
    assert scikit.log_loss(labels, probabilities) == pytest.approx(tiny_run.metrics["loss"], rel=1e-4)


def inferred(outputs, targets, loss="mse"):
    """What is kept of a model that gives these outputs, shape (1, ...), whatever comes in."""

    def constant(value):
        return keras.layers.Lambda(lambda x: value + 0 * keras.ops.reshape(x[:, :1], (-1, *[1] * (value.ndim - 1))))

    inputs = keras.Input((2,))
    made = {name: constant(value)(inputs) for name, value in outputs.items()}
    model = keras.Model(inputs, made if set(made) != {""} else made[""])
    model.compile(loss=loss)
    split = Split.of(np.zeros((5, 2), np.float32), targets if set(targets) != {""} else targets[""])
    return evaluate.infer(model, {"test": split}, 2)["test"][1]


def test_what_is_not_finite_is_never_written_and_what_is_bfloat16_can_be_read(tmp_path):
    folder, found = RunFolder(tmp_path), inferred({"": np.float32([[np.inf]])}, {"": np.zeros((5, 1))})
    with pytest.raises(UserError, match="answers test examples with NaN or infinity"):
        predictions.write(folder, {"test": found})
    small = by_output(keras.ops.convert_to_numpy(keras.ops.ones((5, 1), dtype="bfloat16")), None)
    predictions.write(folder, {"test": predictions.SplitPredictions(None, {}, small, names := [*"abcdü"])})
    assert predictions.read(folder).predictions[""].tolist() == [[1.0]] * 5 and predictions.read(folder).names == names
    assert predictions.read(RunFolder(tmp_path / "elsewhere")) is None


def test_of_a_sequence_of_classes_the_most_probable_ones_are_kept():
    steps = np.eye(3, dtype=np.float32)[None, [2, 0, 1, 1]]
    kept = inferred({"": steps}, {"": np.zeros((5, 4), np.int32)}, loss="sparse_categorical_crossentropy")
    assert kept.predictions[""].dtype == np.uint8 and kept.predictions[""].tolist() == [[2, 0, 1, 1]] * 5
    of_one = inferred({"": steps[..., :1]}, {"": np.zeros((5, 4), np.int32)})  # a probability, or a count
    assert (of_one.predictions[""] == steps[..., :1]).all()
