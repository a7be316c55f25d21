"""keraskit: a classic Keras tutorial as software. Names load on first use, so importing this imports no TensorFlow."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keraskit.recipe import Recipe
    from keraskit.training.runner import RunResult

_HOMES = {
    "Augmentation": "keraskit.augment",
    "Program": "keraskit.recipe",
    "Recipe": "keraskit.recipe",
    "RunConfig": "keraskit.config",
    "RunResult": "keraskit.training.runner",
    "UserError": "keraskit.errors",
    "load_recipe": "keraskit.recipe",
    "recipes_available": "keraskit.recipe",
    "spread_gates": "keraskit.chrono",
}
__all__ = [*_HOMES, "run"]
__version__ = "0.1.0"


def run(recipe: str | Recipe, *, model: dict[str, Any] | None = None, **knobs: Any) -> RunResult:
    """Train a recipe from Python: `keraskit.run("cnn", epochs=2, seed=1)`.

    Args:
        recipe: its name, or a Recipe of your own.
        model: keyword arguments for the recipe's `build`.
        knobs: fields of RunConfig.

    Raises:
        UserError: something given cannot be used.
    """
    from dataclasses import fields

    from keraskit import config, errors, startup
    from keraskit.recipe import load_recipe
    from keraskit.suggest import did_you_mean

    startup.begin()
    known = [field.name for field in fields(config.RunConfig)]
    if unknown := sorted(set(knobs) - set(known)):
        meant = did_you_mean(unknown[0], known)
        raise errors.UserError(f"No such knob: {', '.join(unknown)}. {meant}", "keraskit.RunConfig lists them.")
    asked = config.RunConfig(**knobs)
    startup.start_tensorflow()
    from keraskit.training.runner import train

    loaded = load_recipe(recipe) if isinstance(recipe, str) else recipe
    config.check_arguments(loaded.build, model or {})
    return train(loaded, asked, model)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'keraskit' has no attribute {name!r}")
    if name in ("Recipe", "Program") or _HOMES[name].startswith("keraskit.training"):
        from keraskit import startup

        if _HOMES[name].startswith("keraskit.training"):
            startup.start_tensorflow()
        elif startup.asked_by_the_program():
            startup.quiet_import()
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
