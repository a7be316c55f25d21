"""A run's knobs: settled, from the user, the recipe and a run that is resumed; and as its manifest says them."""

import dataclasses
import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from keraskit.augment import Augmentation
from keraskit.config import QUICK_EPOCHS, QUICK_EXAMPLES, RunConfig, Settings
from keraskit.errors import UserError, lasting
from keraskit.options import checked, defaults
from keraskit.recipe import Recipe
from keraskit.registry import Card


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


def record(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> dict[str, Any]:
    """How a run was asked for, as JSON holds it: what equals this is the same run."""
    knobs = {name: _plain(name, value) for name, value in config.given().items() if name != "output_dir"}
    given = {name: _plain(name, value) for name, value in options.items()}
    fields = {f.name: lasting(getattr(recipe, f.name)) for f in dataclasses.fields(recipe) if f.name != "source"}
    digest = hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:16]
    asked = {"knobs": knobs, "options": given, "recipe": digest, "code": code(recipe.source)}
    return json.loads(json.dumps(asked, default=lasting))


def code(source: Path) -> str | None:
    """Identifies a recipe's code; None for one that is not there."""
    try:
        return Card(source).sha256
    except (OSError, UserError):
        return None


def _plain(name: str, value: Any) -> Any:
    """A knob's value as JSON holds it; a path as one that holds in another folder too."""
    if isinstance(value, Path) or (name in {"dataset", "weights"} and Path(value).exists()):
        return str(Path(value).absolute())
    return value
