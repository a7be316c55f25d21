"""`keraskit predict`: a finished run's model on picture files, preprocessed as the run's own were, or on arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keraskit.datasets.array_files import reading
from keraskit.datasets.images.digit_pictures import Invert, Prepare
from keraskit.errors import UserError, printable, sentence
from keraskit.files import MOST_OF_ARRAYS, as_csv, regular
from keraskit.runs import manifest, metrics, pictures
from keraskit.runs.opening import load_model, open_run
from keraskit.text import print_table

SHOWN = 10  # examples of arrays that are printed


def predict(
    run: Path,
    paths: Sequence[Path],
    top: int = 3,
    batch_size: int = pictures.BATCH,
    invert: Invert = "auto",
    prepare: Prepare = "auto",
    recipe: Path | None = None,
) -> Iterator[pictures.Prediction]:
    """Predict the class of each picture file.

    Args:
        run: its folder, or one of several, of which the newest is taken.
        paths: the files.
        top: how many classes to name.
        batch_size: pictures in one call of the model.
        invert: whether dark and bright are swapped; "auto" asks how the run's grey training pictures were.
        prepare: "auto" cuts digits out, as MNIST's were, for a run on such, where they are not so already; "no" takes
            every picture whole.
        recipe: the file of a recipe of the user's own, whose layers the model has.

    Raises:
        UserError: the run has no model, or learned from something else than pictures.
    """
    opened = open_run(run, recipe, unfinished=True)
    return pictures.predictions(paths, pictures.network(opened, invert, prepare), opened.classes, top, batch_size)


def predict_arrays(
    run: Path, file: Path, batch_size: int = 32, recipe: Path | None = None
) -> tuple[list[str], np.ndarray]:
    """Predict the examples of a file: probabilities of classes, or values, with the names of the columns.

    Args:
        run: a run's folder.
        file: an .npy file with the inputs, or an .npz with an array for each input of the model, by its name.
        batch_size: examples in one call of the model.
        recipe: the file of a recipe of the user's own, whose layers the model has.

    Returns:
        The names of the columns, and the predictions, shape (examples, columns).

    Raises:
        UserError: the file cannot be read, or does not fit the model.
    """
    x, folder = _arrays(file), manifest.newest(run, unfinished=True)
    facts, model = manifest.read(folder), load_model(folder, recipe)
    classes = facts.get("classes") or []
    try:
        outputs: Any = model.predict(x, batch_size=batch_size, verbose=0)
    except Exception as error:  # Keras raises anything for arrays of another shape
        takes = {tensor.name: tuple(tensor.shape) for tensor in model.inputs}
        raise UserError(f"{file} does not fit the model, which takes {takes}: {sentence(error)}") from error
    named = outputs if isinstance(outputs, dict) else {"": outputs}
    known = facts.get("class_output") or next(iter(named))
    names, columns = [], []
    for name, output in named.items():
        flat = output.reshape(len(output), -1)
        if classes and name == known:
            flat = metrics.probabilities(flat, facts.get("class_activation"))
        of_classes = flat.shape[1] == len(classes)
        names += [f"{name} {classes[i] if of_classes else i}".strip() for i in range(flat.shape[1])]
        columns.append(flat)
    return names, np.concatenate(columns, axis=1)


def show_arrays(names: list[str], outputs: np.ndarray, to_json: Path | None, to_csv: Path | None) -> None:
    """Print the first rows, and write the files that were asked for."""
    print_table([*map(printable, names)], [[f"{value:.6g}" for value in row] for row in outputs[:SHOWN]], right=names)
    if len(outputs) > SHOWN:
        print(f"and {len(outputs) - SHOWN:,} more")
    rows = outputs.tolist()
    entries = [dict(zip(names, row, strict=True)) for row in rows]
    as_json = partial(json.dumps, entries, indent=2, ensure_ascii=False)
    pictures.write_texts({to_json: lambda: f"{as_json()}\n", to_csv: lambda: as_csv([names, *rows])})


def _arrays(file: Path) -> Any:
    with reading(file, ".npy or .npz"):
        found = np.load(regular(file, most=MOST_OF_ARRAYS), allow_pickle=False)
        arrays = {"": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    fed = {name: tf.constant(array) if array.dtype.kind == "U" else array for name, array in arrays.items()}
    return fed.get("", fed)  # Keras takes no text of NumPy's
