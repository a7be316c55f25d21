"""`keraskit verify`: evaluate a finished run's model again, and compare with all that it recorded."""

from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keraskit.datasets.array_files import digest
from keraskit.datasets.splits import Splits
from keraskit.errors import RunStopped, printable
from keraskit.files import MODEL
from keraskit.models import applications
from keraskit.recipe import call
from keraskit.runs import manifest, predictions
from keraskit.runs.folder import RunFolder
from keraskit.runs.predictions import SplitPredictions
from keraskit.training import hardware, outputs, resume
from keraskit.training.evaluate import infer
from keraskit.training.settings import settle
from keraskit.training.setup import build, compile_model, follow_classes, load

CLOSE = 1e-4  # of figures and probabilities: other machines round otherwise


class Fact(NamedTuple):
    """A recorded fact, whether it holds, and both values in words."""

    name: str
    holds: bool
    said: str


def verify(path: Path, recipe: Path | None = None) -> None:
    """Check a run and print a line for each fact. `recipe` is the file of a recipe of the user's own.

    Raises UserError where the run has not finished, or its recipe or data are not there; RunStopped where a fact does
    not hold.
    """
    facts = check(manifest.newest(path), recipe)
    for fact in facts:
        print(f"{fact.name:22} {'agrees' if fact.holds else 'DIFFERS'}: {printable(fact.said)}", flush=True)
    wrong = [fact.name for fact in facts if not fact.holds]
    if wrong:
        raise RunStopped(f"{len(wrong)} of {len(facts)} facts do not agree: {', '.join(wrong)}.", "See above.")


class Reopened(NamedTuple):
    """A finished run: its manifest, data, best model, compiled, and devices."""

    facts: dict[str, Any]
    splits: Splits
    model: keras.Model
    devices: hardware.Devices
    batch_size: int


def reopen(folder: RunFolder, named: Path | None = None) -> Reopened:
    """Load a run's data and model again. `named` is the file of the user's own recipe.

    Raises UserError where the run has not finished, its recipe is to be named, or is another, or data are not there.
    """
    facts, recipe = resume.read(folder, "test", "best_epoch"), resume.recipe_of(folder, named)
    settings = settle(recipe, *resume.asked(folder))
    devices = hardware.configure(settings)
    source = call(recipe.data, settings.arguments)
    settings = follow_classes(recipe, settings, source.classes)
    with devices.scope:
        model = build(recipe, settings)
        splits = load(recipe, settings, model, source).augmented(settings.augment)
        applications.load_file(model, folder.file(MODEL))
        compile_model(recipe, settings, 1, model)
    return Reopened(facts, splits, model, devices, settings.batch_size)


def check(folder: RunFolder, named: Path | None = None) -> list[Fact]:
    """Compute the facts of a finished run again from its model and data."""
    run = reopen(folder, named)
    recorded, splits, model = run.facts, run.splits, run.model
    data = recorded["data"]
    same = data.get("sha256") == splits.source.get("sha256") and data["used"] == splits.sizes()
    used = "/".join(f"{count:,}" for count in splits.sizes().values())
    found = [Fact("data", same, f"{splits.source['name']}, {used} examples, sha256 {splits.source.get('sha256')}")]
    with run.devices.scope:
        measured = infer(model, {"validation": splits.validation, "test": splits.test}, run.batch_size)
        activation, _ = outputs.examine(model, splits.train, recorded.get("class_output"))
    said = f"logits, of which a {activation} makes probabilities" if activation else "probabilities, or no classes"
    found.append(Fact("outputs", activation == recorded.get("class_activation"), said))

    weights = digest(model.get_weights())
    found.append(Fact("weights", weights == recorded.get("weights_sha256"), f"sha256 {weights[:16]}"))
    written = folder.read_json("metrics.json")
    for split, (metrics, again) in measured.items():
        known = recorded["test"] if split == "test" else _dict(_dict(written).get(split))
        found += [_metric(f"{split} {name}", known.get(name), value) for name, value in metrics.items()]
        found.append(_predictions(split, predictions.read(folder, split), again))
    found.append(Fact("metrics.json", _dict(written).get("test") == recorded["test"], "as run.json has the test"))
    rows, best = len(folder.read_history()), recorded["best_epoch"]
    found.append(Fact("history", 0 < best <= rows, f"{rows} epochs, the best is {best}"))
    return found


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _metric(name: str, recorded: Any, measured: float) -> Fact:
    if not isinstance(recorded, int | float):
        return Fact(name, False, f"not recorded, measured {measured:.4f}")
    close = abs(recorded - measured) <= CLOSE * max(1.0, abs(measured))
    return Fact(name, close, f"recorded {recorded:.4f}, measured {measured:.4f}")


def _predictions(split: str, recorded: SplitPredictions | None, again: SplitPredictions) -> Fact:
    name, kept = f"{split} predictions", predictions.kept(again)
    if recorded is None:
        return Fact(name, False, "there is no predictions.npz")
    odd = [what for what in ("labels", "names", "targets") if not _same(getattr(recorded, what), getattr(kept, what))]
    if {n: a.shape for n, a in recorded.predictions.items()} != {n: a.shape for n, a in kept.predictions.items()}:
        odd.append("outputs or shapes")
    if odd:
        return Fact(name, False, f"other {' and '.join(odd)}")
    pairs = [(now.astype(np.float64), recorded.predictions[output]) for output, now in kept.predictions.items()]
    far = max(float((np.abs(now - then) / np.maximum(1, np.abs(now))).max()) for now, then in pairs)
    return Fact(name, far <= CLOSE, f"largest difference {far:.2g}")


def _same(one: Any, other: Any) -> bool:
    """Whether two arrays, lists, dicts of arrays, or None are equal."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
    return (one is None) == (other is None) and np.array_equal(one, other)
