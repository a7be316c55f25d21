"""The runner: settles, loads, builds, fits, evaluates, saves and plots any recipe. Read `train` from top to bottom."""

import dataclasses
import inspect
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraskit import files, system
from keraskit.augment import Augmentation
from keraskit.config import RunConfig, Settings, flags
from keraskit.datasets.array_files import digest
from keraskit.datasets.images import digit_pictures
from keraskit.datasets.pipeline import stopping
from keraskit.errors import printable
from keraskit.models import graph
from keraskit.recipe import Recipe
from keraskit.registry import Card
from keraskit.runs import figures, plots, predictions, report, verdict
from keraskit.runs.folder import MODEL, REPORT, TRAINED_ON, RunFolder, now
from keraskit.runs.metrics import against_mean, beside_accuracy, confusion
from keraskit.text import counted, short
from keraskit.training import fit, hardware, previous, resources, resume, seeds, user_callbacks
from keraskit.training.callbacks import KeepBest, uncompiled
from keraskit.training.checkpoint import Position
from keraskit.training.evaluate import by_output, infer
from keraskit.training.result import RunResult
from keraskit.training.resume import Unfinished
from keraskit.training.settings import different, record, settle
from keraskit.training.setup import TrainingSetup, load, prepare

LABELS = {"steps_per_execution": "steps at once"}


def train(
    recipe: Recipe, config: RunConfig, options: dict[str, Any], unfinished: Unfinished | None = None, ago: float = 0.0
) -> RunResult:
    """Settle, load, build, fit, evaluate, save, plot. `unfinished` is a run to go on with; `ago`, in s, all began."""
    if config.seeds > 1:
        return seeds.in_this_process(recipe, config, options, train)
    timings = Timings(ago)
    timings.mark("start-up")
    if config.resume:
        unfinished = resume.find(recipe, config, options)
    settings = settle(recipe, config, options, unfinished.chosen if unfinished else None)
    if unfinished:
        timings.add({**(unfinished.facts.get("timings") or {}), "fit": 0.0})  # the checkpoint knows that better
    else:
        files.check_folder(settings.output_dir)
    place = hardware.occupy(settings)
    if recipe.pretrained and recipe.pretrained.after and not previous.is_run(settings.weights):
        settings = settings.replace(weights=str(_run_before(recipe, config, settings, place)))
    timings.mark("before")

    splits = load(recipe, settings)
    timings.mark("data")
    setup = prepare(recipe, settings, splits, place)
    callbacks = user_callbacks.own(setup)
    if place.cluster.chief:
        resources.check_disk(unfinished.folder.path if unfinished else settings.output_dir, setup)
    announce(setup)
    if not place.cluster.chief:
        print("run folder     written by worker 0", flush=True)
        keeper = KeepBest(None, setup)
        fit.fit(setup, keeper, callbacks, unfinished.checkpoint() if unfinished else None)
        place.cluster.leave()
        return RunResult(setup.training_copy, keeper.rows, {}, None)
    facts: dict[str, Any] = {}
    if unfinished:
        unfinished.check(recipe, setup.splits, setup.choices, hardware.describe())
    if not unfinished or unfinished.epochs:
        facts = describe(setup, config, options) | {"started": timings.started}
    folder = unfinished.folder if unfinished else RunFolder.create(settings.output_dir, recipe.name)
    print(f"run folder     {printable(short(folder.path))}", flush=True)
    command = resume.command(folder, unfinished.facts if unfinished else facts, place.cluster.workers)
    timings.mark("build")

    with folder.alone():
        start = unfinished.begin(setup, callbacks, facts) if unfinished else None
        if start and facts:
            say_schedule(setup, start.position)
        facts = {} if unfinished else facts
        with resume.advising(command), folder.recorded(**facts, timings=timings.seconds), stopping():
            with uncompiled(setup.model) as model:
                figures.draw_model(folder, model, graph.summary(model))
            if (prints := setup.splits.train.prints) is not None:
                with folder.atomic(TRAINED_ON) as path:
                    np.save(path, prints)
            keeper = KeepBest(folder, setup)
            timings.mark("build")
            fit.fit(setup, keeper, callbacks, start, command)
            timings.mark("fit")
            timings.add({"fit": start.position.fitting} if start else {})
            metrics, beside = evaluate(setup, keeper, folder)
            timings.mark("evaluate and draw")
            words = verdict.judge(recipe, splits, config, different(recipe, settings), metrics)
            found = learned(setup, keeper.rows, folder, command, words)
            folder.update_manifest(
                test=metrics,
                **beside,
                best_epoch=keeper.best_epoch,
                verdict=words,
                **found,
                weights_sha256=digest(setup.model.get_weights()),
                timings=timings.seconds,
                seconds_per_epoch=float(np.median([row["seconds"] for row in keeper.rows])),
            )
        resume.close(folder)
    place.cluster.leave()

    verdict.show(metrics | beside, words, **found)
    print(f"time           training {report.training_time(timings.seconds)}")
    print(f"report         {printable(short(folder.path / REPORT))}", flush=True)
    return RunResult(setup.model, keeper.rows, metrics, folder.path)


def evaluate(setup: TrainingSetup, keeper: KeepBest, folder: RunFolder) -> tuple[dict[str, float], dict[str, float]]:
    """Take the best weights, read the test once, write metrics and figures; return metrics, and what stands beside."""
    recipe, model, splits = setup.recipe, setup.model, setup.splits
    with uncompiled(model):  # the file holds no optimizer
        model.load_weights(folder.file(MODEL))
    with setup.place.scope:
        judged = {"validation": splits.validation, "test": splits.test}
        found = infer(model, judged, setup.settings.batch_size)
        sheets = {"samples": figures.samples(recipe, splits, found["test"][1])}
    metrics, test = found["test"]
    predictions.write(folder, {name: predictions for name, (_, predictions) in found.items()})
    beside, written = {}, {"test": metrics, "validation": found["validation"][0], "best_epoch": keeper.best_epoch}
    if known := test.of_classes(setup.classes):
        labels, probabilities = known
        counts = confusion(labels, probabilities.argmax(axis=1), len(splits.classes))
        beside = beside_accuracy(counts, splits.train.labels)
        with folder.atomic("confusion.png") as path:
            plots.confusion(counts, splits.classes, path)
        sheets |= figures.judged(splits.test, splits.classes, probabilities)
        written |= {"confusion": counts.tolist(), **beside}
    with folder.atomic("curves.png") as path:
        plots.curves(keeper.rows, keeper.best_epoch, path)
    figures.draw(folder, {**sheets, "augmented": figures.augmented(splits.train, setup.settings.seed)})
    folder.write_json("metrics.json", written)
    return metrics, beside


def learned(
    setup: TrainingSetup, rows: list[dict[str, float]], folder: RunFolder, command: str, words: str
) -> dict[str, Any]:
    """What a learner should know of a run: warnings, a regression's errors, and advice unless all is as promised."""
    optimizer, splits = setup.training_copy.optimizer, setup.splits
    flag = inspect.signature(setup.recipe.compile).parameters.get("learning_rate")
    rate = setup.options.get("learning_rate", flag.default if flag else None)
    if not isinstance(rate, int | float):  # a schedule may have ended at 0, so the flag comes first
        rate = float(keras.ops.convert_to_numpy(getattr(optimizer, "inner_optimizer", optimizer).learning_rate))
    epochs = f"--epochs {2 * setup.settings.epochs}"
    going_on = f"{command} {epochs}" if command.startswith("keraskit resume") else epochs
    going_on = "" if setup.settings.quick else going_on
    validation, test = (predictions.read(folder, name) for name in predictions.SPLITS)
    values = list(test.of_values()) if test else []
    targets = (by_output(y, setup.model) for _, y, *_ in splits.train.in_order(1_024)) if values else ()
    sums = [{name: each[name].sum(axis=0) for name, *_ in values} for each in targets]
    means = {name: np.sum([each[name] for each in sums], axis=0) / splits.train.size for name, *_ in values}
    errors, worse, far = against_mean(values, means)
    run = folder.read_json("run.json")
    found: dict[str, Any] = verdict.findings(splits, rows, run, validation, test, rate, going_on, far)
    poor = [] if setup.settings.quick else [*found["warnings"], *worse]  # a quick run's verdict says what it is worth
    found |= {"warnings": [*setup.wrong, *poor], "regression": errors}
    return found | ({"advice": []} if " expected (" in words and "BELOW" not in words else {})


def _run_before(recipe: Recipe, config: RunConfig, settings: Settings, place: hardware.Place) -> Path:
    """The folder of the run that a recipe starts from: the newest that fits, or one that is trained now."""
    found, before, options = previous.find(recipe, settings, place.cluster)
    if found:
        print(f"{recipe.name} goes on from {printable(found)}", flush=True)
        return found
    print(f"{recipe.name} starts from a run of {before.name}; there is none with these flags, so here it is first:")
    its_own = ("epochs", "batch_size", "steps_per_epoch", "devices", "callbacks", "augment")
    words = {name: getattr(config, name) for name in config.model_fields_set if name not in its_own}
    result = train(before, RunConfig(**words), options)
    print(flush=True)
    assert result.folder
    return result.folder.absolute()


class Timings:
    """Seconds of each stage of a run that began `ago` seconds ago; their sum is what it took."""

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
    knobs = settings.model_dump(exclude={"options"})
    card = Card(recipe.source, recipe.name)
    own = card.source.resolve() if card.source.is_file() and not card.ours else None  # a file of the user's
    started = shlex.quote(short(own)) if own else recipe.name
    inputs, seen = splits.train.inputs, None
    if inputs and inputs.channels == 1 and splits.train.pictures:
        first = np.arange(min(digit_pictures.SAMPLE, splits.train.size))
        seen = digit_pictures.measure(splits.train.pictures(first))
    return {
        "recipe": recipe.name,
        "source": str(own) if own else None,
        "section": recipe.section,
        "summary": card.summary if card.source.is_file() else recipe.name,
        "command": " ".join(f"keraskit run {started} {flags(config.given())} {flags(options)}".split()),
        "seed": settings.seed,
        "config": knobs | {"output_dir": str(settings.output_dir), "augment": settings.augment.given()},
        "options": {**settings.options, **setup.options},
        "optimizer": keras.optimizers.serialize(setup.training_copy.optimizer)["config"],
        "monitor": setup.monitor[0],
        "parameters": setup.model.count_params(),
        **setup.classes,
        "data": {**splits.source, "used": splits.sizes()},
        "inputs": dataclasses.asdict(inputs) if inputs else None,
        "training_pictures": seen,
        "choices": dataclasses.asdict(setup.choices),
        "hardware": hardware.describe(),
        "versions": system.versions(),
        "git": system.git_state(),
        "asked": record(recipe, config, options),
    }


def say_schedule(setup: TrainingSetup, position: Position) -> None:
    """Where the learning rate of a run that is to have another number of epochs goes on, if it follows a schedule."""
    optimizer = setup.training_copy.optimizer
    schedule = getattr(optimizer, "inner_optimizer", optimizer).get_config().get("learning_rate")
    if isinstance(schedule, dict):
        optimizer.iterations.assign(position.epoch * setup.epochs.steps + position.step)
        rate = f"the learning rate goes on at {float(optimizer.learning_rate):.3g}"
        print(f"schedule       {schedule['class_name']}, now over {setup.settings.epochs} epochs: {rate}")


def announce(setup: TrainingSetup) -> None:
    """Say, one line each, what is about to happen."""
    settings, splits = setup.settings, setup.splits
    passes = f"{counted(settings.epochs, 'epoch')} of {counted(setup.epochs.steps, 'step')} of {settings.batch_size}"
    own = f" with {flags(setup.options)}" if setup.options else ""
    sizes = ", ".join(f"{size:,} {split}" for split, size in splits.sizes().items())
    parameters = f"{setup.model.count_params():,} parameters"
    print(f"recipe         {printable(setup.recipe.name + own)}: {parameters}, {passes}, seed {settings.seed}")
    name, found = splits.source["name"], splits.source["found"]
    print(f"data           {printable(name)}{printable(f' from {found}') if found != name else ''}: {sizes}")
    for note in splits.source.get("notes", ()):
        print(f"               {printable(note)}")
    if "cache" in splits.source:
        print(f"cache          {splits.source['cache']}")
    if settings.augment != Augmentation():
        print(f"augmentation   {flags(settings.augment.given()).replace('--', '')}")
    if settings.weights:
        print(f"weights        from {printable(settings.weights)}")
    for name, choice in vars(setup.choices).items():
        print(f"{LABELS.get(name, name.replace('_', ' ')):14} {choice}")
    if setup.activation:
        print(f"outputs        logits, as the loss takes them; their {setup.activation} makes probabilities")
    for sentence in setup.wrong:
        print(f"outputs        {sentence}")
    if setup.needs:
        print(f"memory         {setup.needs}")
