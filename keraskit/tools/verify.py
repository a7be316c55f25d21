"""`keraskit verify`: evaluate a finished run again, and compare with what it recorded."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraskit.datasets.array_files import digest
from keraskit.errors import RunStopped, printable, sentence
from keraskit.runs import metrics, predictions, results
from keraskit.runs.folder import RunFolder, in_python, newest
from keraskit.runs.opening import load_model
from keraskit.training import evaluate, examine, fit, setup, user_callbacks
from keraskit.training.settings import NEEDED, requested

CLOSE = 1e-4  # share of the largest value by which others may differ: other machines round differently
NOISE = 1e-6  # of float32, in what has been learned to the last digit
ROUGHLY = 0.01  # of a validation metric in training, which averages over steps
SOME = 256  # examples on which the file's model must answer as the recipe's
BALANCED = "balanced_accuracy"
SAME = ("name", "sha256")  # of the data
SETTLED = (  # knobs that a result hangs on
    *("epochs", "batch_size", "seed", "limit", "steps_per_epoch", "class_weight", "patience", "quick", "precision"),
    *("xla", "acceleration", "deterministic"),
)


def verify(path: Path, *, recipe: Path | None = None) -> None:
    """Check a run, with the user's own `recipe` file if any; print a line for each fact.

    Raises UserError if the run has not finished or cannot be checked here; RunStopped if a fact differs.
    """
    facts = check(newest(path), recipe)
    wrong = [name for name, pair in facts.items() if not close(*pair)]
    for name, pair in facts.items():
        recorded, again = (printable(" ".join(f"{value}".split()))[:80] for value in apart(*pair))
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
    """Return each fact of a finished run, as recorded and as recomputed from its model and data.

    `named` is the user's own recipe file, of which a run of ours has no need.
    """
    facts, written = folder.read_manifest(*NEEDED, "test", "best_epoch"), folder.read_json("metrics.json")
    written = written if isinstance(written, dict) else {}
    named = named if facts.get("source") or in_python(facts) else None
    recipe, (settings, splits, model) = requested(folder, named)[0], setup.reopen(folder, named)
    measured = evaluate.infer(model, {"validation": splits.validation, "test": splits.test}, settings.batch_size)
    activation, _ = examine.outputs(model, splits.train, recipe.class_output)
    test, balanced, confusion = measured["test"][1], None, None
    if classified := test.of_classes(facts | {"class_output": recipe.class_output}):
        counts = metrics.confusion(classified[0], classified[1].argmax(axis=1), len(splits.classes))
        balanced, confusion = metrics.beside_accuracy(counts, splits.train.labels).get(BALANCED), counts.tolist()
    means = results.training_means(splits, model) if any(test.of_values()) else {}
    config = {name: value for name, value in facts["config"].items() if name in SETTLED}
    inputs, bits = splits.test.inputs, {"bits": None}  # 16 in older runs without such pictures
    some = splits.test.limited(SOME), settings.batch_size
    answers = evaluate.forward(model, *some)
    found: dict[str, tuple[Any, Any]] = {
        "data": ([facts["data"].get(name) for name in SAME], [splits.source.get(name) for name in SAME]),
        "classes": (facts["classes"], list(splits.classes)),
        "inputs": (
            {"crop": False} | (facts.get("inputs") or {}) | bits,  # which the oldest runs do not have
            (dataclasses.asdict(inputs) if inputs else {"crop": False}) | bits,
        ),
        "examples": (facts["data"]["used"], splits.sizes()),
        "seed": (facts.get("seed"), settings.seed),
        "settings": (config, {name: getattr(settings, name) for name in config}),
        "augmentation": (facts["config"].get("augment") or {}, settings.augment.given()),
        "class output": (facts.get("class_output"), recipe.class_output),
        "class activation": (facts.get("class_activation"), activation),
        "weights": (facts.get("weights_sha256"), digest(model.get_weights())),
        "model's file": (evaluate.forward(load_model(folder, named), *some), answers),
        "parameters": (facts.get("parameters"), model.count_params()),
        "confusion": (written.get("confusion"), confusion),
        "balanced accuracy": ([facts.get(BALANCED), written.get(BALANCED)], [balanced, balanced]),
        "training means": (facts.get("training_means") or {}, results.numbers(means)),
        "test in run.json": (facts["test"], measured["test"][0]),
    }
    rows, (monitor, sign) = folder.read_history(), user_callbacks.monitored(recipe, model)
    whole = rows and [row["epoch"] for row in rows] == [*range(1, len(rows) + 1)]
    best = fit.best_epoch(rows, monitor, sign) if whole else facts["best_epoch"]
    found["best epoch"] = [facts["best_epoch"], written.get("best_epoch")], [best, best]
    seen, now = rows[best - 1][monitor] if whole else None, measured["validation"][0][monitor.removeprefix("val_")]
    edited = any(each.get("edited") for each in facts.get("resumed") or [])  # the code, since the best epoch
    narrow = ((facts.get("choices") or {}).get("precision") or {}).get("value") in ("bfloat16", "float16")
    same = whole and (edited or narrow or close(seen, now, ROUGHLY))
    if seen is None or close(answers, evaluate.forward(model, *some, draws=1)):  # else it draws in validation, too
        found["history"] = seen, seen if same else now
    for split, (scores, again) in measured.items():
        found[f"{split} metrics"] = written.get(split), scores
        recorded = (predictions.read(folder, split) or predictions.SplitPredictions(None, {}, {}))._asdict()
        found |= {f"{split} {name}": (recorded[name], each) for name, each in predictions.kept(again)._asdict().items()}
    return found


def apart(one: Any, other: Any) -> tuple[Any, Any]:
    """Return of two dicts that differ what differs; other values unchanged."""
    if close(one, other) or not (isinstance(one, dict) and isinstance(other, dict)):
        return one, other
    names = [name for name in one | other if not close(one.get(name), other.get(name))]
    return {name: one.get(name) for name in names}, {name: other.get(name) for name in names}


def close(one: Any, other: Any, within: float = CLOSE) -> bool:
    """Whether values, arrays or dicts are equal; floats within a share of the largest."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[name], other[name], within) for name in one)
    if isinstance(one, list) and isinstance(other, list) and any(isinstance(each, np.ndarray) for each in other):
        return len(one) == len(other) and all(map(close, one, other))
    try:
        a, b = np.asarray(one), np.asarray(other)
    except ValueError:  # a ragged list
        return False
    if a.shape == b.shape and "f" in (kinds := {a.dtype.kind, b.dtype.kind}) and kinds <= set("iuf"):
        most = np.abs(b[np.isfinite(b)]).max(initial=0)
        return np.allclose(a, b, rtol=0, atol=within * most + NOISE, equal_nan=True)
    return np.array_equal(a, b)
