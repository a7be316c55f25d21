"""Write what a run records beside its manifest, with the verdict: a comparison with the recipe, warnings and advice."""

import inspect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraskit.config import Settings
from keraskit.datasets.array_files import digest
from keraskit.datasets.splits import Split, Splits
from keraskit.datasets.splitting import order
from keraskit.errors import UserError, counted, printable, short
from keraskit.models import graph, weights
from keraskit.recipe import Recipe, place
from keraskit.registry import Card
from keraskit.runs import metrics, plots, predictions, report
from keraskit.runs.folder import MANIFEST, REPORT, STATISTICS, TRAINED_ON, RunFolder, resume_command
from keraskit.runs.metrics import Rows, number
from keraskit.runs.predictions import SplitPredictions

Found = Mapping[str, tuple[dict[str, float], SplitPredictions]]  # metrics and predictions, by split
HARMLESS = {  # settings that do not change the expected result
    *("seed", "output_dir", "save_every", "device", "devices", "threads", "precision", "xla", "deterministic"),
    *("acceleration", "tensorboard", "quick"),
}
DIVERGED = 10  # times the first loss, or the loss of guessing
WIDE = 0.2  # width of an accuracy interval that shows too little
FEW = 5  # examples of a class, all wrong: p = 1/32 at a recall of one half
NAMED = 5  # classes named in a warning
RISEN, FALLING = 0.25, 0.05  # relative change of a loss
SHOWN = 32  # pictures on a sheet


def begin(folder: RunFolder, model: keras.Model, splits: Splits) -> None:
    """Write what is known before training: model summary and graph, hashes of training files, statistics."""
    with weights.uncompiled(model):
        folder.write_text("summary.txt", graph.summary(model))
        try:
            graph.draw(model, folder.path / "architecture.svg", folder.path / "architecture.png", blocks=True)
        except UserError as error:  # no layout program, or a model it cannot draw
            print(f"no graph       {error}")
    if splits.prints is not None:
        with folder.atomic(TRAINED_ON) as path:
            np.save(path, splits.prints)
    if splits.train.augmentation and splits.train.augmentation.statistics:
        with folder.atomic(STATISTICS) as path:
            np.savez(path, **splits.train.augmentation.statistics)


def write(
    folder: RunFolder, recipe: Recipe, settings: Settings, splits: Splits, model: keras.Model, found: Found,
    best_epoch: int, stopped: bool,
) -> None:  # fmt: skip
    """Write predictions, metrics, figures, verdict, warnings and advice. The model is that of `best_epoch`, from 1.

    `stopped` tells whether a callback ended the run, and would again.
    """
    run, rows, (measured, test) = folder.read_json(MANIFEST), folder.read_history(), found["test"]
    predictions.write(folder, {split: predicted for split, (_, predicted) in found.items()})
    written: dict[str, Any] = {split: scores for split, (scores, _) in found.items()} | {"best_epoch": best_epoch}
    sheets = samples(recipe, splits, test, settings.seed)
    beside: dict[str, float] = {}
    if classified := test.of_classes(run):
        labels, probabilities = classified
        counts = metrics.confusion(labels, probabilities.argmax(axis=1), len(splits.classes))
        beside = metrics.beside_accuracy(counts, splits.train.labels)
        plots.save(plots.confusion(counts, splits.classes), folder.target("confusion.png"))
        sheets |= judged(splits.test, splits.classes, probabilities)
        written |= {"confusion": counts.tolist(), **beside}
    plots.save(plots.curves(rows, best_epoch), folder.target("curves.png"))
    report.pack(folder, sheets)
    for name in sheets.keys() - {"right"}:  # which the report alone shows
        plots.save(plots.sheet(sheets[name]), folder.target(f"{name}.png"))
    folder.write_json("metrics.json", written)

    words = judge(recipe, splits, settings, measured)
    values = list(test.of_values())
    means = training_means(splits, model) if values else {}
    errors, worse, far = metrics.against_mean(values, means)
    go_on, more = resume_command(folder.path, run), f"--epochs {2 * settings.epochs}"
    go_on = "" if stopped else f"{go_on} {more}" if go_on.startswith("keraskit resume") else more
    warnings, advice = findings(rows, run, test, go_on, far)
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
        training_means=numbers(means),
        weights_sha256=digest(model.get_weights()),
        seconds_per_epoch=float(np.median([row["seconds"] for row in rows])),
    )


def judged(split: Split, classes: Sequence[str], probabilities: np.ndarray) -> dict[str, plots.Sheet]:
    """Return sheets of the most confident mistakes and the first correct predictions; empty without pictures."""
    if split.inputs is None or split.labels is None:
        return {}
    predicted = probabilities.argmax(axis=1)
    right, wrong = np.flatnonzero(predicted == split.labels)[: report.WHOLE], np.flatnonzero(predicted != split.labels)
    worst = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:SHOWN]
    captions = []
    for i in worst:
        file = f"\n{Path(split.names[i]).name}" if split.names is not None else ""
        line = f"predicted {classes[predicted[i]]}, {probabilities[i, predicted[i]]:.2f}"
        captions.append(f"true {classes[split.labels[i]]}\n{line}{file}")
    title = f"{len(worst)} of {counted(len(wrong), 'mistake')} on {split.size:,} test examples, most confident first"
    return {
        "mistakes": plots.Sheet(split.pictures(worst), captions, title),
        "right": plots.Sheet(split.pictures(right), [classes[split.labels[i]] for i in right], "Right predictions"),
    }


def samples(recipe: Recipe, splits: Splits, test: SplitPredictions, seed: int) -> dict[str, plots.Sheet]:
    """Return sheets of training pictures, or the recipe's own figure, and of some as augmented in the first epoch."""
    train, sheets = splits.train, dict[str, plots.Sheet]()
    if recipe.figure:
        first = ({name: a[: SHOWN // 2] for name, a in arrays.items()} for arrays in (test.targets, test.predictions))
        figure = recipe.figure(splits.classes, *(arrays.get("", arrays) for arrays in first))
        pair = isinstance(figure, tuple) and len(figure) == 2 and len(figure[0]) == len(figure[1])
        if not pair or any(np.asarray(each).dtype != np.uint8 for each in figure[0]):
            advice = "Return a pair of pictures, uint8 from 0 to 255, and as many captions."
            raise UserError(f"{place(recipe.figure)} returns a {type(figure).__name__}.", advice)
        sheets["samples"] = plots.Sheet(*figure, "Test examples")
    elif train.inputs:
        chosen, labels = order(train.size, train.labels)[:SHOWN], train.labels
        captions = [""] * len(chosen) if labels is None else [splits.classes[label] for label in labels[chosen]]
        sheets["samples"] = plots.Sheet(train.pictures(chosen), captions, "Examples of the training split")
    if train.inputs and train.augmentation and train.augmentation.is_random:
        chosen = order(train.size, train.labels)[:8]
        given, numbers = train.pictures(chosen), train.augmentation.draws(train.size, (seed, 0)).numpy()[chosen]
        seen = train.augmentation.apply(given, numbers).numpy().clip(0, 255).round().astype(np.uint8)
        pairs = np.stack((given, seen), axis=1).reshape(-1, *given.shape[1:])
        captions = ["as it is", "as it was seen"] * len(given)
        sheets["augmented"] = plots.Sheet(pairs, captions, "Training pictures in the first epoch")
    return sheets


def judge(recipe: Recipe, splits: Splits, settings: Settings, test: dict[str, float]) -> str:
    """Compare test metrics with the recipe's expected ones; empty if flags or data are not its own."""
    if settings.quick:
        return "a quick run shows that everything runs, not what the recipe reaches"
    knobs, wanted = settings.requested["knobs"], {"weights": None, **recipe.expected_with}
    weights, values = knobs.get("weights"), {name: getattr(settings, name) for name in knobs}
    different = {n: v for n, v in values.items() if v not in (None, getattr(recipe, n, None))}
    published = weights in (None, recipe.pretrained and recipe.pretrained.weights)  # downloaded or from Keras's file
    different |= {**settings.options, "weights": wanted["weights"] if published else Path(str(weights)).name}
    module = getattr(recipe.data, "__module__", "")
    ours = module.startswith("keraskit.") and not module.endswith(".arrays")  # its result says if it is the reference
    harmless = HARMLESS | set(inspect.signature(recipe.data).parameters if ours else ()) - {"limit", "crop"}
    same = {name: value for name, value in different.items() if name not in harmless} == wanted
    other = not ours and Card(recipe.source, recipe.name).ours  # one of ours, on data that it was given
    if not same or other or not splits.source.get("reference", True):
        return ""
    verdicts = []
    for name, expected in recipe.expected.items():
        reached, words = test.get(name.removeprefix("test_")), name.replace("_", " ")
        if reached is None:  # of a model with steps of its own, whose metrics were unknown before
            verdicts.append(f"{words} is expected to be {expected}, and is not measured")
            continue
        if not name.endswith("accuracy"):  # neither an interval nor a direction is known
            verdicts.append(f"{words} {number(reached)}, where {expected} is expected")
            continue
        seeds = recipe.expected_spread.get(name, 0.0)
        margin = round(metrics.Z * math.sqrt(expected * (1 - expected) / splits.test.size + seeds**2), 3)
        above = "better than expected" if reached > expected + margin else "as expected"
        verdict = "BELOW what is expected" if reached < expected - margin else above
        about = f"95% interval of {splits.test.size:,} test examples{' and of seeds' if seeds else ''} ±{margin:.3f}"
        verdicts.append(f"{words} {reached:.4f} is {verdict} ({expected}, {about})")
    return "; ".join(verdicts)


def findings(
    rows: Rows, run: dict[str, Any], test: SplitPredictions, resume: str, far: bool
) -> tuple[list[str], list[str]]:
    """Return warnings of a worthless result, and advice; `resume` is the command to train further, if any.

    `far` means that regression errors show divergence (`metrics.against_mean`).
    """
    classes = run.get("classes") or []
    loss = f"{run.get('class_output')}_loss"
    loss = loss if loss in rows[0] else "loss"
    trained, held_out = (np.array([row.get(each + loss, math.nan) for row in rows]) for each in ("", "val_"))
    warnings, most = list[str](), trained[0] + (DIVERGED - 1) * abs(trained[0])  # it may be negative
    if classified := test.of_classes(run):
        labels, probabilities = classified
        warnings = _worthless(labels, probabilities, classes)
        log_loss = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-7)).mean()
        # Worse than guessing, it may have diverged in the first epoch; else it has not, whatever its loss counts.
        most = min(most, DIVERGED * math.log(len(classes))) if log_loss > 2 * math.log(len(classes)) else math.inf
    elif any(test.of_values()):
        most = math.inf  # `far` says it
    if far or np.fmin(trained[-1], held_out[-1]) > most:  # in training, examples may have weights
        rate = (run.get("options") or {}).get("learning_rate")
        lower = f"Train anew with a tenth of the learning rate{f' {rate:g}' if rate else ''}, or smaller inputs"
        began = ", or began far off" if trained[-1] < trained[0] else ""
        return [f"Training DIVERGED{began}: its loss ends at {trained[-1]:.3g}. {lower}.", *warnings], []
    return warnings, _course(trained, held_out, resume)


def _worthless(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Warn of accuracy at or below the majority baseline, and of classes with recall 0."""
    counts = metrics.confusion(labels, probabilities.argmax(axis=1), len(classes))
    right, count, chance, found = int(np.trace(counts)), len(labels), metrics.chance(labels), []
    low, high = metrics.interval(right, count)
    if high < chance or (right / count <= chance and high - low < WIDE):
        word = "WORSE than" if high < chance else "NO BETTER than"
        most = f"always naming {classes[int(np.bincount(labels).argmax())]}, which gives {chance:.3f}"
        found.append(f"Test accuracy {right / count:.3f} ({low:.3f} to {high:.3f}) is {word} {most}.")
    support, hits = counts.sum(axis=1), np.diag(counts)
    never = [f"{name} (of {n:,})" for name, n, hit in zip(classes, support, hits, strict=True) if n >= FEW and not hit]
    if never:
        more = f" and of {len(never) - NAMED} more classes" if len(never) > NAMED else ""
        found.append(f"Recall 0: NO test example is recognised of {', '.join(never[:NAMED])}{more}.")
    return found


def _course(trained: np.ndarray, held_out: np.ndarray, resume: str) -> list[str]:
    """Advise on over-fitting, if the last three validation losses are well above the best, or on more epochs."""
    if len(held_out) < 2 or not np.isfinite(held_out).all():
        return []
    best, last = int(held_out.argmin()), len(held_out) - 1
    risen = held_out[-3:].mean() > held_out[best] + RISEN * abs(held_out[best])
    if last > best + 2 and risen and trained[-1] < trained[best]:
        rose, fell = (f"{number(each[best], 3)} to {number(each[-1], 3)}" for each in (held_out, trained))
        said = f"Since epoch {best + 1} the validation loss rose from {rose} while the training loss fell from {fell}"
        return [f"{said}: over-fitting. More examples, augmentation or dropout help."]
    if resume and best == last and held_out[-1] < (then := held_out[-4:][0]) - FALLING * abs(then):
        return [f"The validation loss still falls ({number(held_out[-1], 3)} at the end): train on with `{resume}`."]
    return []


def training_means(splits: Splits, model: keras.Model) -> dict[str, Any]:
    """Mean of the training targets, by output."""
    sums: dict[str, Any] = {}
    for _, y, *_ in splits.train.in_order(1_024):
        for name, targets in by_output(y, model).items():
            sums[name] = sums.get(name, 0) + targets.sum(axis=0, dtype=np.float64)  # which float16 does not hold
    return {name: total / splits.train.size for name, total in sums.items()}


def numbers(means: Mapping[str, Any]) -> dict[str, float]:
    """Return the means of outputs of one value as numbers."""
    return {name: float(mean.item()) for name, mean in means.items() if mean.size == 1}


def by_output(values: Any, model: keras.Model) -> dict[str, np.ndarray]:
    """Map output names to their values, in the order of `model.outputs`; the output of a model with one is named ""."""
    pairs: Any = sorted(values.items()) if isinstance(values, dict) else [("", values)]  # as Keras flattens a dict
    if isinstance(values, list | tuple):
        names = getattr(model, "output_names", ())
        pairs = zip(names if len(set(names)) == len(values) else range(len(values)), values, strict=True)
    arrays = {str(name): np.asarray(value) for name, value in pairs}
    return {name: each.astype("f4") if each.dtype.kind == "V" else each for name, each in arrays.items()}  # bfloat16


def show(folder: RunFolder) -> None:
    """Print test metrics, warnings, verdict, advice, training time and the report's path."""
    run, epochs = folder.read_json(MANIFEST), len(folder.read_history())
    if epochs < run["config"]["epochs"]:
        print(f"stopped after epoch {epochs}, best {run['best_epoch']}")
    for name, value in {**run["test"], "balanced_accuracy": run.get("balanced_accuracy")}.items():
        if value is not None:
            print(f"test {name.replace('_', ' '):16} {number(value)}")
    warnings = [f"WARNING: {sentence}" for sentence in run["warnings"]]
    for sentence in filter(None, (*warnings, *run["regression"], run["verdict"], *run["advice"])):
        print(printable(sentence))
    print(f"time           training {report.training_time(run['timings'])}")
    print(f"report         {printable(short(folder.path / REPORT))}", flush=True)
