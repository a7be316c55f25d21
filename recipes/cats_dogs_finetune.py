"""Cats and dogs, the top of the pretrained network trained further (beyond the tutorial; 3,491,521 parameters).

    python -m keraskit.recipes.cats_dogs_finetune --data-dir train.zip
    python -m keraskit.recipes.cats_dogs_finetune --data-dir train.zip --base vgg16 --top 4

It starts from the newest run of cats_dogs_features with the same flags, or runs that first. A low learning rate, a
trained classifier and frozen batch normalisation keep what the base knows. The tutorial announces 0.95 for this step.

Expected: test accuracy 0.9497 on 1,752 photographs with --alpha 0.25 after 15 epochs, 98 s on two CPU cores.
"""

import keras

import keraskit
from keraskit import Augmentation, Pretrained, Recipe
from keraskit.datasets.images import cats_and_dogs
from keraskit.models import applications
from keraskit.recipes import cats_dogs_features


def build(base: str = "mobilenet", alpha: float = 1.0, size: int = 224, classes: int = 2, top: int = 80) -> keras.Model:
    """The model of cats_dogs_features, the last layers of its base unfrozen.

    Args:
        base: mobilenet, vgg16, vgg19, resnet50, inception_v3, inception_resnet_v2, xception, or another of Keras.
        alpha: MobileNet's factor on the number of filters; 0.25, 0.5, 0.75 and 1 have published weights.
        size: Height and width of the input, in pixels.
        top: How many of the base's last layers are trained: 80 of MobileNet's 86; of VGG16, 4 are the last block.
    """
    model = cats_dogs_features.build(base, alpha, size, classes)
    application = applications.nested(model)
    application.trainable = True
    for i, layer in enumerate(application.layers):
        # Calling the base with training=False, as Keras's guides have it, does not keep these statistics in Keras 3.
        frozen = isinstance(layer, keras.layers.BatchNormalization) or i < len(application.layers) - top
        layer.trainable = not frozen
    return model


def compile_model(model: keras.Model, steps: int, learning_rate: float = 0.0001) -> None:
    """Adam; the learning rate falls along a cosine to zero.

    Args:
        learning_rate: Its peak; it falls from there along a cosine.
    """
    cats_dogs_features.compile_model(model, steps, learning_rate)


recipe = Recipe(
    build=build,
    compile=compile_model,
    data=cats_and_dogs.pixels,
    epochs=15,
    batch_size=32,
    augment=Augmentation(
        rotation_range=15, width_shift_range=0.1, height_shift_range=0.1, zoom_range=0.2, horizontal_flip=True
    ),
    pretrained=Pretrained(load=applications.load_imagenet, after="cats_dogs_features"),
    expected={"test_accuracy": 0.9497},
    expected_with={"alpha": 0.25, "weights": "mobilenet_2_5_224_tf_no_top.h5"},
    quick={"limit": 64, "size": 96},
)

if __name__ == "__main__":
    keraskit.main(recipe)
