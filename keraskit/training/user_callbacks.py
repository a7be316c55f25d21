"""UserCallbacks: a user's own Keras callbacks, whose state is saved with the checkpoint and put back."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraskit.errors import UserError
from keraskit.training.checkpoint import Checkpoint

KERAS = {"_model", "_params", "params", "model", "validation_data"}  # attributes that `fit` sets anew
PLAIN = (bool, int, float, str, type(None))


class UserCallbacks(keras.callbacks.Callback):
    """Stands behind the user's callbacks in the list; knows what they hold, and puts it back.

    What is plain (a number, text, a list, tuple or dict of such) or an array (best weights) is saved; a function or a
    path is taken for a constant.

    Args:
        callbacks: the user's.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        super().__init__()
        self.callbacks = callbacks

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Say what cannot be saved."""
        for callback in self.callbacks:
            held = _state(callback).items()
            lost = [n for n, v in held if not (_is_plain(v) or _arrays(v) or callable(v) or isinstance(v, Path))]
            if lost:
                what = f"{type(callback).__name__} holds what no checkpoint can: {', '.join(lost)}"
                print(f"NOTE           {what}; a resumed run begins it anew")

    def values(self) -> list[dict[str, Any]]:
        """What the callbacks hold in plain values, as JSON can hold it."""
        return [{n: _to_json(v) for n, v in _state(each).items() if _is_plain(v)} for each in self.callbacks]

    def arrays(self) -> dict[str, np.ndarray]:
        """What they hold in arrays, by position, attribute and place."""
        return {
            f"callbacks/{i}/{name}/{k if type(value) is list else 'whole'}": np.asarray(array)
            for i, each in enumerate(self.callbacks)
            for name, value in _state(each).items()
            for k, array in enumerate(_arrays(value) or ())
        }

    def restore(self, start: Checkpoint) -> None:
        """Give the callbacks back what they held. Raises UserError where the checkpoint does not say it."""
        known = start.position.callbacks
        if len(known) != len(self.callbacks):
            problem = f"This run began with {len(known)} callbacks; now there are {len(self.callbacks)}."
            raise UserError(problem, "Put them back, or start a new run.")
        try:
            for callback, values in zip(self.callbacks, known, strict=True):
                for name, value in values.items():
                    setattr(callback, name, _from_json(value))
            lists: dict[tuple[int, str], list[np.ndarray]] = {}
            for place, array in start.more.items():
                _, i, name, k = place.split("/")
                if k == "whole":
                    setattr(self.callbacks[int(i)], name, array if array.shape else array[()])
                else:
                    lists.setdefault((int(i), name), []).append(array)  # they were written in their order
            for (index, name), arrays in lists.items():
                setattr(self.callbacks[index], name, arrays)
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise start.damaged(error) from error


def _state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    return {name: value for name, value in vars(callback).items() if name not in KERAS}


def _is_plain(value: Any) -> bool:
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(map(_is_plain, [*value, *value.values()]))
    return type(value) in PLAIN or _operation(value) is not None


def _operation(value: Any) -> str | None:
    """The name of a function of Keras's own: its callbacks set `monitor_op` as they go."""
    name = getattr(value, "__name__", "")
    return name if callable(value) and getattr(keras.ops, name, None) is value else None


def _to_json(value: Any) -> Any:
    """A plain value; of what JSON does not know the kind is named."""
    if type(value) is list:
        return [_to_json(v) for v in value]
    if type(value) is tuple:
        return {"tuple": [_to_json(v) for v in value]}
    if type(value) is dict:
        return {"dict": [[_to_json(k), _to_json(v)] for k, v in value.items()]}
    return {"operation": _operation(value)} if callable(value) else value


def _from_json(value: Any) -> Any:
    """What `_to_json` was given."""
    if isinstance(value, list):
        return [_from_json(v) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "operation":
        return getattr(keras.ops, held)
    return tuple(_from_json(held)) if kind == "tuple" else {_from_json(k): _from_json(v) for k, v in held}


def _arrays(value: Any) -> list[np.ndarray] | None:
    """The array, or those of a list; None for anything else."""
    several = value if type(value) is list else [value]
    return several if several and all(isinstance(v, np.ndarray | np.generic) for v in several) else None


def from_file(word: str) -> list[keras.callbacks.Callback]:
    """What the function of `file.py:function` returns: for `--callbacks`.

    Raises:
        UserError: there is no such file or function, or it returns something else.
    """
    file, _, name = word.rpartition(":")
    path = Path(file)
    if not path.is_file() or path.suffix != ".py" or not name.isidentifier():
        raise UserError(f"--callbacks {word} names no function.", "Expected file.py:function.")
    spec = importlib.util.spec_from_file_location("keraskit_callbacks", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        made = list(getattr(module, name)())
    except Exception as error:  # the user's own code may raise anything
        raise UserError(f"--callbacks {word}: {type(error).__name__}: {error}.", "Mend the file.") from error
    if not all(isinstance(each, keras.callbacks.Callback) for each in made):
        raise UserError(f"--callbacks {word} returns something else than Keras callbacks.", "Return a list of them.")
    return made
