"""Averages of weights (`use_ema`) are validated, saved and tested: Keras with SwapEMAWeights is the oracle."""

import keras
import numpy as np
import pytest
from keras.callbacks import SwapEMAWeights

import keraskit
from keraskit import Recipe, from_arrays
from keraskit.datasets.epochs import ShuffledEpochs
from keraskit.runs.folder import RunFolder

random = np.random.default_rng(0)
X = random.random((170, 6)).astype("float32")
Y = X.sum(1, keepdims=True)
BATCH, EPOCHS, SEED = 16, 3, 2

pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here


def build() -> keras.Model:
    inputs = keras.Input((6,), name="input")
    hidden = keras.layers.Dense(8, activation="relu", name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(1, name="output")(hidden))


def sgd(model):
    model.compile(keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9), "mse", metrics=["mae"])


DATA = from_arrays(X[:100], Y[:100], X[120:], Y[120:], x_validation=X[100:120], y_validation=Y[100:120])


def run(folder, callbacks=(), **knobs):
    recipe = Recipe(build=build, compile=sgd, data=DATA, epochs=EPOCHS, batch_size=BATCH, monitor="val_loss",
                    callbacks=lambda: [*callbacks])  # fmt: skip
    return keraskit.run(recipe, output_dir=folder, seed=SEED, xla="off", **knobs)


@pytest.fixture(scope="module")
def by_hand():
    """History and model of one `fit` on the same batches, by Keras alone."""
    keras.utils.set_random_seed(SEED)
    model = build()
    sgd(model)
    order, steps = ShuffledEpochs(DATA().train, BATCH, SEED), -(-100 // BATCH)

    def batches():
        for epoch in range(EPOCHS):
            chosen = np.concatenate([i.numpy() for i, *_ in order.drawn(np.int64(epoch))])
            for i in range(0, 100, BATCH):
                yield X[chosen[i : i + BATCH]], Y[chosen[i : i + BATCH]]

    history = model.fit(
        batches(), steps_per_epoch=steps, epochs=EPOCHS, validation_data=(X[100:120], Y[100:120]),
        validation_batch_size=BATCH, callbacks=[SwapEMAWeights()], verbose=0,
    ).history  # fmt: skip
    assert history["val_loss"] == sorted(history["val_loss"], reverse=True)  # the last epoch is the best
    return history, model


@pytest.mark.parametrize(
    ("callbacks", "precision"), [([], "float32"), ([SwapEMAWeights(swap_on_epoch=True)], "bfloat16")]
)
def test_what_was_validated_is_what_is_saved_and_tested(by_hand, callbacks, precision, tmp_path):
    history, model = by_hand
    result = run(tmp_path, callbacks, precision=precision)
    close = 1e-5 if precision == "float32" else 0.03
    for name in history:
        assert [row[name] for row in result.history] == pytest.approx(history[name], rel=close), name
    for ours, theirs in zip(result.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=close)
    written = RunFolder(result.folder).read_json("metrics.json")
    assert written["validation"]["loss"] == pytest.approx(history["val_loss"][-1], rel=close)
    assert result.metrics == pytest.approx(model.evaluate(X[120:], Y[120:], verbose=0, return_dict=True), rel=close)
