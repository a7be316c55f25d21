"""`keraskit predict`: a finished run's model on picture files, prepared as the run's own pictures were."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from keraskit.augment import Augmentation
from keraskit.augment.statistics import Statistics
from keraskit.datasets.images import decode
from keraskit.datasets.preprocessing import Inputs
from keraskit.datasets.splits import Split
from keraskit.errors import UserError, sentence
from keraskit.models import weights
from keraskit.results import guesses, manifest
from keraskit.results.run_folder import MANIFEST, MODEL, STATISTICS, RunFolder

PAPER = 127  # a grey picture whose border is brighter than this is dark ink on white paper


def predict(
    run: Path, paths: Sequence[Path], top: int = 3, batch_size: int = guesses.BATCH
) -> Iterator[guesses.Prediction]:
    """A prediction for each file, from the folder of a run alone.

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

    def said(batch: np.ndarray) -> np.ndarray:
        return guesses.both(model.predict_on_batch(fed(batch)))

    def prepare(image: Image.Image) -> tuple[np.ndarray, str]:
        return resized(image, inputs)

    return guesses.predictions(paths, prepare, said, facts["classes"], top, batch_size)


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


def resized(image: Image.Image, inputs: Inputs) -> tuple[np.ndarray, str]:
    """The picture as the run's were, uint8; grey ones white on black, as MNIST's digits are, with a note."""
    if inputs.channels == 1:
        grey = np.asarray(image.convert("L"))
        border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        if border.mean() > PAPER:
            return decode.pixels(
                ImageOps.invert(image.convert("L")), inputs.size, 1
            ), "inverted, for its paper is white"
    return decode.pixels(image, inputs.size, inputs.channels), ""


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
