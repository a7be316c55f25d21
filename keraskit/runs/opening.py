"""Open a finished run for inference: model, classes and preprocessing, from its folder only."""

import inspect
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from pydantic import TypeAdapter

from keraskit.augment.augmentation import Augmentation
from keraskit.datasets.preprocessing import Inputs
from keraskit.errors import UserError, printable, sentence
from keraskit.files import MODEL
from keraskit.models import applications, weights
from keraskit.recipe import call, options_of
from keraskit.registry import find_card
from keraskit.runs.folder import MANIFEST, STATISTICS, RunFolder


class OpenedRun(NamedTuple):
    """A run on pictures, loaded for inference."""

    folder: RunFolder
    facts: dict[str, Any]  # manifest
    model: keras.Model  # best by validation, float32, uncompiled
    inputs: Inputs  # size, scale and channels of the pictures
    augmentation: Augmentation  # with statistics of the training pictures, if it standardises with them

    @property
    def trained(self) -> dict[str, float]:
        """Training pictures as measured by `digit_pictures.measure`; 0 if they are not grey."""
        found = self.facts.get("training_pictures") or {}
        names = ("darkest_border", "brightest_border", "as_mnist")
        return {name: float(np.nan_to_num(found.get(name) or 0.0)) for name in names}

    @property
    def classifier(self) -> keras.Model:
        """The model up to its class output, as probabilities of shape (n, classes), or (n, 1) for two classes."""
        output, count = self.facts.get("class_output"), len(self.facts["classes"])
        end = self.model.get_layer(output).output if output else self.model.outputs[0]
        if end.shape != (None, count) and (end.shape, count) != ((None, 1), 2):
            raise ValueError(f"the model gives out {end.shape}, and there are {count} classes")
        if activation := self.facts.get("class_activation"):
            end = keras.layers.Activation(activation, dtype="float32", name="class_probabilities")(end)
        alone = getattr(self.model, "_outputs_struct", end) is end  # and in no list or dict; a Sequential has no struct
        return self.model if alone and end is self.model.outputs[0] else keras.Model(self.model.inputs, end)


def open_run(run: Path, recipe: Path | None = None, classifies: bool = True) -> OpenedRun:
    """Open a run folder.

    `recipe` is a trusted recipe file that defines custom layers of the model. Raises UserError if the run learned from
    no pictures or, unless not `classifies`, no classes of them, or its files are damaged or contradict each other.
    """
    folder = RunFolder(run)
    facts = folder.read_manifest("recipe", "config", *["classes"] * classifies)
    if not facts.get("inputs"):
        raise UserError(f"{facts['recipe']} learned from no pictures, so it can say nothing of one.")
    if classifies and not facts["classes"]:
        raise UserError(f"{facts['recipe']} learned no classes.", "`predict` takes an .npy of pictures instead.")
    try:
        inputs = TypeAdapter(Inputs).validate_python(facts["inputs"])
        augmentation = Augmentation(**facts["config"].get("augment") or {})
        if augmentation.needs_fit:  # standardisation is part of preprocessing
            augmentation = augmentation.fitted(folder.file(STATISTICS))
        opened = OpenedRun(folder, facts, load_model(folder, recipe), inputs, augmentation)
        blank = np.zeros((1, *inputs.size, 3)[: 4 if inputs.channels == 3 else 3], np.uint8)
        (opened.classifier if classifies else opened.model)(inputs.preprocess(blank, augmentation))
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        problem = f"{folder.path}: its {MANIFEST}, {MODEL} and {STATISTICS} do not fit: {sentence(error)}"
        raise UserError(problem) from error
    return opened


def load_model(folder: RunFolder, recipe: Path | None = None) -> keras.Model:
    """Load a run's best model. Raises UserError if it cannot be loaded.

    `recipe` is a trusted file, imported first so that Keras finds its classes and functions. If Keras still fails to
    load the model, the recipe builds it and only the weights are loaded.
    """
    path = folder.file(MODEL)
    own = find_card(str(recipe)).load() if recipe else None
    try:
        names = inspect.unwrap(own.build).__globals__ if own else {}  # of the builder's module
        return weights.load(path, {name: value for name, value in names.items() if callable(value)})
    except Exception as error:  # a damaged or hostile file makes Keras raise anything
        problem = f"{path} cannot be loaded: {type(error).__name__}: {sentence(error)}"
        facts = folder.read_manifest()
        if not own:
            file = shlex.quote(facts.get("source") or "FILE.py")
            raise UserError(problem, f"If its recipe is your own, name its file: --recipe {file}") from error
        knobs = {name: value for name, value in (facts.get("config") or {}).items() if name in ("batch_size", "seed")}
        options = facts.get("options") or {}
        typed = options_of(own.functions)(**{name: value for name, value in options.items() if name != "classes"})
        options = {name: getattr(typed, name, value) for name, value in options.items()}  # tuples, paths and so on
        model: keras.Model = call(own.build, knobs | options, steps=1, weights=None)
        applications.load_file(model, path)
        print(f"NOTE           {printable(problem)} So {own.name} built it, and was given its weights.", flush=True)
        return model
