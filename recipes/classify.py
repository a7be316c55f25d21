"""What is in a photograph, by Keras's pretrained networks (document, section 5).

    python -m keraskit.recipes.classify
    python -m keraskit.recipes.classify PHOTO.jpg --model vgg16 --top 3
    python -m keraskit.recipes.classify PHOTOS/ --model all --csv guesses.csv --sheet guesses.png
    python -m keraskit.recipes.classify --evaluate LABELLED/ --crop

Keras downloads a network's weights once; class names ship. The document's decoder means Keras's `decode_predictions`.
"""

from collections.abc import Callable
from pathlib import Path

from keraskit import Program, UserError, applications
from keraskit.datasets import imagenet, pictures
from keraskit.datasets.picture_files import SHIPPED, find
from keraskit.results import accuracy, guesses
from keraskit.results.run_folder import check_outputs

import numpy as np
from PIL import Image

SEVEN = ("vgg16", "vgg19", "resnet50", "inception_v3", "inception_resnet_v2", "xception", "mobilenet")
Prepare, Predict = Callable[[Image.Image], tuple[np.ndarray, str]], Callable[[np.ndarray], np.ndarray]


def network(name: str, weights: str, alpha: float, size: int | None, crop: bool) -> tuple[Prepare, Predict]:
    """What makes a network's pixels of a picture, and what gives 1,000 probabilities for a batch of these."""
    model = applications.create(name, alpha, size, weights="imagenet" if weights == "imagenet" else None)
    if weights not in ("imagenet", "none"):
        applications.load_file(model, Path(weights))
    _, preprocess_input = applications.find(name)
    height, width = model.input_shape[1:3]

    def prepare(image: Image.Image) -> tuple[np.ndarray, str]:
        # The document squeezes the picture and, with Keras's loader, takes the nearest pixels.
        resampling = "bilinear" if crop else "nearest"
        array = pictures.pixels(pictures.middle(image) if crop else image, (height, width), resampling=resampling)
        return array, "untrained network" if weights == "none" else ""

    return prepare, lambda batch: model.predict_on_batch(preprocess_input(batch.astype("float32")))


def classify(
    *photos: Path,
    model: str = "mobilenet",
    top: int = 5,
    alpha: float = 1.0,
    size: int | None = None,
    weights: str = "imagenet",
    crop: bool = False,
    batch_size: int = 32,
    json: Path | None = None,
    csv: Path | None = None,
    sheet: Path | None = None,
    evaluate: Path | None = None,
) -> list[guesses.Guess]:
    """Print what each photograph shows, and return it.

    Args:
        photos: Files, folders, patterns such as '*.jpg'; by default one that ships.
        model: vgg16, vgg19, resnet50, inception_v3, inception_resnet_v2, xception, mobilenet, or another of Keras;
            several with commas; or all, for these seven.
        top: Classes to name for each photograph.
        alpha: MobileNet's factor on the number of filters.
        size: Height and width of the input in pixels, where it is not the network's own.
        weights: imagenet, a file of Keras's, or none for a network that knows nothing.
        crop: Take the middle 87.5 % instead of squeezing all of it in; worth several points of accuracy.
        batch_size: Photographs in one call of the network.
        json: Write the guesses to this file too.
        csv: The same as CSV.
        sheet: A PNG with the photographs and what was said of them.
        evaluate: A folder with a subfolder per class, named as the class or by its WordNet id: measure accuracy.
    """
    networks = SEVEN if model == "all" else tuple(model.split(","))
    if top < 1 or batch_size < 1:
        raise UserError(f"--top {top} --batch-size {batch_size} makes no sense: expected whole numbers from 1.")
    if len(networks) > 1 and weights not in ("imagenet", "none"):
        raise UserError(f"--weights {weights} fits one network, not {len(networks)}.", "Name that one with --model.")
    check_outputs(json, csv, sheet)
    truth = accuracy.labelled(evaluate) if evaluate else {}
    paths = list(truth) or find(photos or [SHIPPED / "coffee.png"])
    rows: list[guesses.Guess] = []
    for name in networks:
        prepare, predict = network(name, weights, alpha, size, crop)
        said = list(guesses.guess(paths, prepare, predict, imagenet.names(), max(top, 5), batch_size, name))
        if evaluate:
            print("\n".join([name, *accuracy.measure(said, truth.values()).lines()]))
        rows += said
    if not evaluate:
        guesses.show(rows, top)
    guesses.write(rows, json, csv, sheet, top)
    return rows


recipe = Program(run=classify, section="5")

if __name__ == "__main__":
    recipe.main()
