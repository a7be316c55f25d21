"""Checkpoint: the state of a training in one file: the value of every variable, and all else needed to resume."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Self

import keras
import numpy as np
import pydantic

from keraskit.datasets.array_files import check_size, explained
from keraskit.errors import UserError
from keraskit.models import keras_internals
from keraskit.runs.folder import CHECKPOINT, RunFolder
from keraskit.training.user_callbacks import UserCallbacks

Count = Annotated[int, pydantic.Field(ge=0, le=10**9)]


class Position(pydantic.BaseModel):
    """The state of a training apart from its variables."""

    model_config = pydantic.ConfigDict(frozen=True, ser_json_inf_nan="constants")

    epoch: Count = 0  # number of finished epochs
    step: Count = 0  # number of finished steps in the next
    rows: list[dict[str, int | float]] = []  # the history, one row per epoch
    best_epoch: Count = 0  # counted from 1; 0 for none
    stopped: bool = False  # by a callback
    callbacks: list[dict[str, Any]] = []  # the state of each of the user's


def write(path: Path, model: keras.Model, position: Position, more: Mapping[str, np.ndarray]) -> None:
    """Write a checkpoint. Variables become arrays one by one, so there is no second copy of the weights in memory."""
    arrays = {"position": position.model_dump_json(), **variables(model, position.step > 0), **more}
    np.savez(path, allow_pickle=False, **arrays)


def variables(model: keras.Model, within_epoch: bool) -> dict[str, Any]:
    """Return the variables that training changes, by name: model, random seeds, optimizers; in mid-epoch, metrics."""
    metrics = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in metrics]
    groups = {"model": own, "random": [keras_internals.SEEDS().state]}
    optimizers = {name: each for name, each in vars(model).items() if isinstance(each, keras.optimizers.Optimizer)}
    groups |= {name: each.variables for name, each in optimizers.items()}  # `optimizer`, and others that it is given
    groups |= {"metrics": model.metrics_variables} if within_epoch else {}
    return {f"{group}/{i}": variable for group, several in groups.items() for i, variable in enumerate(several)}


class Checkpoint:
    """A checkpoint file. Raises UserError if it is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._arrays() as arrays:
            self.position = Position.model_validate_json(str(arrays["position"]))

    @classmethod
    def of(cls, folder: RunFolder) -> Self | None:
        """Return the folder's checkpoint, if there is one."""
        try:
            return cls(folder.file(CHECKPOINT))
        except FileNotFoundError:
            return None

    def restore(self, model: keras.Model, callbacks: UserCallbacks) -> None:
        """Restore every variable of a complete model and the callbacks' state. Raises UserError if they do not fit."""
        with self._arrays() as arrays, model.distribute_strategy.scope():
            for name, variable in variables(model, self.position.step > 0).items():
                if name not in arrays or (array := arrays[name]).shape != tuple(variable.shape):
                    problem = f"{self.path} does not fit the model: {name} differs."
                    raise UserError(problem, "Has the recipe changed? Start a new run.")
                if array.dtype.kind == "V":  # NumPy does not know bfloat16 by name
                    array = array.view(variable.numpy().dtype)
                variable.assign(array)
            callbacks.restore(self.position.callbacks, arrays)

    @contextmanager
    def _arrays(self) -> Iterator[Mapping[str, np.ndarray]]:
        """Open the file. Any exception inside becomes a UserError: reading a damaged file may raise anything."""
        with explained(f"{self.path} is damaged", "Start a new run."):
            check_size(self.path, 2 * self.path.stat().st_size)  # it is not compressed
            with np.load(self.path, allow_pickle=False) as arrays:
                yield arrays
