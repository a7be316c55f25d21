"""What a run will measure, and whether its recipe and its callbacks watch something that is measured."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keraskit.errors import UserError, did_you_mean, sentence
from keraskit.recipe import Recipe
from keraskit.runs import history

SET_RATES = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
LISTED = 12  # names at most, in one line
STEPS = ("test_step", "compute_metrics", "compute_loss")


def measured(model: keras.Model, element_spec: Any) -> list[str]:
    """Names of what `evaluate` gives of a compiled model; where steps are its own, by tracing one; none if it is eager.

    Args:
        element_spec: of the batches.

    Raises:
        UserError: it has no loss, or its steps fail.
    """
    if model._compile_loss is not None and all(getattr(type(model), s) is getattr(keras.Model, s) for s in STEPS):
        return list(history.flat(model.get_metrics_result()))
    if model.run_eagerly:
        return []
    strategy = model.distribute_strategy

    @tf.function(autograph=False)
    def step(data: Any) -> Any:
        logs = strategy.run(model.test_step, args=(data,))
        return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

    try:
        found = step.get_concrete_function(element_spec).structured_outputs
    except (ValueError, TypeError) as error:
        problem = f"The model cannot be evaluated: {sentence(error)}"
        raise UserError(problem, "Compile it with a loss, or give it a test_step of its own.") from error
    return list(history.flat({name: np.zeros(value.shape) for name, value in found.items()}))


def monitored(recipe: Recipe, model: keras.Model, known: Sequence[str]) -> tuple[str, float]:
    """The recipe's monitor, and 1 where higher is better, -1 where lower is.

    Raises UserError where it, or an expected metric, is none of the `known`, if these are known.
    """
    monitor, wanted = recipe.monitor if isinstance(recipe.monitor, tuple) else (recipe.monitor, "")
    for name in (monitor, *recipe.expected) if known else ():
        _check(f"{recipe.name} has no metric {name}", name.removeprefix("val_").removeprefix("test_"), known)
    if not monitor.startswith("val_"):
        raise UserError(f"{recipe.name} monitors {monitor}.", f"Validation decides: monitor val_{monitor}.")
    if rises := {"max": 1.0, "min": -1.0}.get(wanted) or direction(model, monitor):
        return monitor, rises
    problem = f"{recipe.name}: whether {monitor} should rise or fall is not known."
    raise UserError(problem, f'Say monitor=("{monitor}", "min") or "max" in the recipe.')


def direction(model: keras.Model, monitor: str) -> float | None:
    """1 where higher is better, -1 where lower is, as Keras has it of its own metrics; None where that is not known."""
    name = monitor.removeprefix("val_")
    if name == "loss" or name.endswith("_loss"):
        return -1.0
    metrics = [m for each in model.metrics for m in getattr(each, "metrics", [each])]
    for called in (name, re.sub(r"_\d+$", "", name)):  # a value of a vector has the metric's name and its number
        for metric in metrics:
            rises = getattr(metric, "_direction", None)
            if rises in ("up", "down") and (called == metric.name or called.endswith(f"_{metric.name}")):
                return 1.0 if rises == "up" else -1.0
    return None


def averages(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer keeps averages of the weights (`use_ema`)."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return any(each.use_ema for each in getattr(optimizer, "optimizers", [optimizer]))


def check_callbacks(callbacks: Iterable[keras.callbacks.Callback], model: keras.Model, known: Sequence[str]) -> None:
    """Raise UserError where a callback watches or sets what is not there: Keras finds out after the first epochs.

    What a callback of the user's own may add to the logs is not known. `mode="auto"` becomes the metric's direction.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    scheduled = isinstance(getattr(optimizer, "_learning_rate", None), keras.optimizers.schedules.LearningRateSchedule)
    logged = [*known, *(f"val_{name}" for name in known), "learning_rate"] if known else []
    for callback in callbacks:
        name, monitor = type(callback).__name__, getattr(callback, "monitor", None)
        if scheduled and isinstance(callback, SET_RATES):
            problem = f"{name} sets the learning rate, which follows a schedule of the optimizer's own."
            raise UserError(problem, "Give the optimizer a number, or leave the callback out.")
        if isinstance(callback, keras.callbacks.SwapEMAWeights) and not averages(optimizer):
            raise UserError(f"{name} finds no averages.", "Give the optimizer use_ema=True, or leave the callback out.")
        if not type(callback).__module__.startswith("keras."):
            logged = []
        if logged and monitor and getattr(callback, "save_best_only", True):
            _check(f"{name} watches {monitor}, which is not measured", monitor, logged)
            if getattr(callback, "mode", "") == "auto" and (rises := direction(model, monitor)):
                callback.mode = "max" if rises > 0 else "min"


def _check(problem: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        listed = ", ".join(known[:LISTED]) + (" ..." if len(known) > LISTED else "")
        raise UserError(f"{problem}. Measured are {listed}.", did_you_mean(name, known) or "Add it, or change it.")
