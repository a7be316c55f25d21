"""Compare a result with the metrics its recipe expects; warn and advise where the evidence is clear."""

import inspect
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keraskit.config import Settings
from keraskit.datasets.splits import Splits
from keraskit.recipe import Recipe
from keraskit.runs import metrics
from keraskit.runs.metrics import Rows, number
from keraskit.runs.predictions import SplitPredictions

HARMLESS = {  # settings that do not change the expected result
    *("seed", "output_dir", "save_every", "device", "devices", "threads", "precision", "xla", "deterministic"),
    "tensorboard",
}
DIVERGED = 10  # times the first loss, or the loss of guessing
WIDE = 0.2  # width of an accuracy interval that shows too little
FEW = 5  # examples of a class, all wrong: p = 1/32 at a recall of one half
NAMED = 5  # classes named in a warning
UNLIKE = 0.01  # p-value below which validation and test differ
RISEN, FALLING = 0.25, 0.05  # relative change of a loss


def judge(recipe: Recipe, splits: Splits, settings: Settings, different: dict[str, Any], test: dict[str, float]) -> str:
    """Compare test metrics with the recipe's expected ones; empty if flags (`different`) or data are not its own."""
    if settings.quick:
        return "a quick run shows that everything runs, not what the recipe reaches"
    weights, wanted = settings.requested["knobs"].get("weights"), {"weights": None, **recipe.expected_with}
    published = weights in (None, recipe.pretrained and recipe.pretrained.weights)  # downloaded or from Keras's file
    different = {**different, "weights": wanted["weights"] if published else Path(str(weights)).name}
    ours = getattr(recipe.data, "__module__", "").startswith("keraskit.")  # whose result says if it is the reference
    harmless = HARMLESS | set(inspect.signature(recipe.data).parameters if ours else ())
    same = {name: value for name, value in different.items() if name not in harmless} == wanted
    if not same or not splits.source.get("reference", True):
        return ""
    verdicts = []
    for name, expected in recipe.expected.items():
        reached, words = test[name.removeprefix("test_")], name.replace("_", " ")
        if not name.endswith("accuracy"):  # neither an interval nor a direction is known
            verdicts.append(f"{words} {reached:.4f}, where {expected} is expected")
            continue
        seeds = recipe.expected_spread.get(name, 0.0)
        margin = round(metrics.Z * math.sqrt(expected * (1 - expected) / splits.test.size + seeds**2), 3)
        above = "better than expected" if reached > expected + margin else "as expected"
        verdict = "BELOW what is expected" if reached < expected - margin else above
        about = f"95% interval of {splits.test.size:,} test examples{' and of seeds' if seeds else ''} ±{margin:.3f}"
        verdicts.append(f"{words} {reached:.4f} is {verdict} ({expected}, {about})")
    return "; ".join(verdicts)


def findings(
    rows: Rows, run: dict[str, Any], validation: SplitPredictions, test: SplitPredictions, resume: str, far: bool
) -> tuple[list[str], list[str]]:
    """Return warnings of a worthless result, and advice; `resume` is the command to train further.

    `far` means that regression errors show divergence (`metrics.against_mean`).
    """
    classes = run.get("classes") or []
    loss = f"{run.get('class_output')}_loss"
    loss = loss if loss in rows[0] else "loss"
    trained, held_out = (np.array([row.get(each + loss, math.nan) for row in rows]) for each in ("", "val_"))
    warnings, advice, most = [], [], trained[0] + (DIVERGED - 1) * abs(trained[0])  # it may be negative
    if classified := test.of_classes(run):
        labels, probabilities = classified
        warnings = _worthless(labels, probabilities, classes)
        if held := validation.of_classes(run):
            counts = [(int((p.argmax(axis=1) == y).sum()), len(y)) for y, p in (held, classified)]
            if (p := metrics.two_proportions(*counts[0], *counts[1])) < UNLIKE:
                apart = "Accuracy is {:.3f} in validation and {:.3f} in test".format(*(n / of for n, of in counts))
                advice.append(f"{apart}: more than chance (p = {p:.1g}), they are not alike.")
        log_loss = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-7)).mean()
        if log_loss > 2 * math.log(len(classes)):  # worse than guessing: it may have diverged in the first epoch
            most = min(most, DIVERGED * math.log(len(classes)))
    if far or trained[-1] > most:
        rate = (run.get("options") or {}).get("learning_rate")
        lower = f"train anew with a tenth of the learning rate{f' {rate:g}' if rate else ''}, or smaller inputs"
        return [f"Training DIVERGED, its loss ends at {trained[-1]:.3g}: {lower}.", *warnings], []
    return warnings, advice + _course(trained, held_out, resume)


def in_words(run: dict[str, Any], test: SplitPredictions | None) -> tuple[str, bool]:
    """Say in a sentence what the result means, and what that rests on, to readers outside the field; '' if unknown.

    Returns also whether the result is surely better than an answer that does not look at the example.
    """
    means, expect = run.get("training_means") or {}, "on others like them, expect"
    means = {name: mean for name, mean in means.items() if mean is not None}
    if test and (classified := test.of_classes(run)):
        labels, probabilities = classified
        right, chance = int((probabilities.argmax(axis=1) == labels).sum()), metrics.chance(labels)
        low, high = metrics.interval(right, len(labels))
        said = f"it names {right / len(labels):.1%} correctly ({expect} {low:.1%} to {high:.1%})"
        apart = ", and these examples cannot tell the two apart" if low <= chance <= high else ""
        usual, better = f"giving the most frequent answer would be right for {chance:.1%}{apart}", low > chance
    elif test and (found := test.of_labels(run)):
        labels, hits = found[0], (found[1] > 0.5) == found[0]
        chance = np.maximum(labels.mean(axis=0), 1 - labels.mean(axis=0)).mean()
        said = f"it decides {hits.mean():.1%} of the labels correctly (all of them for {hits.all(axis=1).mean():.1%})"
        usual, better = f"giving each label's usual answer would decide {chance:.1%} correctly", hits.mean() > chance
    elif test and (values := [each for each in test.of_values() if each[0] in means]):
        name, labels, predicted = values[0]
        error, low, high = metrics.mean_interval(np.abs(predicted - labels)[:, 0])
        off = np.abs(means[name] - labels).mean()
        said = f"it is off by {error:.3g} on average ({expect} {low:.3g} to {high:.3g})"
        usual, better = f"answering the mean of the training examples would be off by {off:.3g}", high < off
    else:
        return "", False
    return f"On {len(labels):,} examples that it had never seen, {said}, where always {usual}.", better


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
    if last > 2 and risen and trained[-1] < trained[best]:
        rose, fell = (f"{number(each[best], 3)} to {number(each[-1], 3)}" for each in (held_out, trained))
        said = f"Since epoch {best + 1} the validation loss rose from {rose} while the training loss fell from {fell}"
        return [f"{said}: over-fitting. More examples, augmentation or dropout help."]
    if best == last and held_out[-1] < (then := held_out[-4:][0]) - FALLING * abs(then):
        return [f"The validation loss still falls ({number(held_out[-1], 3)} at the end): train on with `{resume}`."]
    return []
