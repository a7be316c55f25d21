"""keraskit: a classic Keras tutorial as software. Names load lazily: importing it does not import TensorFlow."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from keraskit.start import QuietImport

if TYPE_CHECKING:
    from keraskit.recipe import Recipe
    from keraskit.training.runner import RunResult

_HOMES = {
    "Augmentation": "keraskit.augment.augmentation",
    "Pretrained": "keraskit.recipe",
    "Recipe": "keraskit.recipe",
    "RunConfig": "keraskit.config",
    "RunResult": "keraskit.training.runner",
    "UserError": "keraskit.errors",
    "from_arrays": "keraskit.datasets.arrays",
    "load_recipe": "keraskit.registry",
    "main": "keraskit.cli.app",
    "recipes_available": "keraskit.registry",
    "spread_gates": "keraskit.models.initializers",
}
__all__ = [*_HOMES, "run"]
__version__ = "0.2.0"
sys.meta_path.insert(0, QuietImport())


def run(recipe: str | Recipe, **kwargs: Any) -> RunResult:
    """Train a recipe from Python: `keraskit.run("cnn", epochs=2, filters=(32, 16))`.

    Args:
        recipe: a recipe's name, the path of its file, or a Recipe.
        kwargs: fields of RunConfig, and the recipe's own flags: the arguments of its `build`, `compile` and `data`.

    Raises:
        UserError: if an argument cannot be used.
    """
    from keraskit import config, start
    from keraskit.errors import UserError
    from keraskit.recipe import Recipe
    from keraskit.registry import load_recipe

    knobs = config.RunConfig(**{name: kwargs.pop(name) for name in config.KNOBS if name in kwargs})
    start.start_tensorflow()
    from keraskit.training.runner import train

    found = load_recipe(recipe) if isinstance(recipe, str) else recipe
    if not isinstance(found, Recipe):
        raise UserError(f"{recipe} trains no model.", f"Call keraskit.load_recipe({recipe!r}).")
    return train(found, knobs, kwargs)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'keraskit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
