"""Settles a run's knobs: what the user gave, what the recipe says, what a run that is resumed had chosen."""

from __future__ import annotations

import dataclasses
from typing import Any

from keraskit.augment import Augmentation
from keraskit.config import QUICK_EPOCHS, QUICK_EXAMPLES, RunConfig, Settings, changed
from keraskit.errors import UserError
from keraskit.options import checked
from keraskit.recipe import Recipe
from keraskit.results import trackers


def settle(
    recipe: Recipe, config: RunConfig, options: dict[str, Any], chosen: dict[str, Any] | None = None
) -> Settings:
    """Every knob with its value.

    Args:
        recipe: fills in what the user left open.
        config: what the user gave.
        options: the recipe's own flags that the user gave.
        chosen: knobs as the run that is resumed had them, which keep their values.

    Raises:
        UserError: the recipe has no such flag, or knobs do not go together.
    """
    trackers.check(config)
    options = checked(recipe.functions, options, recipe.name)
    epochs, batch_size, limit = config.epochs or recipe.epochs, config.batch_size or recipe.batch_size, config.limit
    if config.quick:
        quick = dict(recipe.quick)
        limit = min(limit or QUICK_EXAMPLES, quick.pop("limit", QUICK_EXAMPLES))
        batch_size = config.batch_size or quick.pop("batch_size", recipe.batch_size)
        quick.pop("batch_size", None)
        epochs = config.epochs or min(epochs, QUICK_EPOCHS)
        options = {**quick, **options}
    augment = dataclasses.replace(recipe.augment, **changed(config.augment))
    pretrained = recipe.pretrained
    if recipe.features and augment != Augmentation():
        raise UserError(
            f"{recipe.name} computes what it learns from once, so pictures cannot change from epoch to epoch.",
            "Leave the --augment flags out, or take cats_dogs_finetune.",
        )
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
