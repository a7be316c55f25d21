"""predictions.npz: targets and predictions of the best model for validation and test."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from keraskit import files
from keraskit.datasets.array_files import read_arrays, reading
from keraskit.datasets.splitting import MOST_CLASSES
from keraskit.errors import UserError
from keraskit.runs.folder import RunFolder
from keraskit.runs.metrics import Values, probabilities

FILE = "predictions.npz"
TYPES = {"labels": "iu1", "names": "U1", "targets/*": "biuf", "predictions/*": "biuf"}  # for `read_arrays`
MANY = 200  # labels of an example at most; more are pixels
MOST_BYTES = 50_000_000  # of a split's targets, and predictions; larger arrays, such as whole pictures, are left out


class SplitPredictions(NamedTuple):
    """Targets and predictions of one split, in its order, by output; "" is the output of a model with one."""

    labels: np.ndarray | None  # int, shape (n,); None without classes
    targets: dict[str, np.ndarray]  # class numbers, or values
    predictions: dict[str, np.ndarray]  # (n, ...): probabilities, logits or values; of sequences each step's class
    names: Sequence[str] | None = None  # file names, if any

    def of_classes(self, facts: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
        """Return labels, and probabilities of shape (n, classes); None if the manifest's classes do not fit."""
        classes, output = facts.get("classes") or [], facts.get("class_output") or next(iter(self.predictions))
        if self.labels is None or not classes or self.predictions.get(output, np.empty(0)).ndim != 2:
            return None
        found = probabilities(self.predictions[output], facts.get("class_activation"))
        fits = found.shape[1] == len(classes) and 0 <= self.labels.min() <= self.labels.max() < len(classes)
        return (self.labels, found) if fits else None

    def of_labels(self, facts: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
        """Return targets, not one-hot, and scores of an output of several labels, both (n, labels); else None."""
        for name, scores in self.predictions.items():
            targets = self.targets.get(name, np.empty(0))
            if self.labels is None and several_labels(targets, scores.shape) and (targets.sum(axis=1) != 1).any():
                return targets.astype(int), probabilities(scores, facts.get("class_activation"))
        return None

    def of_values(self) -> Iterator[Values]:
        """Yield name, targets and predictions, both of shape (n, values), of each regression output."""
        for name, predictions in self.predictions.items():
            targets = self.targets.get(name, np.empty(0))
            values = predictions.dtype.kind == "f" and targets.size == predictions.size and self.labels is None
            if values and len(targets) > 1 and not np.isin(targets, (0, 1)).all():
                shape = len(targets), -1
                yield name, targets.reshape(shape).astype(np.float64), predictions.reshape(shape).astype(np.float64)


def several_labels(targets: Any, shape: Sequence[int | None]) -> bool:
    """Whether these are targets, all 0 or 1, of several labels, for an output of this shape."""
    fits = len(shape) == 2 and np.shape(targets)[1:] == tuple(shape[1:])
    return fits and 1 < (shape[1] or 0) <= MANY and bool(np.isin(targets, (0, 1)).all())


def kept(found: SplitPredictions) -> SplitPredictions:
    """Drop text, and arrays too large for the file."""
    targets, predictions = (
        {n: each for n, each in arrays.items() if each.dtype.kind in "biuf" and each.nbytes * len(arrays) <= MOST_BYTES}
        for arrays in (found.targets, found.predictions)
    )
    if not predictions:  # which `read` takes for a split that is missing
        return SplitPredictions(None, {}, {})
    return SplitPredictions(found.labels, targets, predictions, found.names)


def write(folder: RunFolder, splits: dict[str, SplitPredictions]) -> None:
    """Write the file. Raises UserError if predictions are not finite."""
    arrays: dict[str, Any] = {}
    for split, found in ((split, kept(found)) for split, found in splits.items()):
        if not all(np.isfinite(array).all() for array in found.predictions.values()):
            problem = f"The best model answers {split} examples with NaN or infinity."
            raise UserError(problem, "Look at these examples, or lower --learning-rate.")
        arrays |= {f"{split}/targets/{output}": array for output, array in found.targets.items()}
        arrays |= {f"{split}/predictions/{output}": array for output, array in found.predictions.items()}
        arrays |= {f"{split}/labels": found.labels} if found.labels is not None else {}
        arrays |= {f"{split}/names": np.array(found.names, dtype=str)} if found.names else {}
    with folder.atomic(FILE) as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read(folder: RunFolder, split: str = "test") -> SplitPredictions | None:
    """Read one split; None if missing. Raises UserError for a damaged file."""
    try:
        path = folder.file(FILE, files.MOST_UNPACKED)
    except FileNotFoundError:
        return None
    arrays = read_arrays(path, {f"{split}/{name}": codes for name, codes in TYPES.items()}, files.MOST_UNPACKED)
    labels, names = (arrays.get(f"{split}/{key}") for key in ("labels", "names"))
    targets, predictions = (
        {name.removeprefix(begin): array for name, array in arrays.items() if name.startswith(begin)}
        for begin in (f"{split}/targets/", f"{split}/predictions/")
    )
    with reading(path):
        if len({len(array) for array in arrays.values()}) > 1 or not all(array.size for array in arrays.values()):
            raise ValueError(f"its arrays have the shapes {[array.shape for array in arrays.values()]}")
        if labels is not None and not 0 <= labels.min() <= labels.max() < MOST_CLASSES:
            raise ValueError(f"its labels go from {labels.min()} to {labels.max()}")
        if odd := [name for name, array in predictions.items() if not np.isfinite(array).all()]:
            raise ValueError(f"its {split}/predictions/{odd[0]} holds NaN or infinity")
    if not predictions:
        return None
    labels, names = None if labels is None else labels.astype(np.int64), None if names is None else names.tolist()
    return SplitPredictions(labels, targets, predictions, names)
