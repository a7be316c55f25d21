"""The monitored metric, which decides the best epoch, and checks of callbacks that monitor metrics."""

import re
from collections.abc import Iterable

import keras

from keraskit.errors import UserError, did_you_mean
from keraskit.recipe import Recipe
from keraskit.runs import metrics

SET_RATES = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
STEPS = ("test_step", "compute_metrics", "compute_loss")


def monitored(recipe: Recipe, model: keras.Model) -> tuple[str, float]:
    """Return the recipe's monitored metric, and 1 if higher is better or -1 if lower is better.

    The metrics of a custom test step are unknown until the first epoch ends, so they are not checked. Raises UserError
    if the model has no loss, or if the monitor or an expected metric is not among the model's metrics.
    """
    monitor, mode = recipe.monitor if isinstance(recipe.monitor, tuple) else (recipe.monitor, "")
    if not monitor.startswith("val_"):
        raise UserError(f"{recipe.name} monitors {monitor}.", f"Validation decides: monitor val_{monitor}.")
    if known := measured(model):
        for name in (monitor.removeprefix("val_"), *(each.removeprefix("test_") for each in recipe.expected)):
            _check(f"{recipe.name} has no metric {name}", name, known)
    if rises := {"max": 1.0, "min": -1.0}.get(mode) or direction(model, monitor.removeprefix("val_")):
        return monitor, rises
    problem = f"{recipe.name}: whether {monitor} should rise or fall is not known."
    raise UserError(problem, f'Say monitor=("{monitor}", "min") or "max" in the recipe.')


def measured(model: keras.Model) -> list[str]:
    """Return the names of a compiled model's metrics; an empty list if the model overrides one of STEPS."""
    if any(getattr(type(model), name) is not getattr(keras.Model, name) for name in STEPS):
        return []
    if model._compile_loss is None:
        raise UserError("The model cannot be evaluated: it has no loss.", "Compile it with one.")
    return list(metrics.flat(model.get_metrics_result()))


def check_callbacks(callbacks: Iterable[keras.callbacks.Callback], model: keras.Model) -> None:
    """Raise UserError if a callback monitors a missing metric or sets a scheduled learning rate.

    Keras would notice only after the first epochs. Callbacks after a custom one are not checked: it may add logs.
    """
    known = measured(model)
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    scheduled = isinstance(optimizer.get_config().get("learning_rate"), dict)
    for callback in callbacks:
        name, watched = type(callback).__name__, getattr(callback, "monitor", None)
        if scheduled and isinstance(callback, SET_RATES):
            raise UserError(f"{name} sets the learning rate, which follows a schedule.", "Leave one of them out.")
        known = known if type(callback).__module__.startswith("keras.") else []
        if known and watched and getattr(callback, "save_best_only", True):
            logged = [*known, *(f"val_{each}" for each in known), "learning_rate"]
            _check(f"{name} watches {watched}, which is not measured", watched, logged)


def _check(problem: str, name: str, known: list[str]) -> None:
    if name not in known:
        advice = did_you_mean(name, known) or "Add it, or change it."
        raise UserError(f"{problem}. Measured are {', '.join(known)}.", advice)


def direction(model: keras.Model, name: str) -> float | None:
    """Return 1 if higher is better, -1 if lower is better, according to Keras's metrics; None if unknown."""
    if name == "loss" or name.endswith("_loss"):
        return -1.0
    metrics = [m for each in model.metrics for m in getattr(each, "metrics", [each])]
    for called in (name, re.sub(r"_\d+$", "", name)):  # elements of a vector metric are named metric_0, ...
        for metric in metrics:
            if called == metric.name or called.endswith(f"_{metric.name}"):
                return {"up": 1.0, "down": -1.0}.get(getattr(metric, "_direction", None) or "")
    return None
