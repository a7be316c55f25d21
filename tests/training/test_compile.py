"""A recipe's `compile` is obeyed, whatever loss, metrics and averages it asks for: plain Keras is the oracle."""

import keras
import numpy as np
import pytest
from keras.callbacks import LambdaCallback, SwapEMAWeights

import keraskit
from keraskit import Recipe, from_arrays
from keraskit.datasets.splits import ShuffledEpochs
from keraskit.datasets.splitting import cut
from keraskit.runs.folder import RunFolder

random = np.random.default_rng(0)
X = random.normal(size=(160, 6)).astype("float32")
LABELS = (X @ random.normal(size=(6, 3)) > 0).astype("float32")  # several at once
BATCH, EPOCHS, SEED = 16, 3, 4
pytestmark = pytest.mark.usefixtures("undrawn", "uncompiled")  # no pictures are looked at here


def dense(outputs, activation, dropout=0.2):
    def build() -> keras.Model:
        inputs = keras.Input((6,), name="input")
        hidden = keras.layers.Dense(8, activation="relu", name="hidden")(inputs)
        hidden = keras.layers.Dropout(dropout, seed=1, name="dropout")(hidden)
        return keras.Model(inputs, keras.layers.Dense(outputs, activation, name="output")(hidden))

    return build


def several_labels(model, steps):
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([steps // 3, steps // 2], [0.03, 0.01, 0.003])
    model.compile(keras.optimizers.RMSprop(rate, momentum=0.5), "binary_crossentropy", metrics=["binary_accuracy"])


class Bare(keras.optimizers.schedules.InverseTimeDecay):
    get_config = keras.optimizers.schedules.LearningRateSchedule.get_config  # which raises: it is optional


def own_loss(model, steps):
    calls = keras.Variable(0.0, trainable=False)  # of training and validation alone

    def loss(y, predicted):
        warm = keras.ops.minimum(calls.assign_add(0.1), 1.0)
        return warm * (keras.ops.mean(keras.ops.square(y - predicted)) + keras.ops.std(predicted))

    rate = Bare(0.1, steps, 0.9, staircase=True)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9, nesterov=True), loss, metrics=["mae"])


def averages(model, steps):
    model.compile(keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9), "mse", metrics=["mae"])


RUNS = {  # how it is built and compiled, what it learns, and what Keras needs beside that to do what is asked
    "three sigmoids": (dense(3, "sigmoid"), several_labels, LABELS, []),
    "a loss of one's own": (dense(3, None), own_loss, LABELS, []),
    "averages": (dense(1, None, 0.0), averages, X.sum(1, keepdims=True), [SwapEMAWeights()]),
}


def recipe(name, **more):
    build, compile_model, y, _ = RUNS[name]
    known = {"data": from_arrays(X[:120], y[:120], X[120:], y[120:]), "epochs": EPOCHS, "batch_size": BATCH}
    return Recipe(build=build, compile=compile_model, monitor="val_loss", **known, **more)


def by_hand(name):
    """History of one `fit` on the same batches by Keras alone, the weights that were best, and the test's metrics."""
    build, compile_model, y, callbacks = RUNS[name]
    train, held = map(np.sort, cut(120, (5, 1)))
    steps = -(-len(train) // BATCH)
    keras.utils.set_random_seed(SEED)
    model = build()
    compile_model(model, EPOCHS * steps)
    model.jit_compile = False
    order, validated = ShuffledEpochs(recipe(name).data().train, BATCH, SEED), []

    def batches():
        for epoch in range(EPOCHS):
            chosen = train[np.concatenate([i.numpy() for i, *_ in order.drawn(np.int64(epoch))])]
            for i in range(0, len(chosen), BATCH):
                yield X[chosen[i : i + BATCH]], y[chosen[i : i + BATCH]]

    keep = LambdaCallback(on_test_end=lambda _: validated.append(model.get_weights()))  # before they are swapped back
    history = model.fit(
        batches(), steps_per_epoch=steps, epochs=EPOCHS, validation_data=(X[held], y[held]),
        validation_batch_size=BATCH, callbacks=[keep, *callbacks], verbose=0,
    ).history  # fmt: skip
    best = int(np.argmin(history["val_loss"]))
    model.set_weights(validated[best])
    return history, best, validated[best], model.evaluate(X[120:], y[120:], BATCH, verbose=0, return_dict=True)


@pytest.mark.parametrize(("name", "precision"), [*((name, "float32") for name in RUNS), ("averages", "bfloat16")])
def test_a_run_is_what_plain_keras_does_and_what_was_validated_is_saved_and_tested(name, precision, tmp_path):
    """To the bit, but for averages, which Keras takes in another way, and where fewer bits are asked for."""
    swap = {"callbacks": lambda: [SwapEMAWeights(swap_on_epoch=True)]} if precision == "bfloat16" else {}
    result = keraskit.run(recipe(name, **swap), seed=SEED, xla="off", precision=precision, output_dir=tmp_path)
    close = 0.03 if precision == "bfloat16" else 1e-5 if name == "averages" else 0
    history, best, weights, metrics = by_hand(name)
    for key, values in history.items():
        assert [row[key] for row in result.history] == pytest.approx(values, rel=close, abs=0), key
    for ours, theirs in zip(result.model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=close)
    saved = keras.models.load_model(result.folder / "model.keras")
    assert {each.compute_dtype for each in saved.layers} == {w.dtype for w in result.model.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    assert result.metrics == pytest.approx(metrics, rel=close or 1e-5)
    validation = RunFolder(result.folder).read_json("metrics.json")["validation"]
    assert validation["loss"] == pytest.approx(history["val_loss"][best], rel=close or 1e-5)
