"""The runner: settles, loads, builds, fits, evaluates, saves and plots any recipe. Read `train` from top to bottom."""

import dataclasses
import time
from typing import Any

import keras

from keraskit.augment import Augmentation
from keraskit.config import RunConfig, flags
from keraskit.datasets.pipeline import stopping
from keraskit.errors import printable
from keraskit.recipe import Recipe, call
from keraskit.runs import results
from keraskit.runs.folder import RunFolder, now
from keraskit.text import counted
from keraskit.training import hardware, outputs, previous, resume, seeds
from keraskit.training.evaluate import evaluate
from keraskit.training.fit import fit
from keraskit.training.result import RunResult
from keraskit.training.settings import different, record, settle
from keraskit.training.setup import TrainingSetup, prepare

LABELS = {"steps_per_execution": "steps at once"}


def train(
    recipe: Recipe, config: RunConfig, options: dict[str, Any], run: RunFolder | None = None, ago: float = 0.0
) -> RunResult:
    """Settle, load, build, fit, evaluate, report. `run` is one to resume; `ago`, in s, the command began."""
    if config.seeds > 1:
        return seeds.in_this_process(recipe, config, options, train)
    clock = Clock(ago)
    clock.mark("start-up")
    if config.resume:
        run = resume.find(recipe, config, options)
    settings = settle(recipe, config, options, resume.kept(run) if run else None)
    devices = hardware.configure(settings)  # before any tensor exists
    settings = previous.begin_from(recipe, settings, devices.cluster, train)
    clock.mark("before")
    source = call(recipe.data, settings.arguments)  # no picture is decoded before the model is known
    setup = prepare(recipe, settings, source, devices)
    facts = {**describe(setup, recipe), "started": clock.started, "timings": clock.seconds}
    announce(setup, facts)
    with resume.opened(setup, run, facts) as (folder, start), stopping():
        if folder:
            results.begin(folder, setup.model, setup.splits)
        clock.mark("build")
        best = fit(setup, folder, start)
        clock.mark("fit", earlier=start.position.seconds if start else 0.0)
        if folder is None:  # a worker, whose chief does the rest
            devices.cluster.leave()
            return RunResult(setup.training_copy, best.rows, {}, None)
        found = evaluate(setup, folder)
        others = different(recipe, settings)
        results.write(folder, recipe, settings, setup.splits, setup.model, found, best.best_epoch, others)
        clock.mark("evaluate and draw")
        folder.update_manifest(timings=clock.seconds)
    devices.cluster.leave()
    results.show(folder)
    return RunResult(setup.model, best.rows, found["test"][0], folder.path)


class Clock:
    """Seconds of each stage of a run that began `ago` seconds ago; their sum is what it took."""

    def __init__(self, ago: float) -> None:
        self.started = now(ago)
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic() - ago

    def mark(self, stage: str, earlier: float = 0.0) -> None:
        """End a stage, for which processes before this one took some time too."""
        last, self._last = self._last, time.monotonic()
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + self._last - last + earlier, 3)


def describe(setup: TrainingSetup, recipe: Recipe) -> dict[str, Any]:
    """The manifest's facts that are known before training."""
    with setup.devices.scope:
        activation, wrong = outputs.examine(setup.model, setup.splits.train, recipe.class_output)
    return results.describe(recipe, setup.settings, setup.splits) | {
        "asked": record(recipe, setup.settings),
        "optimizer": keras.optimizers.serialize(setup.training_copy.optimizer)["config"],
        "monitor": setup.monitor[0],
        "parameters": setup.model.count_params(),
        "class_activation": activation,
        "choices": dataclasses.asdict(setup.choices),
        "hardware": hardware.describe(),
        "warnings": wrong,
    }


def announce(setup: TrainingSetup, facts: dict[str, Any]) -> None:
    """Say, one line each, what is about to happen."""
    settings, data = setup.settings, facts["data"]
    passes = f"{counted(settings.epochs, 'epoch')} of {counted(setup.epochs.steps, 'step')} of {settings.batch_size}"
    own = f" with {flags(settings.options)}" if settings.options else ""
    sizes = ", ".join(f"{size:,} {split}" for split, size in data["used"].items())
    parameters = f"{facts['parameters']:,} parameters"
    print(f"recipe         {printable(facts['recipe'] + own)}: {parameters}, {passes}, seed {settings.seed}")
    name, found = data["name"], data["found"]
    print(f"data           {printable(name)}{printable(f' from {found}') if found != name else ''}: {sizes}")
    for note in data.get("notes", ()):
        print(f"               {printable(note)}")
    if "cache" in data:
        print(f"cache          {data['cache']}")
    if settings.augment != Augmentation():
        print(f"augmentation   {flags(settings.augment.given()).replace('--', '')}")
    if settings.weights:
        print(f"weights        from {printable(settings.weights)}")
    for name, choice in vars(setup.choices).items():
        print(f"{LABELS.get(name, name.replace('_', ' ')):14} {choice}")
    if activation := facts["class_activation"]:
        print(f"outputs        logits, as the loss takes them; their {activation} makes probabilities")
    for sentence in facts["warnings"]:
        print(f"outputs        {sentence}")
