"""`keraskit predict`: predict picture files, preprocessed as in training, or arrays, with a finished run's model."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keraskit.datasets.array_files import ANY, read_arrays
from keraskit.errors import UserError, print_table, printable, sentence
from keraskit.files import MOST_OF_ARRAYS, regular
from keraskit.runs import manifest, metrics, pictures
from keraskit.runs.folder import RunFolder
from keraskit.runs.opening import load_model, open_run

SHOWN = 10  # examples of arrays printed


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

    The file is an .npy of inputs, or an .npz with an array for each input of the model, by name. Raises UserError if
    it cannot be read or does not fit the model.
    """
    arrays = read_arrays(regular(file, most=MOST_OF_ARRAYS), {"*": ANY})
    folder = RunFolder(run)
    facts, model = manifest.read(folder), load_model(folder, recipe)
    classes = facts.get("classes") or []
    try:
        x: Any = {name: tf.constant(array) for name, array in arrays.items()}  # Keras does not accept NumPy's strings
        outputs: Any = model.predict(x.get("", x), batch_size=batch_size, verbose=0)
    except Exception as error:  # Keras raises anything for arrays of another shape
        expected = {tensor.name: tuple(tensor.shape) for tensor in model.inputs}
        raise UserError(f"{file} does not fit the model, which takes {expected}: {sentence(error)}") from error
    named = outputs if isinstance(outputs, dict) else {"": outputs}
    class_output = facts.get("class_output") or next(iter(named))
    names, columns = [], []
    for name, output in named.items():
        flat = output.reshape(len(output), -1)
        if classes and name == class_output:
            flat = metrics.probabilities(flat, facts.get("class_activation"))
        labels = classes if flat.shape[1] == len(classes) else range(flat.shape[1])
        names += [f"{name} {each}".strip() for each in labels]
        columns.append(flat)
    return names, np.concatenate(columns, axis=1)


def show_arrays(names: list[str], outputs: np.ndarray, to_json: Path | None, to_csv: Path | None) -> None:
    """Print the first rows, and write files to the paths that are given."""
    rows = outputs.tolist()
    print_table([*map(printable, names)], [[f"{value:.6g}" for value in row] for row in rows[:SHOWN]], right=names)
    if len(rows) > SHOWN:
        print(f"and {len(rows) - SHOWN:,} more")
    pictures.write_table(names, rows, to_json, to_csv)
