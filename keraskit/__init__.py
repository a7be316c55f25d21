"""keraskit: a classic Keras tutorial as software. Names load on first use, so importing this imports no TensorFlow."""

from importlib import import_module

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
    "run": "keraskit.training.runner",
}
__all__ = list(_HOMES)
__version__ = "0.1.0"


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
