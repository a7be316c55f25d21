"""The metric that decides which epoch is the best."""

import re

import keras

from keraskit.errors import UserError, did_you_mean
from keraskit.recipe import Recipe
from keraskit.runs import history

STEPS = ("test_step", "compute_metrics", "compute_loss")


def monitored(recipe: Recipe, model: keras.Model) -> tuple[str, float]:
    """Return the recipe's monitor, and 1 where higher is better, -1 where lower is.

    What a test step of the model's own measures is not known before its first epoch ends.

    Raises:
        UserError: the model has no loss, or the monitor or an expected metric is none of its metrics.
    """
    monitor, mode = recipe.monitor if isinstance(recipe.monitor, tuple) else (recipe.monitor, "")
    if not monitor.startswith("val_"):
        raise UserError(f"{recipe.name} monitors {monitor}.", f"Validation decides: monitor val_{monitor}.")
    if all(getattr(type(model), name) is getattr(keras.Model, name) for name in STEPS):
        if model._compile_loss is None:
            advice = "Compile it with a loss, or give it a test_step of its own."
            raise UserError("The model cannot be evaluated: it has no loss.", advice)
        known = list(history.flat(model.get_metrics_result()))
        for name in (monitor.removeprefix("val_"), *(each.removeprefix("test_") for each in recipe.expected)):
            if name not in known:
                problem = f"{recipe.name} has no metric {name}. Measured are {', '.join(known)}."
                raise UserError(problem, did_you_mean(name, known) or "Add it, or change it.")
    if rises := {"max": 1.0, "min": -1.0}.get(mode) or direction(model, monitor.removeprefix("val_")):
        return monitor, rises
    problem = f"{recipe.name}: whether {monitor} should rise or fall is not known."
    raise UserError(problem, f'Say monitor=("{monitor}", "min") or "max" in the recipe.')


def direction(model: keras.Model, name: str) -> float | None:
    """Return 1 where higher is better, -1 where lower is, by Keras's metrics; None where they do not say."""
    if name == "loss" or name.endswith("_loss"):
        return -1.0
    metrics = [m for each in model.metrics for m in getattr(each, "metrics", [each])]
    for called in (name, re.sub(r"_\d+$", "", name)):  # a value of a vector has the metric's name and its number
        for metric in metrics:
            if called == metric.name or called.endswith(f"_{metric.name}"):
                return {"up": 1.0, "down": -1.0}.get(getattr(metric, "_direction", None) or "")
    return None
