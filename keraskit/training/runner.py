"""The runner: prepares, trains, evaluates, saves and plots any recipe. Read `train` from top to bottom."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraskit import provenance, startup
from keraskit.augment import Augmentation
from keraskit.config import RunConfig, changed, flags
from keraskit.datasets.splits import Splits
from keraskit.errors import printable
from keraskit.recipe import Card, Recipe
from keraskit.results import report
from keraskit.results.accuracy import Z
from keraskit.results.run_folder import MODEL, RunFolder, now
from keraskit.training import devices, disk, loop, prepare, previous, resume
from keraskit.training.checkpoint import KeepBest
from keraskit.training.illustrate import draw_model, illustrate
from keraskit.training.resume import Unfinished
from keraskit.training.team import join

LABELS = {"steps_per_execution": "steps at once"}
HARMLESS = (  # knobs that leave the expected figures as they are; what data there is, the data says
    *("seed", "output_dir", "data_dir", "download", "dataset", "classes", "cache", "save_every"),
    *("device", "devices", "threads", "precision", "xla", "deterministic"),
)


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
    recipe: Recipe,
    asked: RunConfig,
    model_options: dict[str, Any] | None = None,
    unfinished: Unfinished | None = None,
) -> RunResult:
    """Prepare, fit, evaluate, save, plot. `asked` holds what the user gave; the recipe fills in the rest.

    `unfinished` is a run to go on with.
    """
    timings = Timings(startup.spent())
    timings.mark("start-up")
    devices.limit_threads(asked.threads)
    devices.repeat_to_the_bit(asked.deterministic)
    if asked.resume:
        unfinished = resume.find(recipe, asked, model_options or {})
    config, options = prepare.settle(recipe, asked, model_options or {})
    if unfinished:
        timings.add(unfinished.timings)
        config = unfinished.settled(config)
    else:
        RunFolder.check(config.output_dir)
    team = join(asked)

    if recipe.after and not previous.is_run(config.weights):
        before = previous.find_or_train(recipe, config, asked, options, train, alone=not team.workers)
        config = dataclasses.replace(config, weights=str(before.absolute()))
    splits = recipe.data(config)
    timings.mark("data")
    ready = prepare.ready(recipe, config, options, splits, team)
    model, splits, options = ready.model, ready.splits, ready.options
    timings.mark("build")

    settled = dataclasses.replace(config, learning_rate=ready.rate)
    assert settled.batch_size and settled.epochs
    if not team.chief:
        return train_along(recipe, settled, ready, unfinished)
    disk.check(unfinished.folder.path if unfinished else config.output_dir, model, ready.trainee)
    if unfinished:
        unfinished.check(splits, ready.choices, devices.hardware())
        folder, facts = unfinished.folder, unfinished.facts
    else:
        facts = describe(recipe, asked, settled, options, model, splits, ready.choices, timings.started)
        facts["asked"] = resume.record(recipe, asked, model_options or {})
        folder = RunFolder.create(config.output_dir, recipe.name)
    again = resume.again(folder, facts)

    with (
        folder.alone(),
        resume.advising(again),
        folder.recorded(**({} if unfinished else facts), timings=timings.seconds),
    ):
        announce(recipe, settled, ready)
        print(f"run folder     {short(folder.path)}", flush=True)
        draw_model(folder, model)
        start = unfinished.begin() if unfinished else None
        keeper = KeepBest(folder, model, ready.learner, recipe.monitor, splits.train.augmentation.statistics)
        timings.mark("build")
        loop.fit(ready, config, keeper, start, again)
        timings.mark("fit")
        timings.add({"fit": start.position.fitting} if start else {})

        model.load_weights(folder.path / MODEL)
        test = splits.test.in_order(2 * settled.batch_size)
        with ready.choices.scope:
            metrics = model.evaluate(test, verbose=0, return_dict=True)
            counts = illustrate(recipe, folder, keeper, model, splits, test, config.seed)
        timings.mark("evaluate and draw")
        best = {"test": metrics, "best_epoch": keeper.best_epoch}
        folder.write_json("metrics.json", {**best, "confusion": counts.tolist()})
        folder.update_manifest(
            **best,
            verdict=(verdict := judge(recipe, asked, options, metrics, splits)),
            weights_sha256=weights_hash(model),
            timings=timings.seconds,
            seconds_per_epoch=float(np.median([row["seconds"] for row in keeper.rows])),
        )
    resume.close(folder)

    for name, value in metrics.items():
        print(f"test {name.replace('_', ' '):16} {value:.4f}")
    if verdict:
        print(verdict)
    print(f"time           training {report.training_time(timings.seconds)}")
    print(f"report         {short(folder.path / report.REPORT)}", flush=True)
    return RunResult(model, keeper.rows, metrics, folder.path)


def train_along(recipe: Recipe, config: RunConfig, ready: prepare.Ready, unfinished: Unfinished | None) -> RunResult:
    """What a worker does that is not the chief: it trains, and writes nothing."""
    announce(recipe, config, ready)
    print("run folder     written by worker 0", flush=True)
    rows = loop.fit_along(ready, config, unfinished.checkpoint() if unfinished else None)
    return RunResult(ready.trainee, rows, {}, None)


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


def describe(
    recipe: Recipe,
    asked: RunConfig,
    config: RunConfig,
    options: dict[str, Any],
    model: keras.Model,
    splits: Splits,
    choices: devices.Choices,
    started: str,
) -> dict[str, Any]:
    """The manifest's facts that are known before training."""
    command = " ".join([recipe.command, flags(changed(asked)), flags(options, "model.")]).split()
    return {
        "recipe": recipe.name,
        "section": recipe.section,
        "summary": Card(recipe.name, recipe.source).summary,
        "command": " ".join(command),
        "started": started,
        "seed": config.seed,
        "config": {name: str(v) if isinstance(v, Path) else v for name, v in plain(config).items()},
        "model_options": options,
        "parameters": model.count_params(),
        "classes": list(splits.classes),
        "data": {**splits.source, "used": splits.sizes()},
        "head": recipe.head,
        "inputs": dataclasses.asdict(splits.train.inputs) if splits.train.inputs else None,
        "choices": dataclasses.asdict(choices),
        "hardware": devices.hardware(),
        "versions": provenance.versions(),
        "git": provenance.git_state(),
    }


def plain(config: RunConfig) -> dict[str, Any]:
    """The knobs as JSON holds them; of the augmentation only what was changed."""
    return {
        f.name: changed(value) if isinstance(value := getattr(config, f.name), Augmentation) else value
        for f in dataclasses.fields(config)
        if f.compare
    }


def announce(recipe: Recipe, config: RunConfig, ready: prepare.Ready) -> None:
    """Say, one line each, what is about to happen."""
    splits, steps = ready.splits, ready.epochs.steps
    rate = f"learning rate {config.learning_rate:g}"
    if recipe.reference_batch and (config.batch_size or 0) < recipe.reference_batch:
        rate += f" (scaled to this batch from the recipe's at {recipe.reference_batch})"
    passes = f"{config.epochs} epochs of {steps} steps of {config.batch_size}, {rate}"
    built = f" with {flags(ready.options, 'model.')}" if ready.options else ""
    parts = ", ".join(f"{size:,} {part}" for part, size in splits.sizes().items())
    print(
        f"recipe         {recipe.name}{built}: {ready.model.count_params():,} parameters, {passes}, seed {config.seed}"
    )
    print(f"data           {printable(splits.source['name'])} from {splits.source['found']}: {parts}")
    for note in splits.source.get("notes", ()):
        print(f"               {printable(note)}")
    if "cache" in splits.source:
        print(f"cache          {splits.source['cache']}")
    if config.augment != Augmentation():
        print(f"augmentation   {flags(changed(config.augment)).replace('--', '')}")
    if config.weights:
        print(f"weights        from {printable(config.weights)}")
    for name, choice in vars(ready.choices).items():
        print(f"{LABELS.get(name, name):14} {choice}")
    if ready.needs:
        print(f"memory         {ready.needs}")


def judge(recipe: Recipe, asked: RunConfig, options: dict[str, Any], metrics: dict[str, float], splits: Splits) -> str:
    """Compare a run with what the recipe promises; empty where that was measured with other flags or of other data."""
    if asked.quick:
        return "a quick run shows that everything runs, not what the recipe reaches"
    given = options | {name: value for name, value in changed(asked).items() if name not in HARMLESS}
    wanted = dict(recipe.expected_with)
    if asked.weights in (None, recipe.weights):  # Keras's published ones, whether from its file or downloaded
        for flags_of in (given, wanted):
            flags_of.pop("weights", None)
    else:
        given["weights"] = Path(asked.weights).name
    if given != wanted or not splits.source.get("reference", True):
        return ""
    verdicts = []
    for name, expected in recipe.expected.items():
        reached, margin = metrics[name.removeprefix("test_")], sampling_error(expected, splits.test.size)
        verdict = "BELOW what is expected" if reached < expected - margin else "as expected"
        verdict = "better than expected" if reached > expected + margin else verdict
        interval = f"95% interval of {splits.test.size:,} test examples ±{margin:.3f}"
        verdicts.append(f"{name.replace('_', ' ')} {reached:.4f} is {verdict} ({expected}, {interval})")
    return "; ".join(verdicts)


def sampling_error(share: float, count: int) -> float:
    """Half the 95 % interval, in steps of 0.001, of an accuracy that is measured on so many examples."""
    return round(Z * math.sqrt(share * (1 - share) / count), 3)


def weights_hash(model: keras.Model) -> str:
    """sha256 of all weights in order: two runs that learned the same have the same."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def short(path: Path) -> str:
    """Relative to the working folder where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
