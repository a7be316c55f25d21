"""LSTM layers that take their steps back in blocks answer and learn as Keras's own, which are the oracle."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keraskit.training.acceleration import accelerate, in_blocks, is_plain

L = keras.layers


def layer(**options):
    made = L.LSTM(5, return_state=True, **options)
    made.build((None, None, 3))
    random = np.random.default_rng(1)
    made.set_weights([random.normal(size=each.shape, scale=0.7) for each in made.get_weights()])
    return made


def answers(model, x, h, c, weights):
    with tf.GradientTape() as tape:
        tape.watch([x, h, c])
        found = model([x, h, c])
        total = tf.add_n([tf.reduce_sum(a * b) for a, b in zip(found, weights, strict=True)])
    return [*found, *tape.gradient(total, [x, h, c, *model.trainable_variables])]


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("steps, backwards", [(1, False), (12, True), (37, False)])  # some in blocks
def test_outputs_states_and_all_gradients_are_those_of_keras(steps, backwards, every):
    random = np.random.default_rng(steps)
    x, *states = (tf.constant(random.normal(size=s), tf.float32) for s in ((4, steps, 3), (4, 5), (4, 5)))
    outputs = (4, steps, 5) if every else (4, 5)
    weights = [tf.constant(random.normal(size=s), tf.float32) for s in (outputs, (4, 5), (4, 5))]
    inputs = [keras.Input(each.shape[1:]) for each in (x, *states)]
    lstm_layer = layer(return_sequences=every, go_backwards=backwards)
    model = keras.Model(inputs, lstm_layer(inputs[0], initial_state=inputs[1:]))
    keras_has = answers(model, x, *states, weights)
    with in_blocks(model):
        ours = tf.function(lambda *given: answers(model, *given), jit_compile=True)(x, *states, weights)
    for a, b in zip(ours, keras_has, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5 * float(tf.reduce_max(tf.abs(b))))
    assert "inner_loop" not in vars(model.layers[-1]), "the layer is Keras's own again"


@pytest.mark.parametrize("options", [
    {"activation": "relu"}, {"recurrent_activation": "hard_sigmoid"}, {"dropout": 0.1}, {"recurrent_dropout": 0.1},
    {"use_bias": False}, {"unroll": True}, {"stateful": True}, {"dtype": "mixed_bfloat16"},
], ids=str)  # fmt: skip
def test_a_layer_that_computes_something_else_stays_with_keras(options):
    class Own(L.LSTM):
        pass

    assert is_plain(L.LSTM(5)) and not is_plain(L.LSTM(5, **options))
    assert not any(map(is_plain, [Own(5), L.GRU(5), L.RNN(L.LSTMCell(5))]))


def test_masked_steps_and_lengths_that_vary_are_left_to_keras():
    random = np.random.default_rng(0)
    x = random.normal(size=(4, 6, 3)).astype("float32")
    x[2:, 3:] = 0
    for before, shape in ((L.Masking(), (6, 3)), (L.Identity(), (None, 3))):
        inputs = keras.Input(shape)
        model = keras.Model(inputs, L.LSTM(5)(before(inputs)))
        wanted = model(x)
        with in_blocks(model):
            np.testing.assert_allclose(model(x), wanted, atol=1e-6)


def test_a_fit_learns_what_keras_learns_and_says_nothing_and_its_model_is_keras_own(capfd, tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(22, 14, 3)).astype("float32")
    y = {"steps": random.integers(0, 4, (22, 14)), "class": random.integers(0, 4, 22)}

    def learned(ours):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((14, 3))
        every = L.LSTM(4, return_sequences=True)(inputs)
        mean = L.GlobalAveragePooling1D()(every)
        ends = {"steps": L.Dense(4, name="steps")(every), "class": L.Dense(4, name="class")(mean)}
        model = keras.Model(inputs, ends)
        loss = keras.losses.SparseCategoricalCrossentropy(True)
        if ours:
            accelerate(model, 2, True)
        model.compile(keras.optimizers.SGD(0.5), {"steps": loss, "class": loss})
        history = model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(11), verbose=0).history
        model.save(tmp_path / "model.keras")
        return model.get_weights(), history

    (keras_has, logs), (ours, said) = learned(False), learned(True)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (type(loaded).__name__, int(loaded.optimizer.iterations)) == ("Functional", 2)
    for a, b in zip(ours, keras_has, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)
    for name, values in logs.items():
        assert said[name] == pytest.approx(values, abs=1e-5)
    assert capfd.readouterr().err == ""
