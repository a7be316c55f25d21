"""`keraskit classify`: classify photographs with Keras's pretrained networks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keraskit.datasets.images import decode, truth
from keraskit.errors import UserError
from keraskit.models import applications
from keraskit.runs.pictures import Network, Prediction, predictions

SEVEN = ("vgg16", "vgg19", "resnet50", "inception_v3", "inception_resnet_v2", "xception", "mobilenet")


def network(
    name: str, weights: str = "imagenet", alpha: float = 1.0, size: int | None = None, crop: bool = False
) -> Network:
    """Return an application with Keras's preprocessing; with `crop`, of the central 87.5 %, resampled bilinearly."""
    model = applications.create(name, alpha, size, weights)
    (_, preprocess_input), (height, width) = applications.find(name), model.input_shape[1:3]

    def prepare(image: Image.Image) -> tuple[np.ndarray, str]:
        cropped = decode.center_crop(image) if crop else image
        array = decode.pixels(cropped, (height, width), resampling="bilinear" if crop else "nearest")
        return array, "untrained network" if weights == "none" else ""

    return Network(prepare, lambda batch: preprocess_input(batch.astype("float32")), model, crop=crop)


def classify(
    paths: Sequence[Path], names: str, weights: str, top: int, batch_size: int, **how: Any
) -> Iterator[tuple[Network, list[Prediction]]]:
    """Yield each network of `names`, or the document's seven for "all", with its predictions for all files."""
    chosen = SEVEN if names == "all" else tuple(names.split(","))
    if len(chosen) > 1 and weights not in ("imagenet", "none"):
        raise UserError(f"--weights {weights} fits one network, not {len(chosen)}.", "Name that one with --model.")
    for name in chosen:
        classifier = network(name, weights, **how)
        yield classifier, list(predictions(paths, classifier, truth.imagenet_names(), top, batch_size, name))
