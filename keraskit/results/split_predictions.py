"""predictions.npz: what a run's best model answered for every example of validation and test, and what was true."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np

from keraskit.datasets.array_files import reading
from keraskit.errors import UserError
from keraskit.results.run_folder import RunFolder
from keraskit.results.scores import both

FILE = "predictions.npz"
SPLITS = ("validation", "test")
MOST_BYTES = 50_000_000  # of one output's predictions of one split; larger ones, of whole pictures, are left out


@dataclasses.dataclass(frozen=True)
class SplitPredictions:
    """One split's, in its order.

    Args:
        labels: the class of each example, int, shape (n,); None where there are no classes.
        targets: by output; "" for a model's only one. Class numbers, or values.
        predictions: by output, shape (n, ...): probabilities or values; of sequences of classes the most probable ones.
        names: of the files, where there are any.
    """

    labels: np.ndarray | None
    targets: dict[str, np.ndarray]
    predictions: dict[str, np.ndarray]
    names: list[str] | None = None

    def of_classes(self, facts: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
        """Labels, and probabilities of shape (n, classes), also where the model gives that of the second of two alone.

        None where the run, by its manifest, has no classes, or others than these.
        """
        classes, output = facts.get("classes") or [], facts.get("class_output") or next(iter(self.predictions))
        if self.labels is None or not classes or self.predictions.get(output, np.empty(0)).ndim != 2:
            return None
        probabilities = both(self.predictions[output])
        fits = probabilities.shape[1] == len(classes) and 0 <= self.labels.min() <= self.labels.max() < len(classes)
        return (self.labels, probabilities) if fits else None


def write(folder: RunFolder, splits: dict[str, SplitPredictions]) -> None:
    """Write the file."""
    arrays: dict[str, Any] = {}
    for split, found in splits.items():
        for kind in ("targets", "predictions"):
            for output, array in getattr(found, kind).items():
                if array.nbytes <= MOST_BYTES:
                    arrays[f"{split}/{kind}/{output}"] = array
        arrays |= {f"{split}/labels": found.labels} if found.labels is not None else {}
        arrays |= {f"{split}/names": np.array(found.names, dtype=str)} if found.names else {}
    with folder.atomic(FILE) as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read(folder: RunFolder, split: str = "test") -> SplitPredictions | None:
    """One split's predictions; None where the run has none. Raises UserError where the file is damaged."""
    try:
        data = io.BytesIO(folder.read_bytes(FILE))
    except FileNotFoundError:
        return None
    with reading(folder.path / FILE, ".npz"), np.load(data, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name.startswith(f"{split}/")}
    kinds: dict[str, dict[str, np.ndarray]] = {"targets": {}, "predictions": {}}
    for name, array in arrays.items():
        _, kind, *output = name.split("/", 2)
        if kind in kinds:
            kinds[kind][output[0] if output else ""] = array
    names = arrays.get(f"{split}/names")
    found = SplitPredictions(arrays.get(f"{split}/labels"), **kinds, names=None if names is None else names.tolist())
    lengths = {len(array) for array in arrays.values() if array.ndim}
    if len(lengths) != 1 or not found.predictions:
        raise UserError(f"{folder.path / FILE} is damaged: it holds {len(lengths)} counts of examples.")
    return found
