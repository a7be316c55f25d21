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
from keraskit.runs import history, metrics
from keraskit.runs.history import Rows, number
from keraskit.runs.metrics import Z, interval
from keraskit.runs.predictions import SplitPredictions

HARMLESS = {  # settings that do not change the expected result
    *("seed", "output_dir", "save_every", "device", "devices", "threads", "precision", "xla", "deterministic"),
    "tensorboard",
}
STUCK = 3  # epochs at the loss of guessing
NEAR = 0.03  # of a loss, relative to that of guessing
FAR = 10  # times the loss of guessing, or the first, where training has diverged
WIDE = 0.2  # interval of accuracy
FEW = 5  # examples of a class, all wrong: p = 1/32 at a recall of one half
NAMED = 5  # classes


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
        margin = sampling_error(expected, splits.test.size)
        verdict = "BELOW what is expected" if reached < expected - margin else "as expected"
        verdict = "better than expected" if reached > expected + margin else verdict
        about = f"95% interval of {splits.test.size:,} test examples ±{margin:.3f}"
        verdicts.append(f"{words} {reached:.4f} is {verdict} ({expected}, {about})")
    return "; ".join(verdicts)


def sampling_error(share: float, count: int) -> float:
    """Half the 95 % interval, in steps of 0.001, of an accuracy that is measured on so many examples."""
    return round(Z * math.sqrt(share * (1 - share) / count), 3)


def findings(
    splits: Splits,
    rows: Rows,
    run: dict[str, Any],
    test: SplitPredictions,
    rate: float | None,
    resume: str,
    far: bool = False,
) -> dict[str, list[str]]:
    """Return `warnings`, of a result that is worth nothing, and `advice`.

    Args:
        splits: what it learned from.
        rows: its history.
        run: its manifest, which says what its outputs are.
        test: predictions of its best model.
        rate: the learning rate; None where it is not known.
        resume: how to train on; empty where the run is none to go on with.
        far: whether predicted values are further off than any that were learned.
    """
    loss = f"{run.get('class_output')}_loss"
    loss = loss if loss in rows[0] else "loss"
    trained, held_out = (np.array([row.get(each + loss, math.nan) for row in rows]) for each in ("", "val_"))
    known = test.of_classes(run)
    warnings, guessing = [], math.inf
    if known and splits.train.labels is not None:
        labels, probabilities = known
        warnings = _worthless(labels, probabilities, splits.classes)
        right = int((probabilities.argmax(axis=1) == labels).sum())
        shares = np.bincount(splits.train.labels)[np.unique(splits.train.labels)] / splits.train.size
        entropy = -float((shares * np.log(shares)).sum())  # nats, the cross-entropy of guessing by frequency
        reached = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-7)).mean()
        if interval(right, len(labels))[0] <= metrics.chance(labels) or reached > 2 * entropy:
            guessing = entropy
    if far or trained[-1] > FAR * min(trained[0], guessing):
        lower = f"train anew with a tenth of the learning rate{f' {rate:g}' if rate else ''}, or less"
        diverged = f"Training DIVERGED, its loss ends at {trained[-1]:.3g}: {lower}."
        return {"warnings": [diverged, *warnings], "advice": []}
    advice = [_stuck(trained, guessing), _course(trained, held_out, splits.validation.size, resume)]
    return {"warnings": warnings, "advice": [sentence for sentence in advice if sentence]}


def _worthless(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Warn of accuracy at or below the majority baseline, and of classes with recall 0."""
    counts = metrics.confusion(labels, probabilities.argmax(axis=1), len(classes))
    right, count, chance, found = int(np.trace(counts)), len(labels), metrics.chance(labels), []
    low, high = interval(right, count)
    if high < chance or (right / count <= chance and high - low < WIDE):
        word = "WORSE than" if high < chance else "NO BETTER than"
        most = f"always naming {classes[int(np.bincount(labels).argmax())]}, which gives {chance:.3f}"
        found.append(f"Test accuracy {right / count:.3f} ({low:.3f} to {high:.3f}) is {word} {most}.")
    table = metrics.by_class(counts)
    never = [f"{classes[i]} (of {n:,})" for i, n in enumerate(table["support"]) if n >= FEW and not table["recall"][i]]
    if never:
        more = f" and of {len(never) - NAMED} more classes" if len(never) > NAMED else ""
        found.append(f"Recall 0: NO test example is recognised of {', '.join(never[:NAMED])}{more}.")
    return found


def _stuck(trained: np.ndarray, guessing: float) -> str:
    """Advise where the loss stays at that of guessing by frequency."""
    count = int(np.argmax([*(np.abs(trained - guessing) > NEAR * guessing)[::-1], True]))
    if count < STUCK or not math.isfinite(guessing):
        return ""
    return (
        f"For {count} epochs the loss has stood at {guessing:.2f}, where guessing stands: nothing is learned. "
        "Another learning rate, ten times lower or higher, or more steps may change that."
    )


def _course(trained: np.ndarray, held_out: np.ndarray, count: int, resume: str) -> str:
    """Advise on over-fitting, or on more epochs."""
    if best := history.risen_since(held_out, trained, count):
        rose, fell = (f"{number(each[best - 1], 3)} to {number(each[-1], 3)}" for each in (held_out, trained))
        return (
            f"Since epoch {best} the validation loss rose from {rose} while the training loss fell from {fell}: "
            "over-fitting. More examples, augmentation or dropout help."
        )
    if not resume or not history.falls(held_out):
        return ""
    return f"The validation loss still falls ({number(held_out[-1], 3)} at the end): train on with `{resume}`."
