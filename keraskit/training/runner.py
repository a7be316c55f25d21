"""The runner: settles, loads, builds, fits, evaluates, saves and plots any recipe. Read `train` from top to bottom."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraskit import files, startup, system
from keraskit.augment import Augmentation
from keraskit.config import RunConfig, Settings, changed, flags
from keraskit.datasets.images import digit_pictures
from keraskit.datasets.splits import Splits
from keraskit.errors import printable
from keraskit.options import call
from keraskit.recipe import Recipe
from keraskit.registry import Card
from keraskit.results import figures, plots, report
from keraskit.results.run_folder import MODEL, RunFolder, now
from keraskit.training import fit, hardware, previous, resources, resume, verdict
from keraskit.training.callbacks import KeepBest
from keraskit.training.evaluate import infer
from keraskit.training.resume import Unfinished
from keraskit.training.settings import settle
from keraskit.training.setup import TrainingSetup, prepare

LABELS = {"steps_per_execution": "steps at once"}


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a run gives back.

    Args:
        model: the trained model with its best weights by validation, in float32.
        history: one row per epoch: epoch, metrics, validation metrics, seconds.
        metrics: of the test split, such as `{"loss": 0.06, "accuracy": 0.982}`.
        folder: where everything lies; None for a worker that is not the chief.
    """

    model: keras.Model
    history: list[dict[str, float]] = dataclasses.field(repr=False)
    metrics: dict[str, float]
    folder: Path | None


def train(
    recipe: Recipe, config: RunConfig, options: dict[str, Any], unfinished: Unfinished | None = None
) -> RunResult:
    """Settle, load, build, fit, evaluate, save, plot.

    Args:
        recipe: what to train.
        config: the knobs that the user gave; the recipe fills in the rest.
        options: the recipe's own flags that the user gave.
        unfinished: a run to go on with.
    """
    timings = Timings(startup.spent())
    timings.mark("start-up")
    if config.like:
        config, options = resume.like(recipe, config, options)
    if config.resume:
        unfinished = resume.find(recipe, config, options)
    settings = settle(recipe, config, options, unfinished.chosen if unfinished else None)
    if unfinished:
        timings.add(unfinished.timings)
    else:
        files.check_folder(settings.output_dir)
    place = hardware.occupy(settings)
    if recipe.pretrained and recipe.pretrained.after and not previous.is_run(settings.weights):
        settings = dataclasses.replace(settings, weights=str(_run_before(recipe, config, settings, place)))
    timings.mark("before")

    splits = load(recipe, settings)
    timings.mark("data")
    setup = prepare(recipe, settings, splits, place)
    timings.mark("build")
    if not place.cluster.chief:
        return train_along(setup, unfinished)
    resources.check_disk(
        unfinished.folder.path if unfinished else settings.output_dir, setup.model, setup.training_copy
    )
    if unfinished:
        unfinished.check(setup.splits, setup.choices, hardware.describe())
        folder, facts = unfinished.folder, unfinished.facts
    else:
        facts = describe(setup, config, options) | {"started": timings.started}
        folder = RunFolder.create(settings.output_dir, recipe.name)
    command = resume.command(folder, facts, place.cluster.workers)

    facts = {} if unfinished else facts
    with folder.alone(), resume.advising(command), folder.recorded(**facts, timings=timings.seconds):
        announce(setup)
        print(f"run folder     {short(folder.path)}", flush=True)
        figures.draw_model(folder, setup.model, setup.summary)
        start = unfinished.begin() if unfinished else None
        keeper = KeepBest(folder, setup)
        timings.mark("build")
        fit.fit(setup, keeper, start, command)
        timings.mark("fit")
        timings.add({"fit": start.position.fitting} if start else {})
        metrics = evaluate(setup, keeper, folder)
        timings.mark("evaluate and draw")
        words = verdict.judge(setup, config, options, metrics)
        folder.update_manifest(
            test=metrics,
            best_epoch=keeper.best_epoch,
            verdict=words,
            weights_sha256=weights_hash(setup.model),
            timings=timings.seconds,
            seconds_per_epoch=float(np.median([row["seconds"] for row in keeper.rows])),
        )
    resume.close(folder)
    place.cluster.leave()

    for name, value in metrics.items():
        print(f"test {name.replace('_', ' '):16} {value:.4f}")
    if words:
        print(words)
    print(f"time           training {report.training_time(timings.seconds)}")
    print(f"report         {short(folder.path / report.REPORT)}", flush=True)
    return RunResult(setup.model, keeper.rows, metrics, folder.path)


def load(recipe: Recipe, settings: Settings) -> Splits:
    """The recipe's data, at most `limit` examples of each split."""
    return call(recipe.data, settings.options, limit=settings.limit, seed=settings.seed).limited(settings.limit)


def evaluate(setup: TrainingSetup, keeper: KeepBest, folder: RunFolder) -> dict[str, float]:
    """Take the best weights, read the test split once, and write its metrics and the figures."""
    recipe, model, splits = setup.recipe, setup.model, setup.splits
    model.load_weights(folder.path / MODEL)
    with setup.place.scope:
        metrics, predictions = infer(model, splits.test, 2 * setup.settings.batch_size, recipe.class_output)
        figures.draw_samples(folder, recipe, model, splits)
    found: dict[str, Any] = {"test": metrics, "best_epoch": keeper.best_epoch}
    if splits.classes:
        found["confusion"] = figures.draw_classes(folder, splits, predictions).tolist()
    with folder.atomic("curves.png") as path:
        plots.curves(keeper.rows, keeper.best_epoch, path)
    figures.draw_augmented(folder, splits.train, setup.settings.seed)
    folder.write_json("metrics.json", found)
    return metrics


def train_along(setup: TrainingSetup, unfinished: Unfinished | None) -> RunResult:
    """What a worker does that is not the chief: it trains, and writes nothing."""
    announce(setup)
    print("run folder     written by worker 0", flush=True)
    rows = fit.fit_along(setup, unfinished.checkpoint() if unfinished else None)
    setup.place.cluster.leave()
    return RunResult(setup.training_copy, rows, {}, None)


def _run_before(recipe: Recipe, config: RunConfig, settings: Settings, place: hardware.Place) -> Path:
    """The folder of the run that a recipe starts from: the newest that fits, or one that is trained now."""
    before, options = previous.wanted(recipe, settings)
    if found := previous.find(before, options, settings):
        print(f"{recipe.name} goes on from {found}", flush=True)
        return found.absolute()
    previous.refuse_among_workers(recipe, before, place.cluster)
    print(f"{recipe.name} starts from a run of {before.name}; there is none with these flags, so here it is first:")
    its_own: dict[str, Any] = {
        "epochs": None,
        "batch_size": None,
        "steps_per_epoch": None,
        "devices": None,
        "callbacks": None,
    }
    result = train(before, dataclasses.replace(config, **its_own, augment=Augmentation()), options)
    print(flush=True)
    assert result.folder
    return result.folder.absolute()


class Timings:
    """Seconds of each stage of a run; their sum is what it took.

    Args:
        ago: how many seconds ago the run began.
    """

    def __init__(self, ago: float) -> None:
        self.started = now(ago)
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic() - ago

    def mark(self, stage: str) -> None:
        """End a stage, or go on with one that has ended before."""
        last, self._last = self._last, time.monotonic()
        self.add({stage: self._last - last})

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add what other processes spent."""
        for stage, more in seconds.items():
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + more, 3)


def describe(setup: TrainingSetup, config: RunConfig, options: dict[str, Any]) -> dict[str, Any]:
    """The manifest's facts that are known before training."""
    recipe, settings, splits = setup.recipe, setup.settings, setup.splits
    asked = resume.record(recipe, config, options)
    inputs, seen = splits.train.inputs, None
    if inputs and inputs.channels == 1 and splits.train.pictures:
        first = np.arange(min(digit_pictures.SAMPLE, splits.train.size))
        seen = digit_pictures.measure(splits.train.pictures(first))
    return {
        "recipe": recipe.name,
        "source": resume.own_source(recipe),
        "section": recipe.section,
        "summary": Card(recipe.source).summary if recipe.source.is_file() else recipe.name,
        "command": " ".join(f"{resume.start_command(recipe)} {flags(changed(config))} {flags(options)}".split()),
        "seed": settings.seed,
        "config": plain(settings),
        "options": {**settings.options, **setup.options},
        "optimizer": keras.optimizers.serialize(setup.training_copy.optimizer)["config"],
        "monitor": setup.monitor[0],
        "parameters": setup.model.count_params(),
        "classes": list(splits.classes),
        "data": {**splits.source, "used": splits.sizes()},
        "class_output": recipe.class_output,
        "inputs": dataclasses.asdict(inputs) if inputs else None,
        "training_pictures": seen,
        "choices": dataclasses.asdict(setup.choices),
        "hardware": hardware.describe(),
        "versions": system.versions(),
        "git": system.git_state(),
        "asked": asked,
    }


def plain(settings: Settings) -> dict[str, Any]:
    """The knobs as JSON holds them; of the augmentation only what was changed."""
    values = {f.name: getattr(settings, f.name) for f in dataclasses.fields(RunConfig) if f.compare}
    return values | {"output_dir": str(settings.output_dir), "augment": changed(settings.augment)}


def announce(setup: TrainingSetup) -> None:
    """Say, one line each, what is about to happen."""
    settings, splits = setup.settings, setup.splits
    passes = f"{settings.epochs} epochs of {setup.epochs.steps} steps of {settings.batch_size}"
    own = f" with {flags(setup.options)}" if setup.options else ""
    sizes = ", ".join(f"{size:,} {split}" for split, size in splits.sizes().items())
    parameters = f"{setup.model.count_params():,} parameters"
    print(f"recipe         {setup.recipe.name}{printable(own)}: {parameters}, {passes}, seed {settings.seed}")
    print(f"data           {printable(splits.source['name'])} from {splits.source['found']}: {sizes}")
    for note in splits.source.get("notes", ()):
        print(f"               {printable(note)}")
    if "cache" in splits.source:
        print(f"cache          {splits.source['cache']}")
    if settings.augment != Augmentation():
        print(f"augmentation   {flags(changed(settings.augment)).replace('--', '')}")
    if settings.weights:
        print(f"weights        from {printable(settings.weights)}")
    for name, choice in vars(setup.choices).items():
        print(f"{LABELS.get(name, name.replace('_', ' ')):14} {choice}")
    if setup.needs:
        print(f"memory         {setup.needs}")


def weights_hash(model: keras.Model) -> str:
    """sha256 of all weights in order: two runs that learned the same have the same."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def short(path: Path) -> str:
    """Relative to the working folder where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
