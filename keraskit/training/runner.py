"""The runner: load the data, build, fit, evaluate, save and plot any recipe (read `train`)."""

import dataclasses
import inspect
import json
import re
import shlex
import time
from contextlib import suppress
from pathlib import Path
from types import CodeType
from typing import Any

import keras
import numpy as np

from keraskit import system
from keraskit.config import RunConfig, Settings
from keraskit.datasets.array_files import digest, explained
from keraskit.datasets.images import digit_pictures
from keraskit.datasets.splitting import LEAK, order, some
from keraskit.distributed.cluster import Cluster
from keraskit.errors import UserError, counted, flags, lasting, printable, recorded, short
from keraskit.files import MODEL
from keraskit.models.weights import uncompiled
from keraskit.recipe import Recipe
from keraskit.registry import Card, load_recipe
from keraskit.runs import results
from keraskit.runs.folder import RunFolder, now, runs_in
from keraskit.training import examine, hardware, resume
from keraskit.training.evaluate import evaluate
from keraskit.training.fit import fit
from keraskit.training.settings import find, recipe_fields, request, settle
from keraskit.training.setup import TrainingSetup, prepare, source_of

ITS_OWN = ("epochs", "batch_size", "steps_per_epoch", "devices", "callbacks", "augment")  # knobs of one run only
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
        run = find(recipe, config, options)
    settings = settle(recipe, config, options)
    devices = hardware.configure(settings)  # before any tensor exists
    settings, source = source_of(recipe, settings)
    settings = begin_from(recipe, settings, source, run, devices.cluster)
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
        results.write(folder, recipe, settings, setup.splits, setup.model, found, best.best_epoch, best.stopped)
        earlier = sum(row["seconds"] for row in start.position.rows) + start.position.seconds
        spent = {"before": fitting - began, "fit": fitted - fitting + earlier, "after": time.monotonic() - fitted}
        folder.update_manifest(timings={stage: round(seconds, 3) for stage, seconds in spent.items()}, ended=now())
    devices.cluster.leave()
    results.show(folder)
    return RunResult(setup.model, best.rows, found["test"][0], folder.path)


def begin_from(recipe: Recipe, settings: Settings, source: Any, run: RunFolder | None, cluster: Cluster) -> Settings:
    """Set `weights` to the folder of the run that a recipe starts from, unless `weights` already names one.

    When resuming `run`, use the run that it started from; otherwise the newest finished run with the same data, model
    and initial weights. If there is none, train it now, with the flags that both recipes have; with several workers,
    raise UserError.
    """
    named = Path(settings.weights or "imagenet")
    if not (recipe.pretrained and recipe.pretrained.after) or named.suffix == ".keras" or named.is_dir():
        return settings
    if run:
        return settings.replace(weights=run.read_manifest("config.weights")["config"]["weights"])
    before: Recipe = load_recipe(recipe.pretrained.after)
    shared = {*inspect.signature(before.data).parameters, *inspect.signature(before.build).parameters}
    shared -= {"classes"}  # which is set from the data
    options = {name: value for name, value in settings.options.items() if name in shared}
    then = json.loads(json.dumps(options, default=recorded))
    alike = {name: getattr(settings, name) for name in ("limit", "seed", "weights")}.items()
    for folder, facts in runs_in(settings.output_dir / before.name):
        given = {name: value for name, value in (facts.get("options") or {}).items() if name in shared}
        same = given == then and alike <= facts["config"].items() and facts["classes"] == [*source.classes]
        same = same and facts["data"]["name"] == source.source["name"]
        if same and facts.get("status") == "finished" and (folder.path / MODEL).is_file():
            print(f"{recipe.name} goes on from {printable(folder.path)}", flush=True)
            return settings.replace(weights=str(folder.path))
    if cluster.workers:
        raise UserError(f"{recipe.name} starts from a run of {before.name}.", "First train that on one machine.")
    print(f"{recipe.name} starts from a run of {before.name}; there is none with these flags, so here it is first:")
    knobs = {name: value for name, value in settings.requested["knobs"].items() if name not in ITS_OWN}
    result: Any = train(before, RunConfig(**knobs), options)  # with a folder, as there are no workers
    print(flush=True)
    return settings.replace(weights=str(result.folder.absolute()))


def describe(setup: TrainingSetup, recipe: Recipe) -> dict[str, Any]:
    """Return the manifest's entries that are known before training."""
    settings, splits, model = setup.settings, setup.splits, setup.model
    with setup.devices.scope:
        examine.check_indices(model, splits)
        activation, wrong = examine.outputs(model, splits.train, recipe.class_output)
        wrong += examine.unpaired(model, splits.train) + examine.scale(model, splits.train)
        wrong += [f"{note}: the test says too much." for note in splits.source.get("notes", ()) if LEAK in note]
    card, inputs, seen = Card(recipe.source, recipe.name), splits.train.inputs, None
    source = str(card.source.resolve()) if card.source.is_file() and not card.ours else None  # the user's own file
    started = shlex.quote(short(card.source.resolve())) if source else recipe.name
    given = [flags(settings.requested[group]) for group in ("knobs", "options")]
    if inputs and inputs.channels == 1:
        chosen = order(splits.train.size, splits.train.labels)[: digit_pictures.SAMPLE]
        seen = digit_pictures.measure(splits.train.pictures(chosen))
    knobs, optimizer = settings.model_dump(exclude={"options", "requested"}), setup.training_copy.optimizer
    described = {"name": optimizer.name}
    with suppress(NotImplementedError):  # a schedule of one's own need not describe itself
        described = keras.optimizers.serialize(optimizer)["config"]
    asked = {**request(settings.requested, recipe.source), "recipe": recipe_fields(recipe)}
    asked["built"] = fingerprint(model, described)
    asked["code"] = asked["code"] or asked["built"]  # a recipe made in Python has no file
    return {
        "recipe": recipe.name,
        "source": source,
        "section": recipe.section,
        "summary": card.summary if card.source.is_file() else recipe.name,
        "command": " ".join(filter(None, ["keraskit run", started, *given])),
        "asked": asked,
        "seed": settings.seed,
        "config": knobs | {"output_dir": str(settings.output_dir), "augment": settings.augment.given()},
        "options": settings.options,
        "classes": list(splits.classes),
        "class_output": recipe.class_output,
        "class_activation": activation,
        "data": {**splits.source, "used": splits.sizes()},
        "inputs": dataclasses.asdict(inputs) if inputs else None,
        "training_pictures": seen,
        "parameters": model.count_params(),
        "optimizer": described,
        "monitor": setup.monitor[0],
        "choices": {name: dataclasses.asdict(choice) for name, choice in setup.choices.items()},
        "hardware": hardware.describe(),
        "versions": system.versions(),
        "warnings": wrong,
    }


def fingerprint(model: keras.Model, optimizer: Any) -> str:
    """Return a hash of a model, its optimizer, loss and metrics; not of seeds, numbers of names, comments and files."""

    def text(value: Any, depth: int = 0) -> Any:
        if hasattr(value, "__code__") and depth < 9:  # a function, which may hold itself
            more = [value.__defaults__, value.__kwdefaults__, [each.cell_contents for each in value.__closure__ or ()]]
            return [text(value.__code__, depth), text(more, depth + 1)]
        if isinstance(value, CodeType):
            return [value.co_code.hex(), value.co_names, text(value.co_consts, depth)]
        if isinstance(value, list | tuple):
            return [text(each, depth) for each in value]
        if isinstance(value, set | frozenset):
            return sorted(map(lasting, value))
        with suppress(Exception):  # code of one's own may raise anything
            return [type(value).__name__, value.get_config()]
        return recorded(value)

    compiled = {name: value for name, value in model._compile_config.config.items() if name != "optimizer"}
    functions = [layer.function for layer in model._flatten_layers() if isinstance(layer, keras.layers.Lambda)]
    with uncompiled(model), explained(f"{model.name} could not be saved", "Layers of one's own need get_config."):
        json.dumps(config := keras.saving.serialize_keras_object(model))
    whole = json.dumps([config, optimizer, compiled, functions], default=text)
    plain = re.sub(r'"(module|registered_name|code|seed)": ("[^"]*"|null|\d+)|_\d+"', "", whole)
    return digest([np.frombuffer(plain.encode(), np.uint8)])[:16]


def announce(setup: TrainingSetup, facts: dict[str, Any]) -> None:
    """Print a summary of the run that is about to start, one fact per line."""
    settings, data, activation = setup.settings, facts["data"], facts["class_activation"]
    own = f" with {flags(settings.options)}" if settings.options else ""
    sizes = ", ".join(f"{size:,} {split}" for split, size in data["used"].items())
    passes = f"{counted(settings.epochs, 'epoch')} of {counted(setup.epochs.steps, 'step')} of {settings.batch_size}"
    found = f" from {data['found']}" if data.get("found", data["name"]) != data["name"] else ""
    classes = some(facts["classes"]) if data.get("path") and not data.get("reference", True) else ""  # of own files
    lines = [
        ("recipe", f"{facts['recipe']}{own}: {facts['parameters']:,} parameters, {passes}, seed {settings.seed}"),
        ("data", f"{data['name']}{found}: {sizes}{'; classes ' * bool(classes)}{classes}"),
        *(("", note) for note in data.get("notes", ())),
        ("augmentation", flags(settings.augment.given()).replace("--", "")),
        ("weights", f"from {settings.weights}" if settings.weights not in (None, "none") else ""),
        *((LABELS.get(name, name), choice) for name, choice in setup.choices.items()),
        *(("WARNING", sentence) for sentence in facts["warnings"]),
        ("outputs", activation and f"logits, as the loss takes them; their {activation} makes probabilities"),
    ]
    for name, said in lines:
        if said:
            print(f"{name:14} {printable(said)}")
