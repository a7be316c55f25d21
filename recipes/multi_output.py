"""One sequence in, two answers out: the digit, and each next pixel (tutorial, section 3.5.2; 31,348 parameters).

    python -m keraskit.recipes.multi_output

Two losses are added: the digit's with weight 1, the next pixel's with weight 0.3, since it is a mean over 784
predictions, most of them easy. Always "dark" is right for 0.824 of the test pixels; the model, for 0.905.

Expected: test output1 accuracy 0.975, test output2 accuracy 0.9053 after 8 epochs, 8 min on two CPU cores.
"""

import keras
from keras import layers

import keraskit
from keraskit import Recipe, spread_gates
from keraskit.datasets import digits


def build(extract: int = 64, units: int = 32, classes: int = 10) -> keras.Model:
    """784 standardised pixels in; out `output1`, the class, and `output2`, the next pixel's brightness at each step.

    Args:
        extract: Units of the LSTM that both answers share.
        units: Units of the LSTM and of the dense layer that lead to the class.
    """
    inputs = keras.Input((784, 1), name="input")
    shared = layers.LSTM(extract, return_sequences=True, name="extract")
    sequence = shared(inputs)
    reader = layers.LSTM(units, name="class11")
    x = reader(sequence)
    spread_gates(shared, span=28)  # the next pixel is much like the one a row above it
    spread_gates(reader, span=4 * 28)  # the digit is read from the last state: see the recipe lstm
    x = layers.Dense(units, activation="relu", name="class12")(x)
    digit = layers.Dense(classes, activation="softmax", name="output1")(x)
    # The tutorial wraps this layer in TimeDistributed, which unrolls it into 784 copies. Dense works on the last axis.
    pixel = layers.Dense(10, activation="softmax", name="output2")(sequence)
    return keras.Model(inputs, {"output1": digit, "output2": pixel}, name="multi_output")


def compile_model(model: keras.Model, steps: int, learning_rate: float = 0.002) -> None:
    """Adam with clipped gradients; its learning rate rises at first, then falls along a cosine to zero.

    Args:
        learning_rate: Its peak; it falls from there along a cosine.
    """
    warmup = min(200, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / (warmup + 1), steps - warmup, warmup_target=learning_rate, warmup_steps=warmup
    )
    model.compile(
        optimizer=keras.optimizers.Adam(schedule, clipnorm=1.0),
        loss={"output1": "sparse_categorical_crossentropy", "output2": "sparse_categorical_crossentropy"},
        loss_weights={"output1": 1.0, "output2": 0.3},
        metrics={"output1": ["accuracy"], "output2": ["accuracy"]},
    )


recipe = Recipe(
    build=build,
    compile=compile_model,
    data=digits.next_pixels,
    epochs=8,
    batch_size=64,
    monitor="val_output1_accuracy",
    class_output="output1",
    figure=digits.brightness_pictures,
    section="3.5.2",
    expected={"test_output1_accuracy": 0.975, "test_output2_accuracy": 0.9053},
    expected_spread={"test_output1_accuracy": 0.0082},
)

if __name__ == "__main__":
    keraskit.main(recipe)
