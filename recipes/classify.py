"""What is in a photograph, by Keras's pretrained networks (document, section 5).

    python -m keraskit.recipes.classify PHOTOS/ --model all --sheet a.png
    python -m keraskit.recipes.classify LABELLED/ --evaluate --crop

Keras downloads a network's weights once; names ship. Labelled pictures lie so:
    LABELLED/tench/a.jpg               or n01440764/, n01440764_tench/, 0/, its index
    LABELLED/great-white shark/b.jpg
    LABELLED/crane (n02012849)/c.jpg   with its WordNet id, for two have this name
"""

from pathlib import Path
from typing import Any, Literal

import keraskit
from keraskit import Program, UserError
from keraskit.datasets.images import decode, imagenet
from keraskit.datasets.images.sources import SHIPPED, find
from keraskit.errors import Count
from keraskit.files import check_outputs
from keraskit.models import applications
from keraskit.runs import accuracy, pictures
from keraskit.tools import explain as explanations

import numpy as np
from PIL import Image

SEVEN = ("vgg16", "vgg19", "resnet50", "inception_v3", "inception_resnet_v2", "xception", "mobilenet")


def network(name: str, weights: str, alpha: float, size: int | None, crop: bool, resize: Any) -> pictures.Network:
    """What makes a network's pixels of a picture, and its input of a batch of these; and the network."""
    model = applications.create(name, alpha, size, weights)
    (_, preprocess_input), (height, width) = applications.find(name), model.input_shape[1:3]

    def prepare(image: Image.Image) -> tuple[np.ndarray, str]:
        array = decode.pixels(decode.middle(image) if crop else image, (height, width), resampling=resize)
        return array, "untrained network" if weights == "none" else ""

    return pictures.Network(prepare, lambda batch: preprocess_input(batch.astype("float32")), model)


def classify(
    *photos: Path,
    model: str = "mobilenet",
    top: Count = 5,
    alpha: float = 1.0,
    size: int | None = None,
    weights: str = "imagenet",
    resize: Literal["nearest", "bilinear"] | None = None,
    crop: bool = False,
    batch_size: Count = 32,
    json: Path | None = None,
    csv: Path | None = None,
    sheet: Path | None = None,
    show: Literal["mistakes", "unsure", "first"] | None = None,
    evaluate: bool = False,
    explain: Path | None = None,
) -> list[pictures.Prediction]:
    """Print what each photograph shows, or with `evaluate` how often that is right, and return it.

    Args:
        photos: Files, folders, patterns such as '*.jpg'; by default one that ships.
        model: One of Keras's networks, such as vgg16; several with commas; or all, for the document's seven.
        top: Classes to name for each photograph.
        alpha: MobileNet's factor on the number of filters.
        size: Height and width of the input in pixels, where it is not the network's own.
        weights: imagenet, a file of Keras's, or none for a network that knows nothing.
        resize: nearest pixels, as in the document, or bilinear filtering (default: bilinear with --crop, else nearest).
        crop: Take the middle 87.5 % instead of squeezing all of it in, as the document does; more are right then.
        batch_size: Photographs in one call of the network.
        json: Write the predictions to this file too.
        csv: The same as CSV.
        sheet: A PNG with the photographs and what was predicted.
        show: On the sheet: mistakes or those it was unsure of, worst first, or the first (default: mistakes, if known).
        evaluate: Measure accuracy. Photos are folders laid out as above, or with files such as n01440764_tench.JPEG.
        explain: A PNG that shows where in each photograph the network saw its answer.
    """
    networks = SEVEN if model == "all" else tuple(model.split(","))
    if len(networks) > 1 and weights not in ("imagenet", "none"):
        raise UserError(f"--weights {weights} fits one network, not {len(networks)}.", "Name that one with --model.")
    check_outputs(json, csv, sheet, show, evaluate, explain)
    truth, notes = imagenet.labels().of_pictures(photos) if evaluate else ({}, [])
    paths, names = list(truth) or find(photos or [SHIPPED / "coffee.png"], notes), imagenet.names()
    rows, explained = [], []
    for name in networks:
        asked = network(name, weights, alpha, size, crop, resize or ("bilinear" if crop else "nearest"))
        rows += pictures.predictions(paths, asked, names, max(top, 5), batch_size, name)
        explained += explanations.of_predictions(asked, rows[-len(paths) :], names) if explain else []
    accuracy.show(rows, names, truth, notes, top)
    pictures.write(rows, json, csv, sheet, top, show)
    explanations.write(explained, explain)
    return rows


recipe = Program(run=classify, section="5")

if __name__ == "__main__":
    keraskit.main(recipe)
