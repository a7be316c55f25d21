"""A run's knobs: settled, from the user, the recipe and a run that is resumed; and as its manifest says them."""

import dataclasses
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from keraskit.augment import Augmentation
from keraskit.config import QUICK_EPOCHS, QUICK_EXAMPLES, RunConfig, Settings
from keraskit.errors import UserError, lasting
from keraskit.recipe import Recipe, checked, defaults
from keraskit.registry import SAID, Card


def settle(
    recipe: Recipe, config: RunConfig, options: dict[str, Any], chosen: dict[str, Any] | None = None
) -> Settings:
    """Every knob with its value: the user's, else the recipe's; `chosen` are those that a resumed run keeps.

    Raises:
        UserError: the recipe has no such flag, or knobs do not go together.
    """
    if config.tensorboard and find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs tensorboard.", "pip install 'keraskit[tensorboard]' brings it.")
    options = checked(recipe.functions, options, recipe.name)
    epochs, batch_size, limit = config.epochs or recipe.epochs, config.batch_size or recipe.batch_size, config.limit
    if config.quick:
        quick = dict(recipe.quick)
        limit = limit or quick.get("limit", QUICK_EXAMPLES)
        batch_size = config.batch_size or quick.get("batch_size", recipe.batch_size)
        epochs = config.epochs or min(epochs, QUICK_EPOCHS)
        options = {**quick, **options}
    known = defaults(recipe.functions)
    knobs = ("limit", "batch_size")  # of `quick`
    options = {n: v for n, v in options.items() if n not in knobs and not (n in known and v == known[n])}
    augment = recipe.augment.replace(**config.augment.given())
    pretrained = recipe.pretrained
    if recipe.features and augment != Augmentation():
        problem = f"{recipe.name} computes what it learns from once, so pictures cannot change from epoch to epoch."
        raise UserError(problem, "Leave the --augment flags out, or take cats_dogs_finetune.")
    settled = {
        **vars(config),
        "epochs": epochs,
        "batch_size": batch_size,
        "limit": limit,
        "steps_per_epoch": config.steps_per_epoch or (None if config.quick else recipe.steps_per_epoch),
        "augment": augment,
        "weights": config.weights or (pretrained.weights if pretrained else None),
        "options": options,
    }
    return Settings(**{**settled, **(chosen or {})})


def different(recipe: Recipe, settings: Settings) -> dict[str, Any]:
    """What a run has otherwise than the recipe by itself, by name."""
    mine, plain = settings.model_dump(exclude={"options"}), settle(recipe, RunConfig(), {}).model_dump()
    return {name: value for name, value in mine.items() if value != plain[name]} | settings.options


def words(config: RunConfig, options: dict[str, Any]) -> dict[str, Any]:
    """What was given for a run, as JSON holds it."""
    knobs = {name: _plain(name, value) for name, value in config.given().items() if name != "output_dir"}
    given = {name: _plain(name, value) for name, value in options.items()}
    return json.loads(json.dumps({"knobs": knobs, "options": given}, default=lasting))


def record(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> dict[str, Any]:
    """How a run was asked for, as JSON holds it: knobs, options, and of the recipe all that decides the result."""
    names = {field.name for field in dataclasses.fields(recipe)} - SAID - {"name", "source", "figure"}
    fields = {name: lasting(getattr(recipe, name)) for name in sorted(names)}
    of_files = {"code": code(recipe.source), "callbacks": code(callbacks_file(config.callbacks))}
    return {**words(config, options), "recipe": json.loads(json.dumps(fields)), **of_files}


def differing(asked: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What was recorded of a recipe and is something else now, in words; a digest of older runs says nothing."""
    known, this = asked.get("recipe"), now["recipe"]
    pairs = known.items() if isinstance(known, dict) else ()
    return [f"{name} {then}, now {this[name]}" for name, then in pairs if name in this and this[name] != then]


def callbacks_file(word: str | None) -> Path | None:
    """The file of `--callbacks file.py:function`."""
    return Path(word.rpartition(":")[0]) if word else None


def code(source: Path | None) -> str | None:
    """Identifies the code in a file; None where there is none."""
    if source is None or not source.is_file():
        return None
    try:
        return Card(source).sha256
    except (OSError, UserError):
        return None


def _plain(name: str, value: Any) -> Any:
    """A knob's value as JSON holds it; a path as one that holds in another folder too."""
    if isinstance(value, Path) or (name in {"dataset", "weights"} and Path(value).exists()) or name == "callbacks":
        return str(Path(value).absolute())
    return value
