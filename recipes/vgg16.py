"""VGG16 from its paper, Sequential and functional (tutorial, section 4; 138,357,544 parameters).

    python -m keraskit.recipes.vgg16 --quick
    python -m keraskit.recipes.vgg16 --data-dir PHOTOGRAPHS --weights imagenet --learning-rate 0.0001

It trains on a folder with a subfolder per class, or drawn pets. Batches, momentum, weight decay and learning rate are
the paper's; its dropout, which the tutorial leaves out, and its learning rate's three falls to a tenth are not here.

Expected: not trained in full on the hardware at hand; weights, gradients and momentum need 1.7 GB, one epoch hours.
"""

from typing import Literal

import keras
from keras import layers

import keraskit
from keraskit import Pretrained, Recipe
from keraskit.datasets.images import cats_and_dogs

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions and their filters, from the paper's column D


def build(
    style: Literal["functional", "sequential"] = "functional",
    classes: int = 1000,
    size: int = 224,
    width: float = 1.0,
    weight_decay: float = 5e-4,
) -> keras.Model:
    """Pixels from 0 to 255 in the order BGR, minus ImageNet's mean colour, in; one probability per class out.

    Args:
        style: Which of Keras's two ways builds the same graph.
        size: Height and width of the input, in pixels.
        width: Factor on all filters and units, below 1 for small machines.
        weight_decay: The paper's; kernels are penalised with half of it times their squares.
    """
    penalty = keras.regularizers.L2(weight_decay / 2) if weight_decay else None
    same = {"padding": "same", "activation": "relu", "kernel_regularizer": penalty}
    stack: list[layers.Layer] = []
    for block, (convolutions, filters) in enumerate(BLOCKS, 1):
        for i in range(1, convolutions + 1):
            stack.append(layers.Conv2D(max(1, int(filters * width)), 3, **same, name=f"block{block}_conv{i}"))
        stack.append(layers.MaxPooling2D(2, name=f"block{block}_pool"))
    stack.append(layers.Flatten(name="flatten"))
    for name in ("fc1", "fc2"):
        stack.append(layers.Dense(max(1, int(4096 * width)), activation="relu", kernel_regularizer=penalty, name=name))
    stack.append(layers.Dense(classes, "softmax", kernel_regularizer=penalty, dtype="float32", name="predictions"))
    inputs = x = keras.Input((size, size, 3), name="input")
    if style == "sequential":
        return keras.Sequential([inputs, *stack], name="vgg16-sequential")
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x, name="vgg16-funcapi")


def load_imagenet(model: keras.Model) -> list[str]:
    """Fill the layers that have the shape of Keras's published VGG16, by name. Returns the names of the others."""
    published, others = keras.applications.VGG16(weights="imagenet"), []
    for layer in [each for each in model.layers if each.weights]:
        weights = published.get_layer(layer.name).get_weights()
        if [w.shape for w in weights] == [tuple(w.shape) for w in layer.weights]:
            layer.set_weights(weights)
        else:
            others.append(layer.name)
    return others


def compile_model(model: keras.Model, batch_size: int, learning_rate: float = 0.01) -> None:
    """The paper's stochastic gradient descent; with a smaller batch the learning rate is scaled down in proportion.

    Args:
        learning_rate: At a batch of 256, the paper's.
    """
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate * min(1.0, batch_size / 256), momentum=0.9),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )


recipe = Recipe(
    build=build,
    compile=compile_model,
    data=cats_and_dogs.caffe,
    epochs=74,
    batch_size=256,
    pretrained=Pretrained(load=load_imagenet, weights=None),
    section="4",
    quick={"limit": 64, "batch_size": 16, "size": 64, "width": 0.125},
)

if __name__ == "__main__":
    keraskit.main(recipe)
