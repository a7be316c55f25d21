"""UserCallbacks: a user's own Keras callbacks, whose state is saved with the checkpoint and put back."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraskit.errors import UserError
from keraskit.recipe import Recipe
from keraskit.registry import import_file
from keraskit.training import monitor
from keraskit.training.checkpoint import Checkpoint
from keraskit.training.setup import TrainingSetup

KERAS = {"_model", "_params", "params", "model", "validation_data"}  # attributes that `fit` sets anew
KINDS = {"list": list, "tuple": tuple, "dict": dict}  # what may hold others


class UserCallbacks(keras.callbacks.Callback):
    """Stands behind the user's callbacks in the list; knows what they hold, and puts it back.

    What is plain (a number, text, a list, tuple or dict of such) or an array (best weights) is saved; a function or a
    path is taken for a constant.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        super().__init__()
        self.callbacks = callbacks

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        for callback, held in zip(self.callbacks, self.state()[0], strict=True):
            rest = {name: value for name, value in vars(callback).items() if name not in KERAS | set(held)}
            if lost := [name for name, value in rest.items() if not (callable(value) or isinstance(value, Path))]:
                what = f"{type(callback).__name__} holds what no checkpoint can: {', '.join(lost)}"
                print(f"NOTE           {what}; a resumed run begins it anew")

    def state(self) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
        """What the callbacks hold: one dict each, as JSON can hold it, and the arrays that these speak of."""
        arrays: list[np.ndarray] = []
        held: list[dict[str, Any]] = []
        for callback in self.callbacks:
            held.append({})
            for name in vars(callback).keys() - KERAS:
                with suppress(TypeError):
                    held[-1][name] = _encoded(getattr(callback, name), arrays)
        return held, {f"callbacks/{i}": array for i, array in enumerate(arrays)}

    def restore(self, start: Checkpoint) -> None:
        """Give the callbacks back what they held. Raises UserError where the checkpoint does not say it."""
        for callback, held in zip(self.callbacks, self.restored(start), strict=True):
            for name, value in held.items():
                setattr(callback, name, value)

    def restored(self, start: Checkpoint) -> list[dict[str, Any]]:
        """What each callback held. Raises UserError as `restore` does."""
        known = start.position.callbacks
        if len(known) != len(self.callbacks):
            problem = f"This run began with {len(known)} callbacks; now there are {len(self.callbacks)}."
            raise UserError(problem, "Put them back, or start a new run.")
        try:
            return [{name: _decoded(value, start.more) for name, value in held.items()} for held in known]
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise start.damaged(error) from error


def _encoded(value: Any, arrays: list[np.ndarray]) -> Any:
    """A value as JSON can hold it, with arrays by their number; what is not plain is named by its kind.

    Raises:
        TypeError: neither JSON nor an array can hold it.
    """
    if type(value) in (bool, int, float, str, type(None)):
        return value
    if isinstance(value, np.ndarray | np.generic) and not np.asarray(value).dtype.hasobject:
        arrays.append(np.array(value))
        return {"array": len(arrays) - 1}
    if (kind := type(value).__name__) in KINDS:
        return {kind: [_encoded(each, arrays) for each in (value.items() if kind == "dict" else value)]}
    name = getattr(value, "__name__", "")
    if callable(value) and getattr(keras.ops, name, None) is value:  # Keras's callbacks set `monitor_op` as they go
        return {"operation": name}
    raise TypeError(value)


def _decoded(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """What `_encoded` was given."""
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "array":
        array = arrays[f"callbacks/{held}"]
        return array if array.shape else array[()]
    return getattr(keras.ops, held) if kind == "operation" else KINDS[kind](_decoded(each, arrays) for each in held)


def own(recipe: Recipe, setup: TrainingSetup) -> UserCallbacks:
    """The recipe's callbacks, and those of `--callbacks`. Raises UserError where they fail, or cannot do their work.

    Without SwapEMAWeights: every run validates, keeps and tests an optimizer's averages.
    """
    file = setup.settings.callbacks
    made = [*(recipe.callbacks() if recipe.callbacks else []), *(from_file(file) if file else [])]
    monitor.check_callbacks(made, setup.training_copy, setup.measured)
    return UserCallbacks([each for each in made if not isinstance(each, keras.callbacks.SwapEMAWeights)])


def from_file(word: str) -> list[keras.callbacks.Callback]:
    """What the function of `file.py:function` returns, for `--callbacks`. Raises UserError where it is no such list."""
    file, _, name = word.rpartition(":")
    path = Path(file)
    if not path.is_file() or path.suffix != ".py" or not name.isidentifier():
        raise UserError(f"--callbacks {word} names no function.", "Expected file.py:function.")
    module = import_file(path, "keraskit_callbacks")
    try:
        made = list(getattr(module, name)())
    except Exception as error:  # the user's own code may raise anything
        raise UserError(f"--callbacks {word}: {type(error).__name__}: {error}.", "Mend the file.") from error
    if not all(isinstance(each, keras.callbacks.Callback) for each in made):
        raise UserError(f"--callbacks {word} returns something else than Keras callbacks.", "Return a list of them.")
    return made
