"""`keraskit classify`: what Keras's pretrained networks see in photographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from keraskit.datasets.images import decode, imagenet
from keraskit.errors import UserError
from keraskit.models import applications
from keraskit.runs.pictures import Network, Prediction, predictions

SEVEN = ("vgg16", "vgg19", "resnet50", "inception_v3", "inception_resnet_v2", "xception", "mobilenet")
Resize = Literal["nearest", "bilinear"]


def network(
    name: str, weights: str = "imagenet", alpha: float = 1.0, size: int | None = None, crop: bool = False,
    resize: Resize | None = None,
) -> Network:  # fmt: skip
    """One of Keras's applications, fed as Keras feeds it.

    Args:
        name, weights, alpha, size: as `applications.create` has them.
        crop: take the middle 87.5 % of a picture instead of squeezing all of it in.
        resize: how (default: bilinear with `crop`, else nearest, as in the document).
    """
    model = applications.create(name, alpha, size, weights)
    (_, preprocess_input), (height, width) = applications.find(name), model.input_shape[1:3]
    resampling = resize or ("bilinear" if crop else "nearest")

    def prepare(image: Image.Image) -> tuple[np.ndarray, str]:
        array = decode.pixels(decode.center_crop(image) if crop else image, (height, width), resampling=resampling)
        return array, "untrained network" if weights == "none" else ""

    return Network(prepare, lambda batch: preprocess_input(batch.astype("float32")), model)


def classify(
    paths: Sequence[Path], names: str, weights: str, top: int, batch_size: int, **how: Any
) -> Iterator[tuple[Network, list[Prediction]]]:
    """Each network that `names` lists, with its prediction for every file.

    Args:
        paths: picture files.
        names: applications with commas between; or all, for the document's seven.
        weights: as `network` has them.
        top: how many classes to name.
        batch_size: pictures in one call of a network.
        how: of `network`: alpha, size, crop, resize.

    Raises:
        UserError: there is no such application, or its weights cannot be had.
    """
    chosen = SEVEN if names == "all" else tuple(names.split(","))
    if len(chosen) > 1 and weights not in ("imagenet", "none"):
        raise UserError(f"--weights {weights} fits one network, not {len(chosen)}.", "Name that one with --model.")
    for name in chosen:
        asked = network(name, weights, **how)
        yield asked, list(predictions(paths, asked, imagenet.names(), top, batch_size, name))
