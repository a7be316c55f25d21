"""`keraskit predict`: predict picture files, preprocessed as in training, or arrays, with a finished run's model."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keraskit.datasets.array_files import ANY, checked, read_arrays
from keraskit.datasets.splits import Split
from keraskit.errors import UserError, printable, sentence
from keraskit.files import MOST_OF_ARRAYS, regular
from keraskit.runs import metrics, pictures
from keraskit.runs.folder import RunFolder
from keraskit.runs.opening import OpenedRun, load_model, open_run
from keraskit.runs.results import by_output


def predict(
    run: Path, paths: Sequence[Path], top: int = 3, batch_size: int = 32, recipe: Path | None = None, **how: Any
) -> Iterator[pictures.Prediction]:
    """Predict the `top` classes of each picture file with a run.

    `how` is `invert` and `prepare`, as in the command's help; `recipe` is the user's own recipe file.
    """
    opened = open_run(run, recipe)
    return pictures.predictions(paths, pictures.network(opened, **how), opened.facts["classes"], top, batch_size)


def predict_arrays(run: Path, file: Path, batch_size: int = 32, recipe: Path | None = None) -> tuple[list[str], Any]:
    """Predict the examples of a file: column names, and class probabilities or values.

    The file is an .npy or .npz of inputs; for several inputs an .npz with an array for each, by name. Raises UserError
    if it cannot be read or does not fit the model. For a run on pictures, whole numbers are pixels, preprocessed as in
    training, and floats are the model's inputs, unless they are whole and exceed 1.
    """
    read = read_arrays(regular(file, most=MOST_OF_ARRAYS), {"*": ANY})
    facts = (folder := RunFolder(run)).read_manifest()
    opened = open_run(run, recipe, classifies=False) if facts.get("inputs") else None
    model = opened.model if opened else load_model(folder, recipe)
    text = any(tensor.dtype == "string" for tensor in model.inputs)
    arrays = {name: checked(array, f"{file}: {name}".rstrip(": "), text) for name, array in read.items()}
    whole = (a.dtype.kind in "biu" or (a.max(initial=0) > 1 and not (a % 1).any()) for a in arrays.values())
    pixels = opened is not None and any(whole)
    if len(arrays) > (most := 1 if pixels else len(model.inputs)):
        raise UserError(f"{file} holds the arrays {', '.join(arrays)}; the model takes {most}.", "Leave others out.")
    x: Any = {name: tf.constant(array) for name, array in arrays.items()}  # Keras does not accept NumPy's strings
    if opened:
        x = {"": _pixels(opened, file, *arrays.values()).in_order(batch_size)} if pixels else x
        note = "whole numbers are pixels, scaled as in training" if pixels else "floats are the model's inputs"
        print(f"NOTE           {printable(file)}: {note}", flush=True)
    try:
        named = by_output(model.predict(x if len(x) > 1 else x.popitem()[1], batch_size=batch_size, verbose=0), model)
    except Exception as error:  # Keras raises anything for arrays of another shape
        expected = {tensor.name: tuple(tensor.shape) for tensor in model.inputs}
        raise UserError(f"{file} does not fit the model, which takes {expected}: {sentence(error)}") from error
    classes = facts.get("classes") or []
    class_output = facts.get("class_output") or next(iter(named))
    names, columns = [], []
    for name, output in named.items():
        flat = output.reshape(len(output), -1)
        activation = facts.get("class_activation") if classes or len(named) == 1 else None  # or of several labels
        if name == class_output and (classes or activation):
            flat = metrics.probabilities(flat, activation)[:, -max(len(classes), flat.shape[1]) :]
        labels = classes if name == class_output and flat.shape[1] == len(classes) else range(flat.shape[1])
        names += [f"{name} {each}".strip() for each in labels]
        columns.append(flat)
    return names, np.concatenate(columns, axis=1)


def _pixels(run: OpenedRun, file: Path, array: np.ndarray) -> Split:
    """Return a split of an array as pictures. Raises UserError for others than of the run's size and 0 to 255."""
    picture = (*run.inputs.size, 3)[: 3 if run.inputs.channels == 3 else 2]
    fits = len(array) and array.shape[1:] in (picture, (*picture, 1)[:3], (math.prod(picture),), run.inputs.shape)
    if not fits or array.min(initial=0) < 0 or array.max(initial=0) > 255:
        problem = f"{file} holds {array.dtype} of the shape {array.shape}; the run learned from pictures of {picture}"
        raise UserError(f"{problem}.", "Give one array of these, 0 to 255, or floats as the model takes them.")
    shares = array.max() <= 1 and (run.facts.get("data") or {}).get("found") != "arrays"  # as `array_files.read` has it
    pixels = array.reshape(-1, *picture) * np.float32(255 if shares else 1)
    return Split.of(pixels, np.zeros(len(array)), inputs=run.inputs, augmentation=run.augmentation)
