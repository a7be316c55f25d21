"""`keraskit predict`: a finished run's model on picture files, prepared as the run's own pictures were."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from keraskit.augment import Augmentation
from keraskit.augment.statistics import Statistics
from keraskit.datasets.images import decode, digit_pictures
from keraskit.datasets.preprocessing import Inputs
from keraskit.datasets.splits import Split
from keraskit.errors import UserError, sentence
from keraskit.models import weights
from keraskit.results import guesses, manifest
from keraskit.results.run_folder import MANIFEST, MODEL, STATISTICS, RunFolder

NEARLY_ALL = 0.95  # of a run's training pictures
UNRECORDED = {"darkest_border": 0.0, "brightest_border": 0.0, "as_mnist": 0.0}  # of runs that do not say
Invert = Literal["auto", "yes", "no"]
Prepare = Literal["auto", "no"]


def predict(
    run: Path,
    paths: Sequence[Path],
    top: int = 3,
    batch_size: int = guesses.BATCH,
    invert: Invert = "auto",
    prepare: Prepare = "auto",
) -> Iterator[guesses.Prediction]:
    """A prediction for each file, from the folder of a run alone.

    Args:
        run: its folder, or one of several, of which the newest is taken.
        paths: the files.
        top: how many classes to name.
        batch_size: pictures in one call of the model.
        invert: whether dark and bright are swapped; "auto" asks how the run's grey training pictures were.
        prepare: "auto" cuts digits out, as MNIST's were, for a run on such; "no" takes every picture whole.

    Raises:
        UserError: the run has no model, or learned from something else than pictures.
    """
    folder = RunFolder.newest(run)
    facts = manifest.read(folder, "recipe", "classes", "config")
    if not facts.get("inputs"):
        raise UserError(f"{facts['recipe']} learned from no pictures, so it can say nothing of one.")
    try:
        inputs = Inputs.from_json(facts["inputs"])
        model = model_of(folder, facts, inputs)
        fed = _preparation(folder, facts["config"], inputs)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise UserError(f"{folder.path}: its {MANIFEST}, {MODEL} and {STATISTICS} do not fit: {error}.") from error

    known = facts.get("training_pictures") or {}
    trained = UNRECORDED if manifest.missing(known, UNRECORDED) else known

    def probabilities(batch: np.ndarray) -> np.ndarray:
        return guesses.both(model.predict_on_batch(fed(batch)))

    def fitted(image: Image.Image) -> tuple[np.ndarray, str]:
        return prepared(image, inputs, trained, invert, prepare)

    return guesses.predictions(paths, fitted, probabilities, facts["classes"], top, batch_size)


def model_of(folder: RunFolder, facts: dict[str, Any], inputs: Inputs) -> keras.Model:
    """The run's best model, ending in the output that names the class. Raises ValueError where run.json says else."""
    model = load_model(folder)
    if facts.get("class_output"):
        model = keras.Model(model.inputs, model.get_layer(facts["class_output"]).output)
    takes = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    wanted = inputs.shape if isinstance(inputs.shape, dict) else dict.fromkeys(list(takes)[:1], inputs.shape)
    if takes != wanted:
        raise ValueError(f"the model takes {takes}, the run's pictures are {wanted}")
    count = len(facts["classes"])
    if model.output_shape != (None, count) and (model.output_shape, count) != ((None, 1), 2):
        raise ValueError(f"the model gives out {model.output_shape}, and there are {count} classes")
    return model


def load_model(folder: RunFolder) -> keras.Model:
    """The run's best model. Raises UserError where there is none, or the file is not what a run wrote."""
    path = folder.path / MODEL
    if not path.is_file():
        raise UserError(f"{folder.path} has no {MODEL}.", "A run writes it after its first epoch.")
    try:
        return weights.load(path)
    except Exception as error:  # a damaged or hostile file makes Keras raise anything
        reason = str(error).rpartition("Exception encountered: ")[2]  # of several, Keras names the first one last
        raise UserError(f"{path} cannot be loaded: {type(error).__name__}: {sentence(reason)}") from error


def prepared(
    image: Image.Image, inputs: Inputs, trained: dict[str, float], invert: Invert, prepare: Prepare
) -> tuple[np.ndarray, str]:
    """The picture as the run's were, uint8 of their size, and a note of what else was done to it.

    Args:
        image: from `decode.read`.
        inputs: the run's.
        trained: what `digit_pictures.measure` found in its training pictures.
        invert, prepare: as `predict` has them.
    """
    bright_paper = trained["darkest_border"] + trained["brightest_border"] > 255
    paper, ink = ("bright", "dark") if bright_paper else ("dark", "bright")
    as_mnist = trained["as_mnist"] >= NEARLY_ALL and (*inputs.size, inputs.channels) == digit_pictures.SHAPE
    notes = []
    if prepare == "auto" and as_mnist and image.size != inputs.size[::-1]:
        dark_ink = None if invert == "auto" else bright_paper == (invert == "no")
        if found := digit_pictures.cut_out(image, dark_ink):
            array, dark_ink = found
            notes = ["digit cut out, scaled to 20x20 and centred"]
            if dark_ink != bright_paper:
                notes.append(f"inverted: {paper} ink, {ink} in training")
            return 255 - array if bright_paper else array, "; ".join(notes)
        shade = {None: "", True: "dark ", False: "bright "}[dark_ink]
        notes = [f"no {shade}ink found, taken whole"]
    array = decode.pixels(image, inputs.size, inputs.channels)
    inverted = invert == "yes"
    if inverted:
        notes.append("inverted")
    elif invert == "auto" and inputs.channels == 1 and _differs(array, trained):
        inverted = True
        known = f"{paper} is assumed of the training pictures'" if trained is UNRECORDED else f"{paper} in training"
        notes.append(f"inverted: {ink} border, {known}")
    if inverted:
        array = decode.pixels(ImageOps.invert(image), inputs.size, inputs.channels)
    return array, "; ".join(notes)


def _differs(array: np.ndarray, trained: dict[str, float]) -> bool:
    """Whether the border of a grey picture, once inverted, is nearer to those of the training pictures."""

    def distance(brightness: float) -> float:
        return max(trained["darkest_border"] - brightness, brightness - trained["brightest_border"], 0)

    brightness = float(digit_pictures.border(array[None])[0])
    return distance(255 - brightness) < distance(brightness)


def _preparation(folder: RunFolder, config: dict, inputs: Inputs) -> Callable[[np.ndarray], object]:
    """What the run did to a batch of pictures before its model saw them."""
    described = config.get("augment") or {}
    if "preprocessing_function" in described:
        raise UserError("This run used a function of your own on its pictures, which no folder can hold.")
    augmentation = Augmentation.of(described)
    if augmentation.needs_fit:
        augmentation = dataclasses.replace(augmentation, statistics=Statistics.load(folder.path / STATISTICS))
    nothing = np.empty(0, np.int64)
    fed = Split(0, lambda i: (i, i), nothing, lambda i: i, inputs, augmentation=augmentation).fed
    fed(np.zeros((1, *inputs.size, 3)[: 3 + (inputs.channels == 3)], np.uint8))  # statistics of other pictures end here
    return fed
