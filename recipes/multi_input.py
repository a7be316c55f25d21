"""Two inputs, the same picture large and grey, and small and in colour (tutorial, section 3.5.1; 424,874 parameters).

    python -m keraskit.recipes.multi_input
    python -m keraskit.recipes.multi_input --dataset cifar10      # colours that are real, where Keras can download it

The two pictures are made from the data set's one while training goes on, and fed by name: `model.predict({...})`.

Expected: test accuracy 0.9922 after 6 epochs, 81 s on two CPU cores with bfloat16.
"""

import keras
from keras import layers

import keraskit
from keraskit import Recipe
from keraskit.datasets import digits


def build(filters: tuple[int, int] = (32, 16), kernel_size: int = 4, classes: int = 10) -> keras.Model:
    """A 64x64 grey and a 32x32 RGB picture, from 0 to 1, in; one probability per class out.

    Args:
        filters: Filters of each branch's first and second convolution.
        kernel_size: Height and width of their kernels, in pixels.
    """
    grey = keras.Input((64, 64, 1), name="img_gray_bigsize")
    colour = keras.Input((32, 32, 3), name="img_rgb_smallsize")
    branches = []
    for i, x in enumerate((grey, colour), 1):
        for j, count in enumerate(filters, 1):
            x = layers.Conv2D(count, kernel_size, activation="relu", name=f"conv{i}{j}")(x)
            x = layers.MaxPooling2D(name=f"pool{i}{j}")(x)
        branches.append(layers.Flatten(name=f"flatten{i}")(x))
    x = layers.Concatenate(name="concatenate")(branches)
    x = layers.Dense(128, activation="relu", name="hidden1")(x)
    x = layers.Dense(64, activation="relu", name="hidden2")(x)
    outputs = layers.Dense(classes, activation="softmax", dtype="float32", name="output")(x)  # not in bfloat16
    return keras.Model({"img_gray_bigsize": grey, "img_rgb_smallsize": colour}, outputs, name="multi_input")


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
    data=digits.two_sizes,
    epochs=6,
    batch_size=128,
    section="3.5.1",
    expected={"test_accuracy": 0.9922},
)

if __name__ == "__main__":
    keraskit.main(recipe)
