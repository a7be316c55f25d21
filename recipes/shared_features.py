"""An LSTM whose features a shallow and a deep branch interpret (tutorial, section 3.4.2; 78,984 parameters).

    python -m keraskit.recipes.shared_features
    python -m keraskit.recipes.shared_features --timesteps 28 --epochs 5    # row by row: half a minute

The LSTM needs the same care as in the recipe lstm, which says why. At first its outputs differ little between digits,
so a large step can silence all units of a narrow branch for good; hence the warm-up.

Expected: test accuracy 0.9741 after 8 epochs, 10 min on two CPU cores.
"""

import keras
from keras import layers

import keraskit
from keraskit import Recipe, spread_gates
from keraskit.datasets import digits


def build(
    units: int = 128, deep: tuple[int, ...] = (64, 32, 16), timesteps: int = 784, classes: int = 10
) -> keras.Model:
    """784 standardised pixels in as a sequence, one probability per class out.

    Args:
        units: Units of the LSTM.
        deep: Units of the deep branch's layers; the shallow branch has one layer of 10.
        timesteps: 784 steps of one pixel, or 28 steps of one row.
    """
    inputs = keras.Input((timesteps, 784 // timesteps), name="input")
    lstm = layers.LSTM(units, name="lstm1")
    features = lstm(inputs)
    spread_gates(lstm, span=min(timesteps, 4 * 28))
    shallow = layers.Dense(10, activation="relu", name="interp1")(features)
    x = features
    for i, count in enumerate(deep, 1):
        x = layers.Dense(count, activation="relu", name=f"interp2{i}")(x)
    x = layers.Concatenate(name="merge")([shallow, x])
    outputs = layers.Dense(classes, activation="softmax", name="output")(x)
    return keras.Model(inputs, outputs, name="shared_features")


def compile_model(model: keras.Model, steps: int, learning_rate: float = 0.002) -> None:
    """Adam with clipped gradients; its learning rate rises at first, then falls along a cosine to zero.

    Args:
        learning_rate: Its peak; it falls from there along a cosine.
    """
    warmup = min(200, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / (warmup + 1), steps - warmup, warmup_target=learning_rate, warmup_steps=warmup
    )
    optimizer = keras.optimizers.Adam(schedule, clipnorm=1.0)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])


recipe = Recipe(
    build=build,
    compile=compile_model,
    data=digits.pixels,
    epochs=8,
    batch_size=64,
    section="3.4.2",
    expected={"test_accuracy": 0.9741},
    expected_spread={"test_accuracy": 0.0059},
)

if __name__ == "__main__":
    keraskit.main(recipe)
