"""`keraskit verify`: evaluate a finished run again, and compare with what it recorded."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraskit.datasets.array_files import digest
from keraskit.errors import RunStopped, printable, sentence
from keraskit.runs import metrics, predictions
from keraskit.runs.folder import RunFolder, newest
from keraskit.training import evaluate, examine, setup
from keraskit.training.settings import NEEDED, requested

CLOSE = 1e-4  # for metrics and probabilities: other machines round differently


def verify(path: Path, *, recipe: Path | None = None) -> None:
    """Check a run, with the user's own `recipe` file if any; print a line for each fact.

    Raises UserError if the run has not finished or cannot be checked here; RunStopped if a fact differs.
    """
    facts = check(newest(path), recipe)
    wrong = [name for name, pair in facts.items() if not close(*pair)]
    for name, pair in facts.items():
        recorded, again = (printable(" ".join(f"{value}".split()))[:80] for value in pair)
        again += " here, but not in what is cut off" if name in wrong and recorded == again else ""
        print(f"{name:22} {f'DIFFERS: recorded {recorded}, is {again}' if name in wrong else f'agrees: {again}'}")
    if wrong:
        raise RunStopped(f"{len(wrong)} of {len(facts)} facts do not agree: {', '.join(wrong)}.", "See above.")


def verify_all(*paths: Path, recipe: Path | None = None) -> None:
    """Verify several runs; print one line each, and their count. Raises RunStopped unless all agree.

    `recipe` is imported for the runs of a file of this name.
    """
    counts: Counter[str] = Counter()
    for path in paths:
        keras.utils.clear_session()  # automatic layer names start anew
        try:
            source = (folder := newest(path)).read_manifest().get("source") or ""
            named = recipe if recipe and Path(source).name == recipe.name else None
            wrong = [name for name, pair in check(folder, named).items() if not close(*pair)]
            state, why = ("DIFFERS", f": {', '.join(wrong)}") if wrong else ("agrees", "")
        except Exception as error:  # whatever one folder holds, the others are checked
            state, why = "UNCHECKED", f": {sentence(error)}"
        counts[state] += 1
        print(printable(f"{state:10} {path}{why}"), flush=True)
    agree = counts["agrees"]
    print(f"{len(paths)} runs: {agree} agree, {counts['DIFFERS']} differ, {counts['UNCHECKED']} unchecked")
    if agree < len(paths):
        raise RunStopped(f"{len(paths) - agree} of {len(paths)} runs do not agree.", "Verify one alone to see why.")


def check(folder: RunFolder, named: Path | None = None) -> dict[str, tuple[Any, Any]]:
    """Return each fact of a finished run, as recorded and as recomputed from its model and data."""
    facts, written = folder.read_manifest(*NEEDED, "test", "best_epoch"), folder.read_json("metrics.json")
    best, epochs, (settings, splits, model) = facts["best_epoch"], folder.read_history(), setup.reopen(folder, named)
    output = requested(folder, named)[0].class_output
    measured = evaluate.infer(model, {"validation": splits.validation, "test": splits.test}, settings.batch_size)
    activation, _ = examine.outputs(model, splits.train, output)
    test, inputs, beside, confusion = measured["test"][1], splits.test.inputs, dict[str, float](), None
    written = written if isinstance(written, dict) else {}
    if classified := test.of_classes(facts | {"class_output": output}):
        counts = metrics.confusion(classified[0], classified[1].argmax(axis=1), len(splits.classes))
        beside, confusion = metrics.beside_accuracy(counts, splits.train.labels), counts.tolist()
    bits = {"bits": None}  # older runs have 16 where no picture says; those of the data are in its hash
    found = {
        "data": (facts["data"].get("sha256"), splits.source.get("sha256")),
        "classes": (facts["classes"], list(splits.classes)),
        "inputs": ((facts.get("inputs") or {}) | bits, dataclasses.asdict(inputs) | bits if inputs else bits),
        "balanced accuracy": (facts.get("balanced_accuracy"), beside.get("balanced_accuracy")),
        "examples": (facts["data"]["used"], splits.sizes()),
        "class output": (facts.get("class_output"), output),
        "class activation": (facts.get("class_activation"), activation),
        "weights": (facts.get("weights_sha256"), digest(model.get_weights())),
        "best epoch": ([best, written.get("best_epoch")], [min(max(1, best), len(epochs))] * 2),
        "parameters": (facts.get("parameters"), model.count_params()),
        "confusion": (written.get("confusion"), confusion),
        "test in run.json": (facts["test"], measured["test"][0]),
    }
    for split, (scores, again) in measured.items():
        found[f"{split} metrics"] = written.get(split), scores
        recorded = (predictions.read(folder, split) or predictions.SplitPredictions(None, {}, {}))._asdict()
        found |= {f"{split} {name}": (recorded[name], each) for name, each in predictions.kept(again)._asdict().items()}
    return found


def close(one: Any, other: Any) -> bool:
    """Whether values, arrays or dicts are equal; floats within `CLOSE`."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[name], other[name]) for name in one)
    try:
        a, b = np.asarray(one), np.asarray(other)
    except ValueError:  # a ragged list
        return False
    if a.shape == b.shape and "f" in (kinds := {a.dtype.kind, b.dtype.kind}) and kinds <= set("iuf"):
        return bool((np.abs(a - b) <= CLOSE * np.maximum(1, np.abs(b))).all())
    return np.array_equal(a, b)
