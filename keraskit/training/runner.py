"""The runner: load the data, build, fit, evaluate, save and plot any recipe. Read `train` from top to bottom."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import keras

from keraskit.config import RunConfig
from keraskit.errors import UserError, counted, flags, printable
from keraskit.recipe import Recipe
from keraskit.runs import results
from keraskit.runs.folder import RunFolder, now
from keraskit.training import hardware, outputs, previous, resume, scale
from keraskit.training.evaluate import evaluate
from keraskit.training.fit import fit
from keraskit.training.settings import different, fields, settle, words
from keraskit.training.setup import TrainingSetup, prepare, source_of

LABELS = {"steps_per_execution": "steps at once", "micro_batches": "micro batches"}


@dataclasses.dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Args:
        model: the trained model with its best weights by validation, in float32.
        history: one row per epoch: epoch, metrics, validation metrics, seconds.
        metrics: metrics on the test split, such as `{"loss": 0.06, "accuracy": 0.982}`.
        folder: the run folder; None for a worker that is not the chief.
    """

    model: keras.Model
    history: list[dict[str, float]] = dataclasses.field(repr=False)
    metrics: dict[str, float]
    folder: Path | None


def train(
    recipe: Recipe, config: RunConfig, options: dict[str, Any], run: RunFolder | None = None, ago: float = 0.0
) -> RunResult:
    """Settle, load, build, fit, evaluate, report. `run` is a run to resume; the command began `ago` seconds before."""
    if config.seeds > 1:
        raise UserError("Several seeds are runs of the command line.", "In Python, run once with each seed.")
    began = time.monotonic() - ago
    if config.resume:
        run = resume.find(recipe, config, options)
    settings = settle(recipe, config, options)
    devices = hardware.configure(settings)  # before any tensor exists
    settings = previous.begin_from(recipe, settings, run, devices.cluster, train)
    source = source_of(recipe, settings)
    setup = prepare(recipe, settings, source, devices)
    facts = {**describe(setup, recipe), "started": now(time.monotonic() - began)}
    announce(setup, facts)
    with resume.opened(setup, run, facts) as (folder, start):
        if folder:
            results.begin(folder, setup.model, setup.splits)
        fitting = time.monotonic()
        best = fit(setup, folder, start)
        fitted = time.monotonic()
        if folder is None:  # a worker: the chief evaluates and reports
            devices.cluster.leave()
            return RunResult(setup.training_copy, best.rows, {}, None)
        found = evaluate(setup, folder)
        others = different(recipe, settings)
        results.write(folder, recipe, settings, setup.splits, setup.model, found, best.best_epoch, others)
        earlier = sum(row["seconds"] for row in start.position.rows) if start else 0.0
        spent = {"before": fitting - began, "fit": fitted - fitting + earlier, "after": time.monotonic() - fitted}
        folder.update_manifest(timings={stage: round(seconds, 3) for stage, seconds in spent.items()})
    devices.cluster.leave()
    results.show(folder)
    return RunResult(setup.model, best.rows, found["test"][0], folder.path)


def describe(setup: TrainingSetup, recipe: Recipe) -> dict[str, Any]:
    """Return the manifest's entries that are known before training."""
    settings, model = setup.settings, setup.model
    with setup.devices.scope:
        activation, wrong = outputs.examine(model, setup.splits.train, recipe.class_output)
        wrong += scale.examine(model, setup.splits.train)
    return results.describe(recipe, settings, setup.splits) | {
        "asked": {**words(settings.requested, recipe.source), "recipe": fields(recipe)},
        "optimizer": keras.optimizers.serialize(setup.training_copy.optimizer)["config"],
        "monitor": setup.monitor[0],
        "parameters": model.count_params(),
        "class_activation": activation,
        "choices": dataclasses.asdict(setup.choices),
        "hardware": hardware.describe(),
        "warnings": wrong,
    }


def announce(setup: TrainingSetup, facts: dict[str, Any]) -> None:
    """Print a summary of the run that is about to start, one fact per line."""
    settings, data = setup.settings, facts["data"]
    own = f" with {flags(settings.options)}" if settings.options else ""
    sizes = ", ".join(f"{size:,} {split}" for split, size in data["used"].items())
    passes = f"{counted(settings.epochs, 'epoch')} of {counted(setup.epochs.steps, 'step')} of {settings.batch_size}"
    found = f" from {data['found']}" if data["found"] != data["name"] else ""
    lines = [
        ("recipe", f"{facts['recipe']}{own}: {facts['parameters']:,} parameters, {passes}, seed {settings.seed}"),
        ("data", f"{data['name']}{found}: {sizes}"),
        *(("", note) for note in data.get("notes", ())),
        ("augmentation", flags(settings.augment.given()).replace("--", "")),
        ("weights", f"from {settings.weights}" if settings.weights else ""),
        *((LABELS.get(name, name), choice) for name, choice in vars(setup.choices).items()),
        *(("WARNING", sentence) for sentence in facts["warnings"]),
    ]
    if activation := facts["class_activation"]:
        lines.append(("outputs", f"logits, as the loss takes them; their {activation} makes probabilities"))
    for name, said in lines:
        if said:
            print(f"{name:14} {printable(said)}")
