"""Checkpoint: where a training stands, in one file: every variable's value, and what else it takes to go on."""

import itertools
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Self

import keras
import numpy as np
import pydantic

from keraskit.errors import UserError, sentence
from keraskit.runs.folder import CHECKPOINT, TRAINED, RunFolder
from keraskit.training.user_callbacks import UserCallbacks

Count = Annotated[int, pydantic.Field(ge=0, le=10**9)]


class Position(pydantic.BaseModel):
    """Where a training stands, but for its variables.

    Args:
        epoch: how many epochs have ended.
        step: how many steps of the next one.
        spent: seconds of that epoch until here.
        rows: the history, one row per epoch.
        best_epoch: from 1; 0 for none.
        model_sha256: of the best model's file.
        stopped: a callback has ended the training.
        callbacks: the state of each of the user's callbacks.
    """

    model_config = pydantic.ConfigDict(frozen=True, ser_json_inf_nan="constants")

    epoch: Count = 0
    step: Count = 0
    spent: float = 0.0
    rows: list[dict[str, int | float]] = []
    best_epoch: Count = 0
    model_sha256: str | None = None
    stopped: bool = False
    callbacks: list[dict[str, Any]] = []

    @property
    def seconds(self) -> float:
        """Of all training until here."""
        return self.spent + sum(row["seconds"] for row in self.rows)

    def __str__(self) -> str:
        return f"epoch {self.epoch + 1}, step {self.step + 1}"


def complete(model: keras.Model, element_spec: Any) -> None:
    """Create metric and optimizer variables before the training step is traced.

    TensorFlow traces a function that creates variables a second time. `element_spec` is of the training batches.
    Raises UserError where loss or metrics do not take the targets.
    """
    batch = keras.tree.map_structure(lambda s: keras.KerasTensor(tuple(s.shape), s.dtype.name), element_spec)
    try:
        model._symbolic_build(data_batch=batch)
    except (ValueError, TypeError) as error:
        targets = ", ".join(f"{each.dtype} {each.shape}" for each in keras.tree.flatten(batch[1]))
        problem = f"The model's loss or metrics do not take the targets, {targets}: {sentence(error)}"
        advice = "Labels as numbers go with sparse losses and metrics, one-hot rows with categorical ones and F1Score."
        raise UserError(problem, advice) from error


def write(path: Path, model: keras.Model, position: Position, more: Mapping[str, np.ndarray]) -> None:
    """Write a checkpoint as `np.savez` does, but one array after another: no second copy of the weights is in memory.

    `more` are arrays of the callbacks' state.
    """
    values = ((name, variable.numpy()) for name, variable in variables(model, position.step > 0).items())
    told = [("position", np.array(position.model_dump_json()))]
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in itertools.chain(told, values, more.items()):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def variables(model: keras.Model, within_epoch: bool) -> dict[str, Any]:
    """All that training changes: weights, states of seed generators, the optimizer's; in mid-epoch the metrics' too."""
    metrics = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in metrics]
    groups = {"model": own, "optimizer": model.optimizer.variables}
    if within_epoch:
        groups["metrics"] = model.metrics_variables
    return {f"{group}/{i}": variable for group, several in groups.items() for i, variable in enumerate(several)}


class Checkpoint:
    """A checkpoint that was written. Raises UserError where it is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._arrays() as arrays:
            self.position = Position.model_validate_json(str(arrays["position"]))

    @classmethod
    def of(cls, folder: RunFolder) -> Self | None:
        """The folder's checkpoint, or what is left of it when training has ended; None for neither."""
        there = [name for name in (CHECKPOINT, TRAINED) if os.path.lexists(folder.path / name)]
        return cls(folder.file(there[0])) if there else None

    def restore(self, model: keras.Model, callbacks: UserCallbacks) -> None:
        """Put every variable of a complete model, and the callbacks' state, back.

        Raises:
            UserError: the file is damaged, or of another model or other callbacks.
        """
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
        """Open the file. What is raised inside is one line: reading a damaged file may raise anything."""
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                yield arrays
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{self.path} is damaged: {sentence(error)}", "Start a new run.") from error
