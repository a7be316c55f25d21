"""`keraskit predict` for runs on arrays: a finished run's model on the arrays of a file."""

from __future__ import annotations

import csv
import io
import json as json_format
from pathlib import Path
from typing import Any

import numpy as np

from keraskit.errors import UserError, printable, sentence
from keraskit.files import write_text
from keraskit.results import manifest
from keraskit.results.guesses import both
from keraskit.results.predict import load_model
from keraskit.results.run_folder import RunFolder

SHOWN = 10  # rows that are printed


def predict_arrays(run: Path, file: Path, batch_size: int = 32) -> tuple[list[str], np.ndarray]:
    """The model's outputs for each example of a file, and their names.

    Args:
        run: a run's folder.
        file: an .npy file with the inputs, or an .npz with an array for each input of the model, by its name.
        batch_size: examples in one call of the model.

    Returns:
        The names of the columns, and the predictions, shape (examples, columns).

    Raises:
        UserError: the file cannot be read, or does not fit the model.
    """
    folder = RunFolder.newest(run)
    classes = manifest.read(folder, "recipe").get("classes") or []
    x, model = _read(file), load_model(folder)
    try:
        outputs: Any = model.predict(x, batch_size=batch_size, verbose=0)
    except Exception as error:  # Keras raises anything for arrays of another shape
        takes = {tensor.name: tuple(tensor.shape) for tensor in model.inputs}
        raise UserError(f"{file} does not fit the model, which takes {takes}: {sentence(error)}") from error
    named = outputs if isinstance(outputs, dict) else {"": outputs}
    names, columns = [], []
    for name, output in named.items():
        flat = output.reshape(len(output), -1)
        if classes and flat.shape[1] in (1, len(classes)) and len(named) == 1:
            flat = both(flat)
        of_classes = flat.shape[1] == len(classes)
        names += [f"{name} {classes[i] if of_classes else i}".strip() for i in range(flat.shape[1])]
        columns.append(flat)
    return names, np.concatenate(columns, axis=1)


def show(names: list[str], predictions: np.ndarray, json: Path | None, csv_file: Path | None) -> None:
    """Print the first rows, and write the files that were asked for."""
    print("  ".join(map(printable, names)))
    for row in predictions[:SHOWN]:
        print("  ".join(f"{value:.6g}" for value in row))
    if len(predictions) > SHOWN:
        print(f"and {len(predictions) - SHOWN:,} more")
    if csv_file:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([names, *predictions.tolist()])
        write_text(csv_file, text.getvalue())
    if json:
        rows = [dict(zip(names, row, strict=True)) for row in predictions.tolist()]
        write_text(json, json_format.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    for file in filter(None, (json, csv_file)):
        print(f"written: {printable(file)}")


def _read(file: Path) -> Any:
    try:
        found = np.load(file, allow_pickle=False)
        return found if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except Exception as error:  # a damaged file makes NumPy raise anything
        raise UserError(f"{file} cannot be read as .npy or .npz: {sentence(error)}", "Save it with np.save.") from error
