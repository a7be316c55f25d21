"""keraskit: a classic Keras tutorial as software. Names load lazily: importing it does not import TensorFlow."""

from __future__ import annotations

import random
import sys
import threading
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
_ALONE = threading.RLock()  # Keras's names, seeds and dtype policy are the process's
sys.meta_path.insert(0, QuietImport())


def run(recipe: str | Recipe, **kwargs: Any) -> RunResult:
    """Train a recipe from Python: `keraskit.run("cnn", epochs=2, filters=(32, 16))`.

    Runs in several threads follow one another. Python's and NumPy's random numbers go on as if there were no run.

    Args:
        recipe: a recipe's name, the path of its file, or a Recipe.
        kwargs: fields of RunConfig, and the recipe's own flags: the arguments of its `build`, `compile` and `data`.

    Raises:
        UserError: if an argument cannot be used.
    """
    import numpy as np

    from keraskit import config, start
    from keraskit.errors import UserError
    from keraskit.recipe import Recipe, options_of
    from keraskit.registry import load_recipe

    knobs = config.RunConfig(**{name: kwargs.pop(name) for name in config.KNOBS if name in kwargs})
    start.start_tensorflow()
    from keraskit.training.runner import train

    found = recipe if isinstance(recipe, Recipe) else load_recipe(str(recipe))
    if not isinstance(found, Recipe):
        raise UserError(f"{recipe} trains no model.", f"Call keraskit.load_recipe({recipe!r}).")
    options = options_of(found.functions)(**kwargs)
    if not _ALONE.acquire(blocking=False):
        print("waiting        for the run of another thread", flush=True)
        _ALONE.acquire()
    states = random.getstate(), np.random.get_state()
    try:
        return train(found, knobs, {name: getattr(options, name) for name in kwargs})
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        _ALONE.release()


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'keraskit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
