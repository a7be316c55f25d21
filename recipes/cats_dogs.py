"""Cats and dogs from scratch, a small convolutional network (tutorial, sections 6.4 and 6.5; 3,453,121 parameters).

    python -m keraskit.recipes.cats_dogs --data-dir train.zip
    python -m keraskit.recipes.cats_dogs --download

--data-dir takes Kaggle's train.zip, its folder, or any folder with a subfolder per class; --download fetches the public
archive; without either it learns pets that keraskit draws. It soon over-fits, which the next three recipes counter.

Expected: test accuracy 0.7468 on 1,752 photographs after 30 epochs, 3 min on two CPU cores with bfloat16.
"""

import keras
from keras import layers

import keraskit
from keraskit import Recipe
from keraskit.datasets.images import cats_and_dogs


def build(size: int = 150, classes: int = 2, dropout: float = 0.0) -> keras.Model:
    """RGB pixels from 0 to 1 in; one probability, of the second class, out; of more than two classes one each.

    Args:
        size: Height and width of the input, in pixels.
        dropout: Rate before the dense layers.
    """
    model = keras.Sequential([keras.Input((size, size, 3), name="input")], name="cats_dogs")
    for i, filters in enumerate((32, 64, 128, 128), 1):
        model.add(layers.Conv2D(filters, 3, activation="relu", name=f"conv{i}"))
        model.add(layers.MaxPooling2D(2, name=f"pool{i}"))
    model.add(layers.Flatten(name="flatten"))
    if dropout:
        model.add(layers.Dropout(dropout, name="dropout"))
    model.add(layers.Dense(512, activation="relu", name="hidden"))
    last = {"units": 1, "activation": "sigmoid"} if classes == 2 else {"units": classes, "activation": "softmax"}
    model.add(layers.Dense(**last, dtype="float32", name="output"))  # not in bfloat16
    return model


def compile_model(model: keras.Model, learning_rate: float = 0.0001) -> None:
    """RMSprop, and the loss for one of two classes, or for one of several.

    Args:
        learning_rate: Constant.
    """
    binary = model.output_shape[-1] == 1
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate),
        loss="binary_crossentropy" if binary else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )


recipe = Recipe(
    build=build,
    compile=compile_model,
    data=cats_and_dogs.unit,
    epochs=30,
    batch_size=20,
    steps_per_epoch=100,
    section="6.4, 6.5",
    expected={"test_accuracy": 0.7468},
    quick={"limit": 128},
)

if __name__ == "__main__":
    keraskit.main(recipe)
