"""predictions.npz: targets and predictions of the best model for validation and test."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from keraskit.datasets.array_files import reading
from keraskit.errors import UserError
from keraskit.runs.folder import RunFolder
from keraskit.runs.metrics import Values, probabilities

FILE = "predictions.npz"
SPLITS = ("validation", "test")
TYPES = {"labels": "iu", "names": "U", "targets": "biuf", "predictions": "iuf"}  # NumPy's type codes
MOST_BYTES = 50_000_000  # of one output's predictions of one split; larger ones, of whole pictures, are left out


@dataclasses.dataclass(frozen=True)
class SplitPredictions:
    """Targets and predictions of one split, in its order.

    Args:
        labels: the class of each example, int, shape (n,); None where there are no classes.
        targets: by output; "" for a model's only one. Class numbers, or values.
        predictions: by output, shape (n, ...), as the model gives them: probabilities, logits or values; of sequences
            of classes the most probable ones.
        names: of the files, where there are any.
    """

    labels: np.ndarray | None
    targets: dict[str, np.ndarray]
    predictions: dict[str, np.ndarray]
    names: list[str] | None = None

    def of_classes(self, facts: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
        """Labels, and probabilities of shape (n, classes), also of logits, or of the second of two alone.

        None where the run, by its manifest, has no classes, or others than these.
        """
        classes, output = facts.get("classes") or [], facts.get("class_output") or next(iter(self.predictions))
        if self.labels is None or not classes or self.predictions.get(output, np.empty(0)).ndim != 2:
            return None
        found = probabilities(self.predictions[output], facts.get("class_activation"))
        fits = found.shape[1] == len(classes) and 0 <= self.labels.min() <= self.labels.max() < len(classes)
        return (self.labels, found) if fits else None

    def of_values(self) -> Iterator[Values]:
        """Yield name, targets and predictions, both (n, values), of each output that predicts values."""
        for name, predictions in self.predictions.items():
            targets = self.targets.get(name, np.empty(0))
            values = predictions.dtype.kind == "f" and targets.size == predictions.size and self.labels is None
            if values and len(targets) > 1 and not np.isin(targets, (0, 1)).all():
                shape = len(targets), -1
                yield name, targets.reshape(shape).astype(np.float64), predictions.reshape(shape).astype(np.float64)


def kept(found: SplitPredictions) -> SplitPredictions:
    """Drop arrays too large for the file; cast bfloat16 to float32."""

    def of(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        small = {output: array for output, array in arrays.items() if array.nbytes <= MOST_BYTES}
        return {output: array.astype("f4") if array.dtype.kind == "V" else array for output, array in small.items()}

    return dataclasses.replace(found, targets=of(found.targets), predictions=of(found.predictions))


def write(folder: RunFolder, splits: dict[str, SplitPredictions]) -> None:
    """Write the file. Raises UserError where predictions are not finite."""
    arrays: dict[str, Any] = {}
    for split, found in ((split, kept(found)) for split, found in splits.items()):
        arrays |= {f"{split}/targets/{output}": array for output, array in found.targets.items()}
        for output, array in found.predictions.items():
            if not np.isfinite(array).all():
                problem = f"The best model answers {split} examples with NaN or infinity."
                raise UserError(problem, "Look at these examples, or lower --learning-rate.")
            arrays[f"{split}/predictions/{output}"] = array
        arrays |= {f"{split}/labels": found.labels} if found.labels is not None else {}
        arrays |= {f"{split}/names": np.array(found.names, dtype=str)} if found.names else {}
    with folder.atomic(FILE) as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read(folder: RunFolder, split: str = "test") -> SplitPredictions | None:
    """Read one split; None if missing. Raises UserError for a damaged file."""
    try:
        data = io.BytesIO(folder.read_bytes(FILE))
    except FileNotFoundError:
        return None
    with reading(folder.path / FILE, ".npz"), np.load(data, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name.startswith(f"{split}/")}
    kinds: dict[str, dict[str, np.ndarray]] = {"targets": {}, "predictions": {}, "labels": {}, "names": {}}
    for name, array in arrays.items():
        _, kind, *output = name.split("/", 2)
        alone = kind in ("labels", "names")
        if array.dtype.kind not in TYPES.get(kind, "") or not array.ndim or (alone and array.ndim > 1):
            raise UserError(f"{folder.path / FILE} is damaged: its {name} is {array.dtype}, shape {array.shape}.")
        if kind == "predictions" and not np.isfinite(array).all():
            raise UserError(f"{folder.path / FILE} is damaged: its {name} holds NaN or infinity.")
        kinds[kind]["".join(output)] = array
    if not kinds["predictions"]:
        return None
    if len(lengths := {len(array) for array in arrays.values()}) > 1:
        raise UserError(f"{folder.path / FILE} is damaged: it holds {len(lengths)} counts of examples.")
    labels, names = (kinds.pop(kind).get("") for kind in ("labels", "names"))
    return SplitPredictions(labels, **kinds, names=None if names is None else names.tolist())
