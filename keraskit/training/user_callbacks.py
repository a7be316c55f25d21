"""The user's Keras callbacks, with their state saved in the checkpoint; the metrics that a run and they monitor."""

import inspect
import re
import string
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraskit.config import Settings
from keraskit.datasets.array_files import explained
from keraskit.errors import UserError, did_you_mean, lasting
from keraskit.recipe import Recipe, place
from keraskit.registry import import_file
from keraskit.runs import metrics
from keraskit.training.acceleration import is_keras

OF_FIT = {"_model", "_params", "params", "model", "min_delta", "mode"}  # set by `fit`, which gives min_delta its sign
PLAIN = (bool, int, float, str, type(None))
MADE = ""  # name in a state of the plain attributes as they were when the callback was made
SET_RATES = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
OF_ROWS = ("FBetaScore", "F1Score", "OneHotIoU", "OneHotMeanIoU", "TopKCategoricalAccuracy")  # of one-hot targets
STEPS = ("test_step", "compute_metrics", "compute_loss")


class UserCallbacks(keras.callbacks.CallbackList):
    """The user's callbacks, which are not called for steps that an earlier process has already taken.

    Their state consists of the attributes that are numbers, strings, arrays, or lists of these. A resumed run keeps
    what training has changed, and takes constructor arguments, such as another `patience`, as they are given now.
    """

    done = 0  # steps of the first epoch that are already taken

    def __init__(self, callbacks: list[keras.callbacks.Callback]) -> None:
        super().__init__(callbacks)
        self.made = {id(each): {n: v for n, v in vars(each).items() if type(v) in PLAIN} for each in callbacks}

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        for callback in self.callbacks if batch >= self.done else ():
            callback.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        for callback in self.callbacks if batch >= self.done else ():
            callback.on_train_batch_end(min(batch, self.params["steps"] - 1), logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.done = 0
        super().on_epoch_end(epoch, logs)

    def state(self) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
        """Return each callback's state as a JSON-compatible dict, and the arrays that these refer to by name."""
        arrays: dict[str, np.ndarray] = {}
        states: list[dict[str, Any]] = [{} for _ in self.callbacks]
        for callback, state in zip(self.callbacks, states, strict=True):
            state[MADE] = self.made.get(id(callback), {})
            for name in vars(callback).keys() - OF_FIT:
                with suppress(TypeError, RecursionError):  # a list may hold itself
                    state[name] = _encoded(vars(callback)[name], arrays)
        return states, arrays

    def restore(self, states: list[dict[str, Any]], arrays: Mapping[str, np.ndarray]) -> None:
        """Restore the callbacks' state. Raises UserError if the number of callbacks differs."""
        if len(states) != len(self.callbacks):
            problem = f"This run began with {len(states)} callbacks; now there are {len(self.callbacks)}."
            raise UserError(problem, "Put them back, or start a new run.")
        for callback, state in zip(self.callbacks, states, strict=True):
            then, today = state.get(MADE, {}), self.made.get(id(callback), {})
            takes = {name for kind in type(callback).__mro__[:-1] for name in inspect.signature(kind).parameters}
            edited = {name for name in takes if today.get(name) != then.get(name)}
            for name in state.keys() - {MADE}:
                if name not in edited or state[name] != then.get(name):
                    setattr(callback, name, _decoded(state[name], arrays))


def _encoded(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return the value with arrays replaced by their names. Raises TypeError for a value that cannot be saved."""
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        arrays[name := f"callbacks/{len(arrays)}"] = np.asarray(value)
        return {"array": name}
    if type(value) is list:
        return [_encoded(each, arrays) for each in value]
    if type(value) in PLAIN:
        return value
    raise TypeError(value)


def _decoded(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Invert `_encoded`."""
    if isinstance(value, list):
        return [_decoded(each, arrays) for each in value]
    if isinstance(value, dict):
        return arrays[value["array"]][()]  # a number if it has no dimensions
    return value


def own(recipe: Recipe, settings: Settings, optimizer: keras.optimizers.Optimizer) -> UserCallbacks:
    """Create the callbacks of the recipe and `--callbacks`.

    Left out are BackupAndRestore, as every run is backed up, and SwapEMAWeights if the optimizer averages weights:
    every run validates, saves and tests the averages.
    """
    made: list[keras.callbacks.Callback] = []
    named = from_file(settings.callbacks) if settings.callbacks else None
    for function in [each for each in (recipe.callbacks, named) if each]:
        with explained(f"{place(function)} makes no callbacks", "It is called without arguments."):
            inspect.signature(function).bind()
        listed = function()
        if not isinstance(listed, list | tuple) or not all(isinstance(c, keras.callbacks.Callback) for c in listed):
            advice = "Return a list of callbacks, such as [keras.callbacks.EarlyStopping(patience=3)]."
            raise UserError(f"{place(function)} returns {lasting(listed)}.", advice)
        made += listed
    left = (keras.callbacks.BackupAndRestore, *[keras.callbacks.SwapEMAWeights] * averages(optimizer))
    for each in made:
        if isinstance(each, left):
            print(f"NOTE           {type(each).__name__} is left out: every run does its work", flush=True)
    return UserCallbacks([each for each in made if not isinstance(each, left)])


def averages(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer keeps moving averages of the weights (`use_ema`)."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return any(each.use_ema for each in getattr(optimizer, "optimizers", [optimizer]))


def from_file(word: str) -> Callable[[], Any]:
    """Import the function of `file.py:function`."""
    file, _, name = word.rpartition(":")
    known = file.endswith(".py") and Path(file).is_file()
    function = getattr(import_file(Path(file), "keraskit_callbacks"), name, None) if known else None
    if not callable(function):
        raise UserError(f"--callbacks {word} names no function.", "Expected file.py:function.")
    return function


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
    own = [each for each in model._flatten_layers(include_self=False) if not is_keras(each)]  # one may add a loss
    if model._compile_loss is None and not own:
        raise UserError("The model cannot be evaluated: it has no loss.", "Compile it with one.")
    return list(metrics.flat(model.get_metrics_result()))


def check_metrics(model: keras.Model, y: Any) -> None:
    """Raise UserError if a metric of Keras's would misread class numbers as one-hot rows, or cut probabilities to 0."""
    end, floats = model.outputs[0].shape, "float" in model.outputs[0].dtype
    alone = isinstance(y, keras.KerasTensor) and not model.outputs[1:]
    numbers = alone and end[-1] not in (1, None) and y.shape[1:] in (end[1:-1], (*end[1:-1], 1))
    for metric in filter(is_keras, compiled(model)) if alone else ():
        if floats and getattr(metric, "sparse_y_pred", False) and type(metric).__name__ != "BinaryIoU":
            advice = "Take BinaryIoU for a sigmoid, sparse_y_pred=False for a softmax."
            raise UserError(f"{metric.name} takes answers for whole numbers, and 0.9 for 0.", advice)
        if numbers and (type(metric).__name__ in OF_ROWS or getattr(metric, "class_id", None) is not None):
            advice = "Give such rows, and a categorical loss; the report has precision and recall of each class."
            raise UserError(f"{metric.name} takes one-hot rows, and the targets are class numbers.", advice)


def check_callbacks(callbacks: Iterable[keras.callbacks.Callback], model: keras.Model) -> None:
    """Raise UserError if a callback monitors a missing metric or sets a scheduled learning rate.

    Keras would notice only after the first epochs. Callbacks after a custom one are not checked: it may add logs.
    """
    known = measured(model)
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    scheduled = isinstance(getattr(optimizer, "_learning_rate", None), keras.optimizers.schedules.LearningRateSchedule)
    for callback in callbacks:
        name, watched = type(callback).__name__, getattr(callback, "monitor", None)
        if scheduled and isinstance(callback, SET_RATES):
            raise UserError(f"{name} sets the learning rate, which follows a schedule.", "Leave one of them out.")
        known = known if is_keras(callback) else []
        logged = [*known, *(f"val_{each}" for each in known), "learning_rate"]
        for _, field, *_ in string.Formatter().parse(str(getattr(callback, "filepath", ""))) if known else ():
            if field and field not in ("epoch", "batch"):
                _check(f"{name} puts {field} into its file's name, which is not measured", field, logged)
        if known and watched:
            if getattr(callback, "save_best_only", True):
                _check(f"{name} watches {watched}, which is not measured", watched, logged)
            if getattr(callback, "mode", "") == "auto":  # Keras knows no outputs' metrics, and none of one's own
                if not (rises := direction(model, watched.removeprefix("val_"))):
                    problem = f"{name}: whether {watched} should rise or fall is not known."
                    raise UserError(problem, 'Give it mode="max" or mode="min".')
                callback.mode = "max" if rises > 0 else "min"


def _check(problem: str, name: str, known: list[str]) -> None:
    if name not in known:
        advice = did_you_mean(name, known) or "Name one of these, or add it to compile's metrics."
        raise UserError(f"{problem}. Measured are {', '.join(known)}.", advice)


def compiled(model: keras.Model) -> list[keras.metrics.Metric]:
    """Return the metrics of a model that has been called, those of compile among them."""
    return [metric for each in model.metrics for metric in getattr(each, "metrics", [each])]


def direction(model: keras.Model, name: str) -> float | None:
    """Return 1 if higher is better, -1 if lower is better, according to Keras's metrics; None if unknown."""
    if name == "loss" or name.endswith("_loss"):
        return -1.0
    known = compiled(model)
    for called in (name, re.sub(r"_\d+$", "", name)):  # elements of a vector metric are named metric_0, ...
        for metric in known:
            if called == metric.name or called.endswith(f"_{metric.name}"):
                return {"up": 1.0, "down": -1.0}.get(getattr(metric, "_direction", None) or "")
    return None
