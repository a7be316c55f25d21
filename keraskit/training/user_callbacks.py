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
    """Stands behind the user's callbacks in the list: puts their state back once training has begun.

    What is a plain value (a number, text, a list or dict of such) or an array (best weights) is saved; a function is
    taken for a constant.

    Args:
        callbacks: the user's.
        start: the checkpoint from which training goes on, if it does.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], start: Checkpoint | None) -> None:
        super().__init__()
        self.callbacks, self._start = callbacks, start

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Give the callbacks back what they held, after Keras has had them begin; say what cannot be saved."""
        if self._start:
            self._restore(self._start)
            self._start = None
        for callback in self.callbacks:
            held = _state(callback).items()
            lost = [name for name, v in held if not (_is_plain(v) or _arrays(v) or callable(v))]
            if lost:
                what = f"{type(callback).__name__} holds what no checkpoint can: {', '.join(lost)}"
                print(f"NOTE           {what}; a resumed run begins it anew")

    def values(self) -> list[dict[str, Any]]:
        """What the callbacks hold in plain values, as JSON can hold it."""
        return [{n: _plain(v) for n, v in _state(each).items() if _is_plain(v)} for each in self.callbacks]

    def arrays(self) -> dict[str, np.ndarray]:
        """What they hold in arrays, by position, attribute and place."""
        return {
            f"callbacks/{i}/{name}/{k if isinstance(value, list | tuple) else 'whole'}": array
            for i, each in enumerate(self.callbacks)
            for name, value in _state(each).items()
            for k, array in enumerate(_arrays(value) or ())
        }

    def _restore(self, start: Checkpoint) -> None:
        known = start.position.callbacks
        if len(known) != len(self.callbacks):
            raise UserError(f"This run began with {len(known)} callbacks; now there are {len(self.callbacks)}.")
        for i, (callback, values) in enumerate(zip(self.callbacks, known, strict=True)):
            for name, value in values.items():
                setattr(callback, name, _like(getattr(callback, name, None), value))
            lists: dict[str, dict[int, np.ndarray]] = {}
            for place, array in start.more.items():
                _, index, name, k = place.split("/")
                if int(index) != i:
                    continue
                if k == "whole":
                    setattr(callback, name, array)
                else:
                    lists.setdefault(name, {})[int(k)] = array
            for name, arrays in lists.items():
                setattr(callback, name, [arrays[k] for k in sorted(arrays)])


def _state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    return {name: value for name, value in vars(callback).items() if name not in KERAS}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    return isinstance(value, (*PLAIN, np.generic))


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's; float32 fits into Python's floats."""
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _arrays(value: Any) -> list[np.ndarray] | None:
    """The array, or those of a list; None for anything else."""
    several = list(value) if isinstance(value, list | tuple) else [value]
    return several if several and all(isinstance(v, np.ndarray) for v in several) else None


def _like(now: Any, value: Any) -> Any:
    """A value from JSON, of the kind that the attribute has now."""
    if isinstance(now, tuple) and isinstance(value, list):
        return tuple(value)
    return type(now)(value) if isinstance(now, np.generic) and value is not None else value


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
