"""Convolutional network on MNIST, two convolutions (tutorial, section 3.3.2; 199,562 parameters).

    python -m keraskit.recipes.cnn
    python -m keraskit.recipes.cnn --epochs 3 --limit 10000

The tutorial's graph has no Flatten, so it ends in one prediction for each of 4x4 positions and cannot be trained on one
label per image. Its text says "a fully connected layer to interpret the features": that is what `build` makes.

Expected: test accuracy 0.9929 after 8 epochs, 82 s on two CPU cores with bfloat16.
"""

import keras
from keras import layers

import keraskit
from keraskit import Recipe
from keraskit.datasets import digits


def build(
    filters: tuple[int, int] = (128, 64), kernel_size: int = 4, classes: int = 10, as_printed: bool = False
) -> keras.Model:
    """28x28 grey pixels from 0 to 1 in, one probability per class out.

    Args:
        filters: Filters of the two convolutions.
        kernel_size: Height and width of their kernels, in pixels.
        as_printed: The tutorial's graph, without Flatten: output (4, 4, classes). It can be looked at, not trained.
    """
    inputs = keras.Input((28, 28, 1), name="input")
    x = layers.Conv2D(filters[0], kernel_size, activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(filters[1], kernel_size, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    if not as_printed:
        x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(64, activation="relu", name="hidden1")(x)
    outputs = layers.Dense(classes, activation="softmax", dtype="float32", name="output")(x)  # not in bfloat16
    return keras.Model(inputs, outputs, name="cnn")


def compile_model(model: keras.Model, steps: int, learning_rate: float = 0.002) -> None:
    """Adam; the learning rate falls along a cosine to zero.

    Args:
        learning_rate: Its peak; it falls from there along a cosine.
    """
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])


recipe = Recipe(
    build=build,
    compile=compile_model,
    data=digits.images,
    epochs=8,
    batch_size=128,
    section="3.3.2",
    expected={"test_accuracy": 0.9929},
)

if __name__ == "__main__":
    keraskit.main(recipe)
