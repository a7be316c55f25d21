"""A recipe's `compile` is obeyed, whatever loss, metrics and weights it asks for: plain Keras is the oracle."""

import keras
import numpy as np
import pytest

import keraskit
from keraskit import Recipe, from_arrays
from keraskit.datasets.epochs import ShuffledEpochs
from keraskit.datasets.splitting import cut

random = np.random.default_rng(0)
X = random.normal(size=(160, 6)).astype("float32")
LABELS = (X @ random.normal(size=(6, 3)) > 0).astype("float32")  # several at once
BATCH, EPOCHS, SEED = 16, 3, 4


pytestmark = pytest.mark.usefixtures("undrawn", "uncompiled")  # no pictures are looked at here


def dense(outputs, activation):
    def build() -> keras.Model:
        inputs = keras.Input((6,), name="input")
        hidden = keras.layers.Dense(8, activation="relu", name="hidden")(inputs)
        hidden = keras.layers.Dropout(0.2, seed=1, name="dropout")(hidden)
        return keras.Model(inputs, keras.layers.Dense(outputs, activation, name="output")(hidden))

    return build


def several_labels(model, steps):
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([steps // 3, steps // 2], [0.03, 0.01, 0.003])
    model.compile(keras.optimizers.RMSprop(rate, momentum=0.5), "binary_crossentropy", metrics=["binary_accuracy"])


def own_loss(model, steps):
    def loss(y, predicted):
        return keras.ops.mean(keras.ops.square(y - predicted)) + keras.ops.std(predicted)

    rate = keras.optimizers.schedules.InverseTimeDecay(0.1, steps, 0.9, staircase=True)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9, nesterov=True), loss, metrics=["mae"])


RUNS = {
    "three sigmoids": (dense(3, "sigmoid"), several_labels, X, LABELS),
    "a loss of one's own": (dense(3, None), own_loss, X, LABELS),
}


def recipe(name):
    build, compile_model, x, y = RUNS[name]
    data = from_arrays(x[:120], y[:120], x[120:], y[120:])
    return Recipe(build=build, compile=compile_model, data=data, epochs=EPOCHS, batch_size=BATCH, monitor="val_loss")


def by_hand(name):
    """History, the best epoch's weights, and the test's metrics, by Keras alone on the same batches."""
    build, compile_model, x, y = RUNS[name]
    train, chosen = map(np.sort, cut(120, (5, 1)))
    x_train, y_train, held = x[train], y[train], (x[chosen], y[chosen])
    steps = EPOCHS * -(-len(x_train) // BATCH)
    keras.utils.set_random_seed(SEED)
    model = build()
    compile_model(model, steps)
    model.jit_compile = False
    order, history, best = ShuffledEpochs(recipe(name).data().train, BATCH, SEED), [], {}
    for epoch in range(EPOCHS):
        chosen = np.concatenate([i.numpy() for i, *_ in order.drawn(np.int64(epoch))])
        row = model.fit(
            x_train[chosen], y_train[chosen], BATCH, initial_epoch=epoch, epochs=epoch + 1, shuffle=False,
            validation_data=held, validation_batch_size=BATCH, verbose=0,
        ).history  # fmt: skip
        history.append({key: values[0] for key, values in row.items()})
        best[row["val_loss"][0]] = model.get_weights()
    model.set_weights(best[min(best)])
    return history, best[min(best)], model.evaluate(x[120:], y[120:], BATCH, verbose=0, return_dict=True)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_what_plain_keras_does(name, tmp_path):
    result = keraskit.run(recipe(name), seed=SEED, xla="off", output_dir=tmp_path)
    history, weights, metrics = by_hand(name)
    assert [{key: row[key] for key in history[0]} for row in result.history] == history
    assert [w.tobytes() for w in result.model.get_weights()] == [w.tobytes() for w in weights]
    assert result.metrics == pytest.approx(metrics, abs=1e-5)
