"""What is in a photograph, by seven pretrained networks (tutorial, section 5).

    python -m keraskit.recipes.classify PHOTO.jpg --model vgg16
    keraskit classify PHOTOS/ --model all --sheet a.png      # folders, accuracy, explanations, files of predictions

Keras downloads a network's weights once. The steps are the tutorial's: load, turn into an array, prepare, predict,
decode. Its `encode_predictions` does not exist; `decode_predictions` is meant.
"""

from pathlib import Path
from typing import Literal, get_args

import keras

import keraskit
from keraskit.datasets.images.sources import SHIPPED
from keraskit.models import applications

Network = Literal["vgg16", "vgg19", "resnet50", "inception_v3", "inception_resnet_v2", "xception", "mobilenet"]
SEVEN = get_args(Network)


def classify(
    *photos: Path, model: Network = "mobilenet", top: int = 5, alpha: float = 1.0, weights: str = "imagenet"
) -> None:
    """Print what each photograph shows.

    Args:
        photos: Files; by default one that ships.
        model: One of the tutorial's seven networks.
        top: Classes to name for each photograph.
        alpha: MobileNet's factor on the number of filters.
        weights: imagenet, a file of Keras's, or none for a network that knows nothing.
    """
    module = getattr(keras.applications, model)
    network = applications.create(model, alpha, weights=weights)  # such as keras.applications.VGG16(weights="imagenet")
    for photo in photos or [SHIPPED / "coffee.png"]:
        image = keras.utils.load_img(photo, target_size=network.input_shape[1:3])
        batch = keras.utils.img_to_array(image)[None]
        probabilities = network.predict(module.preprocess_input(batch), verbose=0)
        # Keras's `decode_predictions`, with names that ship instead of being downloaded.
        for _, name, probability in applications.decode_predictions(probabilities, top)[0]:
            print(f"{photo}  {name} ({probability:.2%})")


if __name__ == "__main__":
    keraskit.main(classify)
