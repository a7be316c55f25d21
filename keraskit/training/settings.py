"""Settle a run's knobs; record how it was requested, and find the run to resume. Does not import TensorFlow."""

import dataclasses
import inspect
import json
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from keraskit import start
from keraskit.augment.augmentation import Augmentation
from keraskit.config import QUICK_EPOCHS, QUICK_EXAMPLES, RunConfig, Settings
from keraskit.errors import UserError, lasting, recorded
from keraskit.recipe import Recipe, options_of
from keraskit.registry import DESCRIPTIVE, Card, find_card, recipes_available
from keraskit.runs.folder import MANIFEST, RunFolder, check_folder, in_python, resume_command, runs_in
from keraskit.system import expanded, extra

NEEDED = ("recipe", "asked.knobs", "asked.options", "asked.recipe", "config.epochs", "data.used", "classes")


def settle(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> Settings:
    """Give every knob its value: the user's, or else the recipe's. `options` are the recipe's own flags, as given.

    Raises UserError if the recipe has no such flag, or if knobs contradict each other.
    """
    if config.tensorboard and find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs tensorboard.", f"{extra('tensorboard')} brings it.")
    quick = {"limit": QUICK_EXAMPLES, **recipe.quick} if config.quick else {}
    augment = Augmentation() if options.get(recipe.augmented_by) else recipe.augment
    augment = augment.replace(**config.augment.given())
    if recipe.features and augment != Augmentation():
        raise UserError(f"{recipe.name} computes features once, so pictures cannot change.", "Leave --augment out.")
    given = options_of(recipe.functions)(**options)
    own = quick | {name: getattr(given, name) for name in options}
    signatures = [inspect.signature(function).parameters for function in recipe.functions.values()]
    differing = {n for n, v in own.items() if any(n in each and each[n].default != v for each in signatures)}
    knobs = {
        **vars(config),
        "epochs": config.epochs or (min(recipe.epochs, QUICK_EPOCHS) if config.quick else recipe.epochs),
        "batch_size": config.batch_size or quick.get("batch_size", recipe.batch_size),
        "limit": config.limit or quick.get("limit"),
        "steps_per_epoch": config.steps_per_epoch or (None if config.quick else recipe.steps_per_epoch),
        "augment": augment,
        "weights": config.weights or (recipe.pretrained.weights if recipe.pretrained else None),
    }
    return Settings(
        **knobs,
        options={n: v for n, v in own.items() if n in differing and n not in knobs},
        requested={"knobs": config.given(), "options": options},
    )


def request(requested: dict[str, dict[str, Any]], source: Path | None) -> dict[str, Any]:
    """Return how a run was requested, JSON-compatible: knobs and options as given, and a hash of the code.

    Paths are made absolute. `source` is the recipe's file.
    """

    def lasts(name: str, value: Any) -> Any:
        named = name == "callbacks" or (name in {"dataset", "weights"} and Path(value).exists())
        return str(expanded(value).absolute()) if named or isinstance(value, Path) else value

    knobs, options = ({n: lasts(n, v) for n, v in requested[kind].items()} for kind in ("knobs", "options"))
    knobs.pop("output_dir", None)
    code = Card(source).sha256 if source else None
    return json.loads(json.dumps({"knobs": knobs, "options": options, "code": code}, default=recorded))


def recipe_fields(recipe: Recipe) -> dict[str, str]:
    """Return the recipe's fields that determine the result, as text."""
    names = {field.name for field in dataclasses.fields(recipe)} - DESCRIPTIVE - {"name", "source", "figure"}
    return {name: lasting(getattr(recipe, name)) for name in sorted(names)}


def changed(recipe: Recipe, asked: dict[str, Any]) -> str:
    """Describe the recipe's fields that have changed since a run was requested; '' if none has."""
    then, today = asked.get("recipe"), recipe_fields(recipe)
    pairs = then.items() if isinstance(then, dict) else ()
    return "; ".join(f"{name} {was}, now {today[name]}" for name, was in pairs if today.get(name, was) != was)


def alike(
    config: RunConfig, options: dict[str, Any], name: str, source: Path | None
) -> Iterator[tuple[RunFolder, dict[str, Any], bool]]:
    """Yield the runs of recipe `name` that were given these knobs and options, newest first.

    With each come its manifest, and whether the code in `source`, the recipe's file, is unchanged since.
    """
    wanted = request({"knobs": config.given(), "options": options}, source)
    for folder, facts in runs_in(config.output_dir / name):
        asked = facts.get("asked") or {}
        if all(asked.get(each) == wanted[each] for each in ("knobs", "options")):
            yield folder, facts, wanted["code"] in (None, asked.get("code"))  # None: a recipe made in Python


def find(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> RunFolder | None:
    """Find the newest unfinished run in the output folder with the same knobs, options and code, for `--resume`."""
    for folder, facts, same_code in alike(config, options, recipe.name, recipe.source):
        if same_code and facts.get("status") != "finished" and not changed(recipe, facts["asked"]):
            return folder
    print("resume         no unfinished run has these flags and this code, so a new one begins", flush=True)
    return None


def unfinished(path: Path, epochs: int | None = None) -> RunFolder | None:
    """Return the run in this folder, or the newest unfinished run below it; None if the run has finished.

    A finished run is returned if `epochs` differs from its own number. Raises UserError if there is no run, or if it is
    still running.
    """
    check_folder(path)
    found = (run for run, facts in runs_in(path) if facts.get("status") != "finished")
    folder = RunFolder(path.resolve()) if (path / MANIFEST).exists() else next(found, None)
    if folder is None:
        raise UserError(f"{path} holds no unfinished run.", "Name a run; with --epochs a finished one goes on.")
    with folder.alone():
        facts = folder.read_manifest(*NEEDED)
    if facts.get("status") == "finished" and epochs in (None, facts["config"]["epochs"]):
        return None
    if facts["asked"]["knobs"].get("callbacks"):  # run.json is not trusted to name a file
        own = f"Its own command goes on: {resume_command(folder.path, facts)}"
        raise UserError("This run has --callbacks.", own if facts.get("status") != "finished" else "Start a new run.")
    return folder


def requested(folder: RunFolder, named: Path | None = None) -> tuple[Recipe, RunConfig, dict[str, Any]]:
    """Return a run's recipe, and its knobs and options as they were given, with the run's current output folder.

    The recipe is one of keraskit's by name, or a user's own from the file `named`. Raises UserError if the file must be
    named, or if the recipe has changed.
    """
    facts = folder.read_manifest(*NEEDED)
    source, asked = facts.get("source"), facts["asked"]
    known = (facts.get("hardware") or {}).get("onednn")
    start.QuietImport.onednn = str(int(known)) if isinstance(known, bool) else None
    config = RunConfig(**asked["knobs"] | {"output_dir": folder.path.resolve().parent.parent})
    if source and not named:
        problem = f"This run's recipe is a file of your own, {source}."
        raise UserError(problem, f"Name it, and it is imported as it is now: --recipe {shlex.quote(source)}")
    if in_python(facts) and not named:
        advice = f"Its own command goes on: {resume_command(folder.path, facts)}"
        if facts.get("status") == "finished":
            advice = "Put its code into a file, and name that: --recipe FILE.py"
        raise UserError(f"This run's recipe, {facts['recipe']}, was made in Python.", advice)
    recipe: Recipe = (find_card(str(named)) if named else recipes_available()[facts["recipe"]]).load()
    if changes := changed(recipe, asked):
        raise UserError(f"This run's recipe was not {recipe.name} as it is now: {changes}.", "Start a new run.")
    return recipe, config, dict(asked["options"])
