"""What is in a photograph, by Keras's pretrained networks (document, section 5).

    python -m keraskit.recipes.classify
    python -m keraskit.recipes.classify PHOTO.jpg --model vgg16 --top 3
    python -m keraskit.recipes.classify PHOTOS/ --model all --sheet a.png
    python -m keraskit.recipes.classify LABELLED/ --evaluate --crop

Keras downloads a network's weights once; class names ship. The document's
decoder means Keras's `decode_predictions`.

The document squeezes all of a photograph into the network's square, which costs
accuracy, and takes the nearest pixels, which costs little: of 1,000 labelled
photographs, which do not ship, MobileNet with --alpha 0.25 named 0.537 first
and 0.778 among five; 0.555 and 0.770 with --resize bilinear; 0.588 and 0.811
with --crop as well.

For --evaluate a folder has a subfolder per class, by any of these names:
    LABELLED/
        tench/any.jpg
        n01440764/any.jpg
        n01440764_tench/any.jpg
        great-white shark/any.jpg
        crane (n02012849)/any.jpg
        517/any.jpg                  the class's index, from 0
or has no subfolders, and files such as n01440764_any.JPEG.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from keraskit import Program, UserError, applications
from keraskit.datasets import imagenet, pictures
from keraskit.datasets.picture_files import SHIPPED, find
from keraskit.results import accuracy, guesses
from keraskit.results.run_folder import check_outputs

SEVEN = ("vgg16", "vgg19", "resnet50", "inception_v3", "inception_resnet_v2", "xception", "mobilenet")
Prepare, Predict = Callable[[Image.Image], tuple[np.ndarray, str]], Callable[[np.ndarray], np.ndarray]
Resize = Literal["nearest", "bilinear"]


def network(
    name: str, weights: str, alpha: float, size: int | None, crop: bool, resize: Resize = "nearest"
) -> tuple[Prepare, Predict]:
    """What makes a network's pixels of a picture, and what gives 1,000 probabilities for a batch of these."""
    model = applications.create(name, alpha, size, weights="imagenet" if weights == "imagenet" else None)
    if weights not in ("imagenet", "none"):
        applications.load_file(model, Path(weights))
    _, preprocess_input = applications.find(name)
    height, width = model.input_shape[1:3]

    def prepare(image: Image.Image) -> tuple[np.ndarray, str]:
        array = pictures.pixels(pictures.middle(image) if crop else image, (height, width), resampling=resize)
        return array, "untrained network" if weights == "none" else ""

    return prepare, lambda batch: model.predict_on_batch(preprocess_input(batch.astype("float32")))


def classify(
    *photos: Path,
    model: str = "mobilenet",
    top: int = 5,
    alpha: float = 1.0,
    size: int | None = None,
    weights: str = "imagenet",
    resize: Literal["nearest", "bilinear"] | None = None,
    crop: bool = False,
    batch_size: int = 32,
    json: Path | None = None,
    csv: Path | None = None,
    sheet: Path | None = None,
    show: Literal["mistakes", "unsure", "first"] | None = None,
    evaluate: bool = False,
) -> list[guesses.Prediction]:
    """Print what each photograph shows, or how often that is right, and return it.

    Args:
        photos: Files, folders, patterns such as '*.jpg'; by default one that ships.
        model: vgg16, vgg19, resnet50, inception_v3, inception_resnet_v2, xception, mobilenet, or another of Keras;
            several with commas; or all, for these seven.
        top: Classes to name for each photograph.
        alpha: MobileNet's factor on the number of filters.
        size: Height and width of the input in pixels, where it is not the network's own.
        weights: imagenet, a file of Keras's, or none for a network that knows nothing.
        resize: Make each pixel of the network's size from the nearest one, as the document does, or by bilinear
            filtering, from all that it covers (default: bilinear with --crop, else nearest).
        crop: Take the square in the middle, 87.5 % of the shorter side, instead of squeezing all of it in.
        batch_size: Photographs in one call of the network.
        json: Write the predictions to this file too.
        csv: The same as CSV.
        sheet: A PNG with the photographs and what was predicted.
        show: What is on the sheet: mistakes, the most confident first; unsure, the least probable first; or the first
            ones (default: mistakes with --evaluate, else first).
        evaluate: Measure accuracy. The photographs are then folders with a subfolder per class, as above.
    """
    networks = SEVEN if model == "all" else tuple(model.split(","))
    if top < 1 or batch_size < 1:
        raise UserError(f"--top {top} --batch-size {batch_size} makes no sense: expected whole numbers from 1.")
    if len(networks) > 1 and weights not in ("imagenet", "none"):
        raise UserError(f"--weights {weights} fits one network, not {len(networks)}.", "Name that one with --model.")
    if evaluate and not photos:
        raise UserError("--evaluate needs pictures whose class is known.", "Name their folder.")
    check_outputs(json, csv, sheet, show, evaluate)
    truth, notes = imagenet.labels().of_pictures(photos) if evaluate else ({}, [])
    paths = list(truth) or find(photos or [SHIPPED / "coffee.png"])
    rows: list[guesses.Prediction] = []
    for name in networks:
        prepare, predict = network(name, weights, alpha, size, crop, resize or ("bilinear" if crop else "nearest"))
        found = list(guesses.predictions(paths, prepare, predict, imagenet.names(), max(top, 5), batch_size, name))
        for row in found:
            row.truth = truth.get(row.path, "")
        if evaluate:
            print("\n" * bool(rows), end="")  # between networks
            accuracy.report(found, imagenet.names(), notes)
        rows += found
    if not evaluate:
        guesses.show(rows, top)
    guesses.write(rows, json, csv, sheet, top, show)
    return rows


recipe = Program(run=classify, section="5")

if __name__ == "__main__":
    recipe.main()
