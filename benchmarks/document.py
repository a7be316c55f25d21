"""The tutorial's own way to train each of its models, ported to today's Keras and otherwise as a reader would type it.

numpy arrays into `fit`, ImageDataGenerator on folders, float32, Keras's defaults. Beside it, for photographs, what
Keras's guides do today. benchmarks/speed.py times both.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from keraskit.recipes import (
    cats_dogs,
    cats_dogs_augmented,
    cats_dogs_finetune,
    cnn,
    lstm,
    mlp,
    multi_input,
    multi_output,
    quickstart,
    shared_features,
    shared_input,
    vgg16,
)

from keraskit.augment.augmentation import Augmentation
from keraskit.datasets import clusters
from keraskit.datasets.digits import load_mnist
from keraskit.models import applications

PRETRAINED = {"alpha": 0.25, "size": 160}
SMALL_VGG = {"size": 64, "width": 0.25, "classes": 2}


class Way(NamedTuple):
    """A compiled model and what is given to its `fit`: x, and y where x does not hold it."""

    model: keras.Model
    x: Any
    y: Any = None


def compiled(model: keras.Model, loss: Any, optimizer: Any = "adam") -> keras.Model:
    """Compiled with defaults."""
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    return model


def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels from 0 to 1, float32 of shape (count, 28, 28), and labels one-hot."""
    arrays, _ = load_mnist()
    x = arrays["x_train"][:count].astype("float32") / 255
    return x, keras.utils.to_categorical(arrays["y_train"][:count], 10)


def with_time_distributed() -> keras.Model:
    """multi_output as the tutorial prints it."""
    model = multi_output.build()
    sequence = model.get_layer("extract").output
    wrapped = layers.TimeDistributed(layers.Dense(10, activation="softmax"), name="output2")(sequence)
    return keras.Model(model.inputs, {"output1": model.get_layer("output1").output, "output2": wrapped})


def of_digits(build: Callable[[], keras.Model], shape: tuple[int, ...]) -> Callable[[int, Path], Way]:
    """A model that takes digits in a shape of its own."""

    def way(count: int, _: Path) -> Way:
        x, y = digits(count)
        return Way(compiled(build(), "categorical_crossentropy"), x.reshape(-1, *shape), y)

    return way


def quickstart_way(count: int, _: Path) -> Way:
    """Section 1."""
    x, y, *_ = clusters.arrays()
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    return Way(compiled(quickstart.build(), "categorical_crossentropy", optimizer), x[:count], y[:count])


def multi_input_way(count: int, _: Path) -> Way:
    """Section 3.5.1: both pictures of each digit made beforehand."""
    x, y = digits(count)
    large = tf.image.resize(x[..., None], (64, 64)).numpy()
    small = tf.image.grayscale_to_rgb(tf.image.resize(x[..., None], (32, 32))).numpy()
    return Way(compiled(multi_input.build(), "categorical_crossentropy"), [large, small], y)


def multi_output_way(count: int, _: Path) -> Way:
    """Section 3.5.2."""
    x, y = digits(count)
    bins = np.minimum((x.reshape(-1, 784) * 10).astype(int), 9)
    model = with_time_distributed()
    loss = {"output1": "categorical_crossentropy", "output2": "sparse_categorical_crossentropy"}
    model.compile(optimizer="adam", loss=loss)
    return Way(model, x.reshape(-1, 784, 1), {"output1": y, "output2": np.roll(bins, -1, axis=1)})


def generator(folder: Path, size: int, batch: int, **words: Any) -> Any:
    """ImageDataGenerator on a folder with a subfolder per class."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    flow = ImageDataGenerator(**words)
    return flow.flow_from_directory(folder, target_size=(size, size), batch_size=batch, class_mode="binary", seed=0)


def cats_dogs_way(count: int, folder: Path) -> Way:
    """Sections 6.4 and 6.5."""
    model = compiled(cats_dogs.build(), "binary_crossentropy", keras.optimizers.RMSprop(1e-4))
    return Way(model, generator(folder, 150, 20, rescale=1 / 255))


def augmented_way(count: int, folder: Path) -> Way:
    """Section 6.6."""
    seven = cats_dogs_augmented.recipe.augment
    words = {name: getattr(seven, name) for name in vars(Augmentation()) if name != "statistics"}
    model = compiled(cats_dogs_augmented.build(), "binary_crossentropy", keras.optimizers.RMSprop(1e-4))
    return Way(model, generator(folder, 150, 32, **words | {"rescale": 1 / 255}))


def features_way(count: int, folder: Path) -> Way:
    """Beyond the tutorial: a classifier on features that were computed before."""
    x = np.random.default_rng(0).normal(size=(count, 256)).astype("float32")
    y = np.arange(count) % 2
    model = keras.Sequential(
        [keras.Input((256,)), layers.Dense(256, "relu"), layers.Dropout(0.2), layers.Dense(1, "sigmoid")]
    )
    return Way(compiled(model, "binary_crossentropy"), x, y)


def finetune_way(count: int, folder: Path) -> Way:
    """Beyond the tutorial: the generator of section 6, on a network whose top is unfrozen."""
    model = cats_dogs_finetune.build(**PRETRAINED)
    model = compiled(model, "binary_crossentropy", keras.optimizers.RMSprop(1e-5))
    return Way(model, generator(folder, 160, 32, horizontal_flip=True, rotation_range=15, zoom_range=0.1))


def vgg16_way(count: int, folder: Path) -> Way:
    """Section 4, at a size that a small machine trains."""
    model = compiled(
        vgg16.build(**SMALL_VGG), "sparse_categorical_crossentropy", keras.optimizers.SGD(0.01, momentum=0.9)
    )
    preprocess = applications.find("vgg16")[1]
    return Way(model, generator(folder, 64, 32, preprocessing_function=preprocess))


def random_layers() -> keras.Model:
    """Keras's layers for the transforms of section 6.6."""
    return keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(40 / 360),
            layers.RandomTranslation(0.2, 0.2),
            layers.RandomShear(0.2, 0.2),
            layers.RandomZoom(0.2),
        ]
    )


def read_by_keras(folder: Path, batch: int, changes: keras.Model | None = None) -> tf.data.Dataset:
    """What Keras's guides do today: `image_dataset_from_directory`, Random* layers in the pipeline, AUTOTUNE."""
    found = keras.utils.image_dataset_from_directory(
        folder, image_size=(150, 150), batch_size=batch, label_mode="binary", seed=0, verbose=False
    )
    changes = changes or keras.Sequential()
    changes.add(layers.Rescaling(1 / 255))
    return found.map(lambda x, y: (changes(x, training=True), y), num_parallel_calls=tf.data.AUTOTUNE)


def of_keras(build: Callable[[], keras.Model], batch: int, augmented: bool) -> Callable[[int, Path], Way]:
    """A model trained on what `read_by_keras` gives."""

    def way(count: int, folder: Path) -> Way:
        made = read_by_keras(folder, batch, random_layers() if augmented else None)
        model = compiled(build(), "binary_crossentropy", keras.optimizers.RMSprop(1e-4))
        return Way(model, made.repeat().prefetch(tf.data.AUTOTUNE))

    return way


KERAS_WAYS = {
    "cats_dogs": of_keras(cats_dogs.build, 20, augmented=False),
    "cats_dogs_augmented": of_keras(cats_dogs_augmented.build, 32, augmented=True),
}
WAYS: dict[str, Callable[[int, Path], Way]] = {
    "quickstart": quickstart_way,
    "mlp": of_digits(mlp.build, (784,)),
    "cnn": of_digits(cnn.build, (28, 28, 1)),
    "lstm": of_digits(lstm.build, (784, 1)),
    "shared_input": of_digits(shared_input.build, (28, 28, 1)),
    "shared_features": of_digits(shared_features.build, (784, 1)),
    "multi_input": multi_input_way,
    "multi_output": multi_output_way,
    "vgg16": vgg16_way,
    "cats_dogs": cats_dogs_way,
    "cats_dogs_augmented": augmented_way,
    "cats_dogs_features": features_way,
    "cats_dogs_finetune": finetune_way,
}
