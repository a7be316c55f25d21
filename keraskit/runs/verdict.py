"""The verdict: a result beside what its recipe promises; warnings and advice, where they are sure."""

from __future__ import annotations

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
from keraskit.runs.history import Rows, number
from keraskit.runs.metrics import Z, interval, two_proportions
from keraskit.runs.predictions import SplitPredictions

HARMLESS = {  # settings that do not change the expected result
    *("seed", "output_dir", "save_every", "device", "devices", "threads", "precision", "xla", "deterministic"),
    "tensorboard",
}
DIVERGED = 10  # times the first loss, or that of guessing
WIDE = 0.2  # interval of accuracy
FEW = 5  # examples of a class, all wrong: p = 1/32 at a recall of one half
NAMED = 5  # classes
UNLIKE = 0.01  # p-value below which validation and test differ
RISEN, FALLING = 0.25, 0.05  # of a loss, relative


def judge(recipe: Recipe, splits: Splits, settings: Settings, given: dict[str, Any], metrics: dict[str, float]) -> str:
    """Compare a run with what the recipe promises; empty where that was measured with other flags or of other data.

    `given` is what the run has otherwise than the recipe by itself.
    """
    if settings.quick:
        return "a quick run shows that everything runs, not what the recipe reaches"
    of_data = inspect.signature(recipe.data).parameters
    given = {name: value for name, value in given.items() if name not in HARMLESS and name not in of_data}
    wanted = dict(recipe.expected_with)
    weights = settings.requested["knobs"].get("weights")
    if weights in (None, recipe.pretrained and recipe.pretrained.weights):
        for flags_of in (given, wanted):  # Keras's published weights, whether from its file or downloaded
            flags_of.pop("weights", None)
    else:
        given["weights"] = Path(str(weights)).name
    if given != wanted or not splits.source.get("reference", True):
        return ""
    verdicts = []
    for name, expected in recipe.expected.items():
        reached, words = metrics[name.removeprefix("test_")], name.replace("_", " ")
        if not name.endswith("accuracy"):  # neither an interval nor a direction is known
            verdicts.append(f"{words} {reached:.4f}, where {expected} is expected")
            continue
        margin = round(Z * math.sqrt(expected * (1 - expected) / splits.test.size), 3)
        verdict = "BELOW what is expected" if reached < expected - margin else "as expected"
        verdict = "better than expected" if reached > expected + margin else verdict
        about = f"95% interval of {splits.test.size:,} test examples ±{margin:.3f}"
        verdicts.append(f"{words} {reached:.4f} is {verdict} ({expected}, {about})")
    return "; ".join(verdicts)


def findings(
    classes: Sequence[str],
    rows: Rows,
    run: dict[str, Any],
    validation: SplitPredictions,
    test: SplitPredictions,
    resume: str,
    far: bool = False,
) -> dict[str, list[str]]:
    """Return `warnings`, of a result that is worth nothing, and `advice`.

    Args:
        classes: their names.
        rows: the run's history.
        run: its manifest, which says what its outputs are.
        validation, test: predictions of its best model.
        resume: how to train on; empty where the run is none to go on with.
        far: whether predicted values are further off than any that were learned.
    """
    loss = f"{run.get('class_output')}_loss"
    loss = loss if loss in rows[0] else "loss"
    trained, held_out = (np.array([row.get(each + loss, math.nan) for row in rows]) for each in ("", "val_"))
    warnings, unlike, most = [], [], DIVERGED * trained[0]
    if known := test.of_classes(run):
        labels, probabilities = known
        warnings = _worthless(labels, probabilities, classes)
        if held := validation.of_classes(run):
            unlike = _unlike(*(((p.argmax(axis=1) == y).sum(), len(y)) for y, p in (held, known)))
        log_loss = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-7)).mean()
        if log_loss > 2 * math.log(len(classes)):  # worse than guessing: it may have diverged in the first epoch
            most = min(most, DIVERGED * math.log(len(classes)))
    if far or trained[-1] > most:
        lower = f"train anew with a tenth of the learning rate{_rate(run)}, or less"
        diverged = f"Training DIVERGED, its loss ends at {trained[-1]:.3g}: {lower}."
        return {"warnings": [diverged, *warnings], "advice": []}
    return {"warnings": warnings, "advice": unlike + _course(trained, held_out, resume)}


def _worthless(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Warn of accuracy at or below the majority baseline, and of classes with recall 0."""
    counts = metrics.confusion(labels, probabilities.argmax(axis=1), len(classes))
    right, count, chance, found = int(np.trace(counts)), len(labels), metrics.chance(labels), []
    low, high = interval(right, count)
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


def _rate(run: dict[str, Any]) -> str:
    """The learning rate that a run was given, or its schedule began with; empty where it is not known."""
    rate = (run.get("options") or {}).get("learning_rate", (run.get("optimizer") or {}).get("learning_rate"))
    if isinstance(rate, dict):
        rate = rate["config"].get("initial_learning_rate")
    return f" {rate:g}" if rate else ""


def _unlike(validation: tuple[int, int], test: tuple[int, int]) -> list[str]:
    """Say where the accuracies of two splits, right and count, differ by more than chance."""
    if (p := two_proportions(*validation, *test)) >= UNLIKE:
        return []
    one, other = (f"{right / count:.3f}" for right, count in (validation, test))
    return [f"Accuracy is {one} in validation and {other} in test: more than chance (p = {p:.1g}), they are not alike."]


def _course(trained: np.ndarray, held_out: np.ndarray, resume: str) -> list[str]:
    """Advise on over-fitting, or on more epochs."""
    if best := risen_since(held_out, trained):
        rose, fell = (f"{number(each[best - 1], 3)} to {number(each[-1], 3)}" for each in (held_out, trained))
        return [
            f"Since epoch {best} the validation loss rose from {rose} while the training loss fell from {fell}: "
            "over-fitting. More examples, augmentation or dropout help."
        ]
    if resume and still_falls(held_out):
        return [f"The validation loss still falls ({number(held_out[-1], 3)} at the end): train on with `{resume}`."]
    return []


def risen_since(validation: np.ndarray, training: np.ndarray) -> int:
    """The epoch, from 1, of the lowest validation loss, where the last three lie well above it; otherwise 0.

    The training loss must have fallen since.
    """
    if len(validation) < 4 or not np.isfinite(validation).all():
        return 0
    best = int(validation.argmin())
    risen = validation[-3:].mean() > validation[best] + RISEN * abs(validation[best])
    return best + 1 if risen and training[-1] < training[best] else 0


def still_falls(losses: np.ndarray) -> bool:
    """Whether the last loss is the lowest, and well below that of three epochs before."""
    if len(losses) < 2 or not np.isfinite(losses).all():
        return False
    return bool(losses[-1] == losses.min() and losses[-1] < (1 - FALLING) * losses[-4:][0])
