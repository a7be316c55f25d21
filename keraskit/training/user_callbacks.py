"""UserCallbacks: the user's own Keras callbacks, with their state saved in the checkpoint and restored from it."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraskit.config import Settings
from keraskit.errors import UserError, lasting
from keraskit.recipe import Recipe, place
from keraskit.registry import import_file
from keraskit.training import monitor

OF_FIT = {"_model", "_params", "params", "model", "min_delta"}  # set again by `fit`; of min_delta, the sign


class UserCallbacks(keras.callbacks.CallbackList):
    """The user's callbacks, which are not called for steps that an earlier process has already taken.

    Their state consists of the attributes that are numbers, strings, arrays, or lists of these.
    """

    done = 0  # steps of the first epoch that are already taken

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
            for name in vars(callback).keys() - OF_FIT:
                with suppress(TypeError):
                    state[name] = _encoded(vars(callback)[name], arrays)
        return states, arrays

    def restore(self, states: list[dict[str, Any]], arrays: Mapping[str, np.ndarray]) -> None:
        """Restore the callbacks' state. Raises UserError if the number of callbacks differs."""
        if len(states) != len(self.callbacks):
            problem = f"This run began with {len(states)} callbacks; now there are {len(self.callbacks)}."
            raise UserError(problem, "Put them back, or start a new run.")
        for callback, state in zip(self.callbacks, states, strict=True):
            for name, value in state.items():
                setattr(callback, name, _decoded(value, arrays))


def _encoded(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return the value with arrays replaced by their names. Raises TypeError for a value that cannot be saved."""
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        arrays[name := f"callbacks/{len(arrays)}"] = np.asarray(value)
        return {"array": name}
    if type(value) is list:
        return [_encoded(each, arrays) for each in value]
    if type(value) in (bool, int, float, str, type(None)):
        return value
    raise TypeError(value)


def _decoded(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Invert `_encoded`."""
    if isinstance(value, list):
        return [_decoded(each, arrays) for each in value]
    if isinstance(value, dict):
        array = arrays[value["array"]]
        return array if array.shape else array[()]
    return value


def own(recipe: Recipe, settings: Settings, model: keras.Model, monitored: tuple[str, float]) -> UserCallbacks:
    """Create the callbacks of the recipe, `--callbacks` and `--patience` for a compiled model.

    SwapEMAWeights is left out if the optimizer averages weights: every run validates, saves and tests the averages.
    """
    made: list[keras.callbacks.Callback] = []
    named = from_file(settings.callbacks) if settings.callbacks else None
    for function in [each for each in (recipe.callbacks, named) if each]:
        listed = function()
        if not isinstance(listed, list | tuple) or not all(isinstance(c, keras.callbacks.Callback) for c in listed):
            advice = "Return a list of callbacks, such as [keras.callbacks.EarlyStopping(patience=3)]."
            raise UserError(f"{place(function)} returns {lasting(listed)}.", advice)
        made += listed
    if settings.patience:
        (name, sign), patience = monitored, settings.patience
        made.append(keras.callbacks.EarlyStopping(name, patience=patience, mode="max" if sign > 0 else "min"))
    monitor.check_callbacks(made, model)
    swaps = keras.callbacks.SwapEMAWeights if averages(model.optimizer) else ()
    return UserCallbacks([each for each in made if not isinstance(each, swaps)])


def averages(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer keeps moving averages of the weights (`use_ema`)."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return any(each.use_ema for each in getattr(optimizer, "optimizers", [optimizer]))


def from_file(word: str) -> Callable[[], Any]:
    """Import the function of `file.py:function`."""
    file, _, name = word.rpartition(":")
    known = file.endswith(".py") and Path(file).is_file()
    function = getattr(import_file(Path(file), "keraskit_callbacks"), name, None) if known else None
    if function is None:
        raise UserError(f"--callbacks {word} names no function.", "Expected file.py:function.")
    return function
