"""Micro-batches are taken where they compute what the whole batch does, and nowhere else: plain Keras is the oracle."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keraskit.training.acceleration import accelerate, hindrance

random = np.random.default_rng(0)
X = random.normal(size=(22, 6, 3)).astype("float32")  # no multiple of the micro-batches
X[5:, 3:] = 0  # what Masking leaves out; more of it in later examples
WORDS = np.where(X[..., 0] == 0, 0, random.integers(1, 9, X.shape[:2]))
Y, STEPS = random.integers(0, 4, 22), random.integers(0, 4, (22, 6))
WEIGHTS, ONE_HOT = random.uniform(0.2, 3.0, 22).astype("float32"), np.eye(4, dtype="float32")[Y]
L, ENTROPY = keras.layers, keras.losses.SparseCategoricalCrossentropy
pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here


def layers(before=lambda: [], after=lambda: []):
    """Sequences in, four classes out; layers before and after the recurrent one."""

    def build():
        x = inputs = keras.Input((6, 3))
        for layer in [*before(), L.LSTM(5), *after()]:
            x = layer(x)
        return keras.Model(inputs, L.Dense(4)(x))

    return build


def two_ways():
    return keras.Sequential([keras.Input((6, 3)), L.Bidirectional(L.GRU(4)), L.Dense(4)])


class Mean(keras.layers.Layer):
    def call(self, x):
        return x - keras.ops.mean(x, axis=0)


def nested():
    inputs = keras.Input((5,))
    return keras.Model(inputs, inputs * keras.ops.std(inputs))


def words(masked=False):
    inputs = keras.Input((6,), dtype="int32")
    x = L.LSTM(5, return_sequences=True)(L.Embedding(9, 4, mask_zero=masked)(inputs))
    return keras.Model(inputs, L.TimeDistributed(L.Dense(4))(x))


def several():
    a, b = keras.Input((6, 3), name="a"), keras.Input((2,), name="b")
    x = L.LSTM(5, return_sequences=True)(a)
    whole = L.Concatenate()([L.LSTM(4)(x), b])
    steps = L.TimeDistributed(L.Dense(4), name="steps")(x)
    return keras.Model({"a": a, "b": b}, {"class": L.Dense(4, name="class")(whole), "steps": steps})


def own_activation(x):
    return x / (1.0 + keras.ops.max(keras.ops.abs(x)))


CASES = {  # build, inputs, targets, loss, sample weights
    "both weights": (layers(after=lambda: [L.Dense(5, kernel_regularizer="l2")]), X, Y, ENTROPY(True), WEIGHTS),
    "words": (words, WORDS, STEPS, ENTROPY(True), None),
    "two ways": (two_ways, X, Y, ENTROPY(True), None),
    "convolution": (layers(lambda: [L.Conv1D(4, 2), L.LayerNormalization()]), X, Y, ENTROPY(True), None),
    "several inputs and outputs": (several, {"a": X, "b": X[:, 0, :2]}, {"class": Y, "steps": STEPS},
                                   {"class": ENTROPY(True), "steps": ENTROPY(True)}, None),
    "an output without a loss": (several, {"a": X, "b": X[:, 0, :2]}, {"class": Y, "steps": STEPS},
                                 {"class": ENTROPY(True)}, None),
    "one output in a dict": (lambda: keras.Model((m := two_ways()).inputs, {"sold": m.outputs[0]}), X, {"sold": Y},
                             {"sold": ENTROPY(True)}, None),
    "regularised outputs": (layers(after=lambda: [L.Dense(5, activity_regularizer="l2")]), X, Y, ENTROPY(True), None),
    "batch normalisation": (layers(after=lambda: [L.BatchNormalization()]), X, Y, ENTROPY(True), None),
    "masked words": (lambda: words(True), WORDS, STEPS, ENTROPY(True), None),
    "a sum": (layers(), X, Y, ENTROPY(True, reduction="sum"), None),
    "a weighted mean": (layers(), X, Y, ENTROPY(True, reduction="mean_with_sample_weight"), WEIGHTS),
    "an ignored class": (layers(), X, Y, ENTROPY(True, ignore_class=2), None),
    "overlap": (layers(), X, ONE_HOT, keras.losses.Dice(), None),
    "a loss of one's own": (layers(), X, ONE_HOT, lambda y, p: keras.ops.mean(keras.ops.square(p)) ** 2, None),
    "a layer of one's own": (layers(after=lambda: [Mean()]), X, Y, ENTROPY(True), None),
    "an operation": (layers(after=lambda: [lambda x: x - keras.ops.mean(x, axis=0)]), X, Y, ENTROPY(True), None),
    "an operation in a model within": (layers(after=lambda: [nested()]), X, Y, ENTROPY(True), None),
    "an activation of one's own": (layers(after=lambda: [L.Dense(5, own_activation)]), X, Y, ENTROPY(True), None),
}  # fmt: skip
SAME = list(CASES)[: list(CASES).index("batch normalisation")]


def learned(name, micro_batches):
    """Weights, losses and metrics of Keras's own fit, on a batch of 22 and one of 11."""
    build, x, y, loss, weights = CASES[name]
    keras.utils.set_random_seed(1)
    model = build()
    metrics = {name: ["accuracy"] for name in loss} if isinstance(loss, dict) else ["accuracy"]
    if micro_batches > 1:
        accelerate(model, micro_batches, False)
    optimizer = keras.optimizers.Adam(0.1) if name == "words" else keras.optimizers.SGD(0.5)
    model.compile(optimizer, loss, metrics=metrics)
    examples = (x, y) if weights is None else (x, y, weights)
    batches = tf.data.Dataset.from_tensor_slices(keras.tree.map_structure(lambda v: np.append(v, v[:11], 0), examples))
    logs = model.fit(batches.batch(22), verbose=0).history
    return model.get_weights(), {name: value for name, (value,) in logs.items()}


@pytest.mark.parametrize("name", CASES)
def test_micro_batches_are_taken_where_they_learn_what_the_whole_does(name):
    model = CASES[name][0]()
    model.compile("sgd", CASES[name][3])
    assert bool(hindrance(model)) == (name not in SAME)
    if name in SAME:
        (whole, logs), (ours, said) = learned(name, 1), learned(name, 4)
        for a, b in zip(ours, whole, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-6)
        assert said == pytest.approx(logs, abs=1e-5)
