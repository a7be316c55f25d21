"""`keraskit verify`: evaluate a finished run again, and compare with what it recorded."""

from pathlib import Path
from typing import Any

import numpy as np

from keraskit.datasets.array_files import digest
from keraskit.errors import RunStopped, printable
from keraskit.runs import manifest, predictions
from keraskit.runs.folder import RunFolder
from keraskit.training import outputs, resume
from keraskit.training.evaluate import infer, reopen

CLOSE = 1e-4  # for metrics and probabilities: other machines round differently


def verify(path: Path, recipe: Path | None = None) -> None:
    """Check a run, with the user's own `recipe` file if any; print a line for each fact.

    Raises UserError if the run has not finished or cannot be checked here; RunStopped if a fact differs.
    """
    facts = check(manifest.newest(path), recipe)
    wrong = [name for name, pair in facts.items() if not close(*pair)]
    for name, pair in facts.items():
        recorded, again = (printable(" ".join(f"{value}".split()))[:80] for value in pair)
        print(f"{name:22} {f'DIFFERS: recorded {recorded}, is {again}' if name in wrong else f'agrees: {again}'}")
    if wrong:
        raise RunStopped(f"{len(wrong)} of {len(facts)} facts do not agree: {', '.join(wrong)}.", "See above.")


def check(folder: RunFolder, named: Path | None = None) -> dict[str, tuple[Any, Any]]:
    """Return each fact of a finished run, as recorded and as recomputed from its model and data."""
    facts, written = resume.read(folder, "test", "best_epoch"), folder.read_json("metrics.json")
    best, epochs, (settings, splits, model) = facts["best_epoch"], folder.read_history(), reopen(folder, named)
    measured = infer(model, {"validation": splits.validation, "test": splits.test}, settings.batch_size)
    activation, _ = outputs.examine(model, splits.train, facts.get("class_output"))
    found = {
        "data": (facts["data"].get("sha256"), splits.source.get("sha256")),
        "examples": (facts["data"]["used"], splits.sizes()),
        "class activation": (facts.get("class_activation"), activation),
        "weights": (facts.get("weights_sha256"), digest(model.get_weights())),
        "best epoch": (best, min(max(1, best), len(epochs))),
        "test in run.json": (facts["test"], measured["test"][0]),
    }
    for split, (metrics, again) in measured.items():
        found[f"{split} metrics"] = written.get(split) if isinstance(written, dict) else None, metrics
        recorded = vars(predictions.read(folder, split) or predictions.SplitPredictions(None, {}, {}))
        found |= {f"{split} {name}": (recorded[name], each) for name, each in vars(predictions.kept(again)).items()}
    return found


def close(one: Any, other: Any) -> bool:
    """Whether values, arrays or dicts are equal; floats within `CLOSE`."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[name], other[name]) for name in one)
    a, b = np.asarray(one), np.asarray(other)
    if a.shape == b.shape and "f" in (kinds := {a.dtype.kind, b.dtype.kind}) and kinds <= set("iuf"):
        return bool((np.abs(a - b) <= CLOSE * np.maximum(1, np.abs(b))).all())
    return np.array_equal(a, b)
