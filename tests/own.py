"""A recipe in a file of one's own, as users write them, for tests that change, resume or distribute it."""

SOURCE = '''"""A regression of one's own."""

import keras
import numpy as np

import keraskit
from keraskit import Recipe, from_arrays

UNITS = 8


def build(units: int = UNITS, depth: int = int("2"), activation: str = "tanh") -> keras.Model:
    """Three numbers in, one out.

    Args:
        units: Of each hidden layer.
    """
    inputs = hidden = keras.Input((3,))
    for _ in range(depth):
        hidden = keras.layers.Dense(units, activation)(hidden)
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dropout(0.2)(hidden)))


def compile_model(model, steps, learning_rate=10.0**-1, cosine: bool = False, betas=(0.9, 0.999)):
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps) if cosine else learning_rate
    model.compile(keras.optimizers.Adam(rate, *betas), "mse", metrics=["mae"])


def callbacks():
    keras.ops.transpose([[True]])  # which oneDNN leaves to others, and says so, without AVX-512
    return []


x = np.random.default_rng(0).normal(size=(200, 3)).astype("float32")
data = from_arrays(x[:150], x[:150, :1], x[150:], x[150:, :1])  # 125 to train on, 8 steps an epoch
PARTS = dict(build=build, compile=compile_model, callbacks=callbacks, data=data, epochs=2, batch_size=16,
             monitor="val_loss")
recipe = Recipe(**PARTS, section="3", expected={"test_mae": 9.0})

if __name__ == "__main__":
    keraskit.main(recipe)
'''
LAST = next(line for line in SOURCE.splitlines() if line.startswith("recipe ="))
