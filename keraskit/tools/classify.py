"""`keraskit classify`: Keras's pretrained networks as classifiers of photographs."""

import numpy as np
from PIL import Image

from keraskit.datasets.images import decode
from keraskit.models import applications
from keraskit.runs.pictures import Network

SEVEN = ("vgg16", "vgg19", "resnet50", "inception_v3", "inception_resnet_v2", "xception", "mobilenet")


def network(
    name: str, weights: str = "imagenet", alpha: float = 1.0, size: int | None = None, crop: bool = False
) -> Network:
    """Return an application with Keras's preprocessing; with `crop`, of the central 87.5%, resampled bilinearly."""
    model = applications.create(name, alpha, size, weights)
    (_, preprocess_input), (height, width) = applications.find(name), model.input_shape[1:3]

    def prepare(image: Image.Image) -> tuple[np.ndarray, str]:
        cropped = decode.center_crop(image) if crop else image
        array = decode.pixels(cropped, (height, width), resampling="bilinear" if crop else "nearest")
        return array, "untrained network" if weights == "none" else ""

    return Network(prepare, lambda batch: preprocess_input(batch.astype("float32")), model, crop=crop)
