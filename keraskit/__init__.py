"""keraskit: a classic Keras tutorial as software. Names load on first use, so importing this imports no TensorFlow."""

from importlib import import_module

_HOMES = {
    "Augmentation": "keraskit.augment",
    "Pretrained": "keraskit.recipe",
    "Program": "keraskit.recipe",
    "Recipe": "keraskit.recipe",
    "RunConfig": "keraskit.config",
    "RunResult": "keraskit.training.runner",
    "UserError": "keraskit.errors",
    "from_arrays": "keraskit.datasets.splits",
    "load_recipe": "keraskit.registry",
    "main": "keraskit.cli.app",
    "recipes_available": "keraskit.registry",
    "run": "keraskit.training.runner",
    "spread_gates": "keraskit.models.initializers",
}
__all__ = list(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'keraskit' has no attribute {name!r}")
    if _HOMES[name].startswith(("keraskit.training", "keraskit.datasets")):
        from keraskit import startup

        startup.start_tensorflow()
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
