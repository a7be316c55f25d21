"""Write what a run records beside its manifest: a graph before training; predictions, metrics, figures after it."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keraskit.config import Settings
from keraskit.datasets.array_files import digest
from keraskit.datasets.splits import Splits
from keraskit.errors import printable, short
from keraskit.models import weights
from keraskit.recipe import Recipe
from keraskit.runs import figures, metrics, plots, predictions, report, verdict
from keraskit.runs.folder import MANIFEST, REPORT, STATISTICS, TRAINED_ON, RunFolder, resume_command
from keraskit.runs.predictions import SplitPredictions

Found = Mapping[str, tuple[dict[str, float], SplitPredictions]]  # metrics and predictions, by split


def begin(folder: RunFolder, model: keras.Model, splits: Splits) -> None:
    """Write what is known before training: model summary and graph, hashes of training files, statistics."""
    with weights.uncompiled(model):
        figures.draw_model(folder, model)
    if splits.prints is not None:
        with folder.atomic(TRAINED_ON) as path:
            np.save(path, splits.prints)
    if splits.train.augmentation and splits.train.augmentation.statistics:
        with folder.atomic(STATISTICS) as path:
            splits.train.augmentation.statistics.save(path)


def write(
    folder: RunFolder, recipe: Recipe, settings: Settings, splits: Splits, model: keras.Model, found: Found,
    best_epoch: int, different: dict[str, Any],
) -> None:  # fmt: skip
    """Write predictions, metrics, figures, verdict, warnings and advice.

    `different` are the flags that differ from the recipe's. The model has the weights of `best_epoch`, from 1.
    """
    run, rows, (measured, test) = folder.read_json(MANIFEST), folder.read_history(), found["test"]
    predictions.write(folder, {split: predicted for split, (_, predicted) in found.items()})
    written: dict[str, Any] = {split: scores for split, (scores, _) in found.items()} | {"best_epoch": best_epoch}
    sheets = figures.samples(recipe, splits, test) | figures.augmented(splits.train, settings.seed)
    beside: dict[str, float] = {}
    if classified := test.of_classes(run):
        labels, probabilities = classified
        counts = metrics.confusion(labels, probabilities.argmax(axis=1), len(splits.classes))
        beside = metrics.beside_accuracy(counts, splits.train.labels)
        plots.save(plots.confusion(counts, splits.classes), folder.path / "confusion.png")
        sheets |= figures.judged(splits.test, splits.classes, probabilities)
        written |= {"confusion": counts.tolist(), **beside}
    plots.save(plots.curves(rows, best_epoch), folder.path / "curves.png")
    figures.pack(folder, sheets)
    for name in sheets.keys() - {"right"}:  # which the report alone shows
        plots.save(plots.sheet(sheets[name]), folder.path / f"{name}.png")
    folder.write_json("metrics.json", written)

    words = verdict.judge(recipe, splits, settings, different, measured)
    values = list(test.of_values())
    means = _training_means(splits, model) if values else {}
    errors, worse, far = metrics.against_mean(values, means)
    go_on, more = resume_command(folder.path, run), f"--epochs {2 * settings.epochs}"
    go_on = f"{go_on} {more}" if go_on.startswith("keraskit resume") else more
    warnings, advice = verdict.findings(rows, run, found["validation"][1], test, go_on, far)
    if settings.quick:  # the verdict says that the result means nothing
        warnings, advice, worse = [], [], []
    folder.update_manifest(
        test=measured,
        **beside,
        best_epoch=best_epoch,
        verdict=words,
        warnings=[*run["warnings"], *warnings, *worse],
        advice=[] if " expected (" in words and "BELOW" not in words else advice,
        regression=errors,
        training_means={name: float(mean.item()) for name, mean in means.items() if mean.size == 1},
        weights_sha256=digest(model.get_weights()),
        seconds_per_epoch=float(np.median([row["seconds"] for row in rows])),
    )


def _training_means(splits: Splits, model: keras.Model) -> dict[str, Any]:
    """Mean of the training targets, by output."""
    sums: dict[str, Any] = {}
    for _, y, *_ in splits.train.in_order(1_024):
        for name, targets in by_output(y, model).items():
            sums[name] = sums.get(name, 0) + targets.sum(axis=0)
    return {name: total / splits.train.size for name, total in sums.items()}


def by_output(values: Any, model: keras.Model) -> dict[str, np.ndarray]:
    """Map the model's output names to their values; the output of a model with one is named ""."""
    if isinstance(values, list | tuple):
        names = getattr(model, "output_names", ())
        values = dict(zip(names if len(set(names)) == len(values) else range(len(values)), values, strict=True))
    return {str(k): np.asarray(v) for k, v in (values if isinstance(values, dict) else {"": values}).items()}


def show(folder: RunFolder) -> None:
    """Print test metrics, warnings, verdict, advice, training time and the report's path."""
    run, epochs = folder.read_json(MANIFEST), len(folder.read_history())
    if epochs < run["config"]["epochs"]:
        print(f"stopped after epoch {epochs}, best {run['best_epoch']}")
    for name, value in {**run["test"], "balanced_accuracy": run.get("balanced_accuracy")}.items():
        if value is not None:
            print(f"test {name.replace('_', ' '):16} {metrics.number(value)}")
    warnings = [f"WARNING: {sentence}" for sentence in run["warnings"]]
    for sentence in filter(None, (*warnings, *run["regression"], run["verdict"], *run["advice"])):
        print(printable(sentence))
    print(f"time           training {report.training_time(run['timings'])}")
    print(f"report         {printable(short(folder.path / REPORT))}", flush=True)
