"""Settle a run's knobs, from the user or else from the recipe, and record how the run was requested."""

import dataclasses
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from keraskit.augment import Augmentation
from keraskit.config import QUICK_EPOCHS, QUICK_EXAMPLES, RunConfig, Settings
from keraskit.errors import UserError, lasting
from keraskit.recipe import Recipe, is_default, options_of
from keraskit.registry import DESCRIPTIVE, Card


def settle(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> Settings:
    """Give every knob its value: the user's, or else the recipe's. `options` are the recipe's own flags, as given.

    Raises UserError if the recipe has no such flag, or if knobs contradict each other.
    """
    if config.tensorboard and find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs tensorboard.", "pip install 'keraskit[tensorboard]' brings it.")
    quick = {"limit": QUICK_EXAMPLES, **recipe.quick} if config.quick else {}
    augment = Augmentation() if options.get(recipe.augmented_by) else recipe.augment
    augment = augment.replace(**config.augment.given())
    if recipe.features and augment != Augmentation():
        raise UserError(f"{recipe.name} computes features once, so pictures cannot change.", "Leave --augment out.")
    given = options_of(recipe.functions)(**options)
    own = quick | {name: getattr(given, name) for name in options}
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
        options={n: v for n, v in own.items() if n not in knobs and not is_default(recipe.functions, n, v)},
        requested={"knobs": config.given(), "options": options},
    )


def different(recipe: Recipe, settings: Settings) -> dict[str, Any]:
    """Return the values, by name, that differ from the recipe's defaults."""
    pair = settings, settle(recipe, RunConfig(), settings.requested["options"])  # of which some have no default
    own, plain = (each.model_dump(exclude={"options", "requested"}) for each in pair)
    return {name: value for name, value in own.items() if value != plain[name]} | settings.options


def request(requested: dict[str, dict[str, Any]], source: Path | None) -> dict[str, Any]:
    """Return how a run was requested, JSON-compatible: knobs and options as given, and a hash of the code.

    Paths are made absolute. `source` is the recipe's file.
    """

    def lasts(name: str, value: Any) -> Any:
        named = name == "callbacks" or (name in {"dataset", "weights"} and Path(value).exists())
        return str(Path(value).absolute()) if named or isinstance(value, Path) else value

    knobs, options = ({n: lasts(n, v) for n, v in requested[kind].items()} for kind in ("knobs", "options"))
    knobs.pop("output_dir", None)
    code = Card(source).sha256 if source else None
    return json.loads(json.dumps({"knobs": knobs, "options": options, "code": code}, default=lasting))


def recipe_fields(recipe: Recipe) -> dict[str, str]:
    """Return the recipe's fields that determine the result, as text."""
    names = {field.name for field in dataclasses.fields(recipe)} - DESCRIPTIVE - {"name", "source", "figure"}
    return json.loads(json.dumps({name: lasting(getattr(recipe, name)) for name in sorted(names)}))
