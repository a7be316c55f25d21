"""Settle a run's knobs: the user's, else the recipe's; and record how a run was asked for."""

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


def settle(recipe: Recipe, config: RunConfig, options: dict[str, Any], kept: dict[str, Any] | None = None) -> Settings:
    """Give every knob its value: the user's, else the recipe's.

    Args:
        recipe: what is trained.
        config, options: the knobs and the recipe's own flags, as given.
        kept: knobs that a resumed run keeps as it chose them.

    Raises:
        UserError: the recipe has no such flag, or knobs do not go together.
    """
    if config.tensorboard and find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs tensorboard.", "pip install 'keraskit[tensorboard]' brings it.")
    quick = {"limit": QUICK_EXAMPLES, **recipe.quick} if config.quick else {}
    augment = Augmentation() if options.get(recipe.augmented_by) else recipe.augment
    augment = augment.replace(**config.augment.given())
    if recipe.features and augment != Augmentation():
        problem = f"{recipe.name} computes what it learns from once, so pictures cannot change from epoch to epoch."
        raise UserError(problem, "Leave the --augment flags out, or take cats_dogs_finetune.")
    known = defaults(recipe.functions)
    own = {**quick, **checked(recipe.functions, options, recipe.name)}
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
        **{**knobs, **(kept or {})},
        options={n: v for n, v in own.items() if n not in knobs and not (n in known and v == known[n])},
        requested={"knobs": config.given(), "options": options},
    )


def different(recipe: Recipe, settings: Settings) -> dict[str, Any]:
    """The values, by name, that are not those of the recipe by itself."""
    own, plain = (
        each.model_dump(exclude={"options", "requested"}) for each in (settings, settle(recipe, RunConfig(), {}))
    )
    return {name: value for name, value in own.items() if value != plain[name]} | settings.options


def words(requested: dict[str, dict[str, Any]], source: Path | None) -> dict[str, Any]:
    """How a run was asked for, as JSON holds it: knobs and options as given, and hashes of the code in its files.

    Args:
        requested: `Settings.requested`.
        source: the recipe's file.
    """
    knobs, options = ({n: _plain(n, value) for n, value in requested[kind].items()} for kind in ("knobs", "options"))
    knobs.pop("output_dir", None)
    hashes = {"code": code(source), "callbacks": code(callbacks_file(knobs.get("callbacks")))}
    return json.loads(json.dumps({"knobs": knobs, "options": options, **hashes}, default=lasting))


def record(recipe: Recipe, settings: Settings) -> dict[str, Any]:
    """How a run was asked for, and all of the recipe that decides the result."""
    return {**words(settings.requested, recipe.source), "recipe": fields(recipe)}


def fields(recipe: Recipe) -> dict[str, str]:
    """The recipe's fields that decide the result, in words."""
    names = {field.name for field in dataclasses.fields(recipe)} - SAID - {"name", "source", "figure"}
    return json.loads(json.dumps({name: lasting(getattr(recipe, name)) for name in sorted(names)}))


def callbacks_file(word: str | None) -> Path | None:
    """The file of `--callbacks file.py:function`."""
    return Path(word.rpartition(":")[0]) if word else None


def code(source: Path | None) -> str | None:
    """Identify the code in a file; None where there is none."""
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
