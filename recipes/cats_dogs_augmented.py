"""Cats and dogs, every photograph changed each time it is seen (tutorial, section 6.6; 3,453,121 parameters).

    python -m keraskit.recipes.cats_dogs_augmented --data-dir train.zip
    python -m keraskit.recipes.cats_dogs_augmented --augment.rotation-range 15
    python -m keraskit.recipes.cats_dogs_augmented --keras-layers

The network of cats_dogs. No photograph is ever seen twice alike, so none can be learned by heart. The tutorial's
shear_range of 0.2 was meant in radians; that is 11.5 degrees. The tutorial reports an accuracy of 0.82.

Expected: test accuracy 0.828 on 1,752 photographs after 50 epochs, 8 min on two CPU cores with bfloat16.
"""

import keras

import keraskit
from keraskit import Augmentation, Recipe
from keraskit.datasets.images import cats_and_dogs
from keraskit.recipes import augmentation, cats_dogs


def build(size: int = 150, classes: int = 2, dropout: float = 0.5, keras_layers: bool = False) -> keras.Model:
    """The network of cats_dogs, with dropout.

    Args:
        size: Height and width of the input, in pixels.
        dropout: Rate before the dense layers.
        keras_layers: Augment within the model, by Keras's own layers, and not in ImageDataGenerator's words.
    """
    network = cats_dogs.build(size, classes, dropout)
    if not keras_layers:
        return network
    inputs = keras.Input((size, size, 3), name="input")
    return keras.Sequential([inputs, *augmentation.pipeline("seven").layers, *network.layers], name="cats_dogs")


def compile_model(model: keras.Model, steps: int, learning_rate: float = 0.0005) -> None:
    """RMSprop; the learning rate falls along a cosine to zero.

    Args:
        learning_rate: Its peak; it falls from there along a cosine.
    """
    optimizer = keras.optimizers.RMSprop(keras.optimizers.schedules.CosineDecay(learning_rate, steps))
    loss = "binary_crossentropy" if model.output_shape[-1] == 1 else "sparse_categorical_crossentropy"
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])


recipe = Recipe(
    build=build,
    compile=compile_model,
    data=cats_and_dogs.unit,
    epochs=50,
    batch_size=32,
    steps_per_epoch=100,
    augment=Augmentation(
        rotation_range=40,
        width_shift_range=0.2,
        height_shift_range=0.2,
        shear_range=11.5,
        zoom_range=0.2,
        horizontal_flip=True,
        fill_mode="nearest",
    ),
    augmented_by="keras_layers",
    section="6.6",
    expected={"test_accuracy": 0.828},
    quick={"limit": 128},
)

if __name__ == "__main__":
    keraskit.main(recipe)
