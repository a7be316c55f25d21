"""`keraskit predict`: a finished run's model on picture files, prepared as the run's own pictures were."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageOps

from keraskit.augment import Augmentation
from keraskit.augment.statistics import Statistics
from keraskit.datasets import pictures
from keraskit.datasets.inputs import Inputs
from keraskit.datasets.splits import Split
from keraskit.errors import UserError
from keraskit.results import guesses
from keraskit.results.run_folder import MANIFEST, MODEL, STATISTICS, RunFolder

PAPER = 127  # a grey picture whose border is brighter than this is dark ink on white paper


def predict(run: Path, paths: Sequence[Path], top: int = 3, batch_size: int = guesses.BATCH) -> Iterator[guesses.Guess]:
    """A guess for each file, from the folder of a run alone.

    Raises:
        UserError: the run has no model, or learned from something else than pictures.
    """
    folder = RunFolder.newest(run)
    manifest = folder.read_json(MANIFEST)
    if not manifest.get("inputs"):
        raise UserError(f"{manifest['recipe']} learned from no pictures, so it can say nothing of one.")
    inputs = Inputs.from_json(manifest["inputs"])
    model = load_model(folder)
    if manifest.get("head"):
        model = keras.Model(model.inputs, model.get_layer(manifest["head"]).output)
    fed = _preparation(folder, manifest["config"], inputs)

    def said(batch: np.ndarray) -> np.ndarray:
        return guesses.both(model.predict_on_batch(fed(batch)))

    def prepare(image: Image.Image) -> tuple[np.ndarray, str]:
        return resized(image, inputs)

    return guesses.guess(paths, prepare, said, manifest["classes"], top, batch_size)


def load_model(folder: RunFolder) -> keras.Model:
    """The run's best model. Raises UserError where there is none, or the file is not what a run wrote."""
    path = folder.path / MODEL
    if not path.is_file():
        raise UserError(f"{folder.path} has no {MODEL}.", "A run writes it after its first epoch.")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged or hostile file makes Keras raise anything
        first = str(error).strip().partition("\n")[0][:200]
        raise UserError(f"{path} cannot be loaded: {type(error).__name__}: {first}.") from error


def resized(image: Image.Image, inputs: Inputs) -> tuple[np.ndarray, str]:
    """The picture as the run's were, uint8; grey ones white on black, as MNIST's digits are, with a note."""
    if inputs.channels == 1:
        grey = np.asarray(image.convert("L"))
        border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        if border.mean() > PAPER:
            return pictures.pixels(
                ImageOps.invert(image.convert("L")), inputs.size, 1
            ), "inverted, for its paper is white"
    return pictures.pixels(image, inputs.size, inputs.channels), ""


def _preparation(folder: RunFolder, config: dict, inputs: Inputs) -> Callable[[np.ndarray], object]:
    """What the run did to a batch of pictures before its model saw them."""
    described = config.get("augment") or {}
    if "preprocessing_function" in described:
        raise UserError("This run used a function of your own on its pictures, which no folder can hold.")
    augmentation = Augmentation(**described)
    if augmentation.needs_fit:
        augmentation = dataclasses.replace(augmentation, statistics=Statistics.load(folder.path / STATISTICS))
    nothing = np.empty(0, np.int64)
    return Split(0, lambda i: (i, i), nothing, lambda i: i, inputs, augmentation=augmentation).fed
