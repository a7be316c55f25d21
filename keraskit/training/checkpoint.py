"""Where a training stands, in one file: every variable's value, and what else it takes to go on to the same bits."""

import dataclasses
import itertools
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Self

import keras
import numpy as np
from annotated_types import Interval
from pydantic import TypeAdapter, ValidationError

from keraskit.errors import UserError, sentence
from keraskit.models.keras_internals import symbolic_build
from keraskit.runs.folder import CHECKPOINT, TRAINED, RunFolder

Count = Annotated[int, Interval(ge=0, le=10**9)]
Seconds = Annotated[float, Interval(ge=0, le=1e12)]


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a training stands, but for its variables.

    Args:
        epoch: how many epochs have ended.
        step: how many steps of the next one.
        spent: seconds of that epoch until here.
        fitting: seconds of all training until here.
        rows: the history, one row per epoch.
        best: the best score so far; higher is better.
        best_epoch: the epoch that had it, from 1; 0 for none.
        model_sha256: of the best model's file.
        stopped: a callback has ended the training.
        callbacks: what the user's callbacks hold, one dict each.

    Raises:
        ValueError: the history is not that of the epochs.
    """

    epoch: Count = 0
    step: Count = 0
    spent: Seconds = 0.0
    fitting: Seconds = 0.0
    rows: list[dict[str, int | float]] = dataclasses.field(default_factory=list)
    best: float = -float("inf")
    best_epoch: Count = 0
    model_sha256: str | None = None
    stopped: bool = False
    callbacks: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        if [row.get("epoch") for row in self.rows] != list(range(1, self.epoch + 1)) or self.best_epoch > self.epoch:
            raise ValueError("its history is not that of its epochs")
        if any("seconds" not in row for row in self.rows):
            raise ValueError("its history has no times")

    def __str__(self) -> str:
        return f"epoch {self.epoch + 1}, step {self.step + 1}"


def complete(model: keras.Model, element_spec: Any) -> None:
    """Create metric and optimizer variables before the training step is traced.

    TensorFlow traces a function that creates variables a second time. `element_spec` is of the training batches.
    Raises UserError where loss or metrics do not take the targets.
    """
    batch = keras.tree.map_structure(lambda s: keras.KerasTensor(tuple(s.shape), s.dtype.name), element_spec)
    try:
        symbolic_build(model, data_batch=batch)
    except (ValueError, TypeError) as error:
        targets = ", ".join(f"{each.dtype} {each.shape}" for each in keras.tree.flatten(batch[1]))
        problem = f"The model's loss or metrics do not take the targets, {targets}: {sentence(error)}"
        advice = "Labels as numbers go with sparse losses and metrics, one-hot rows with categorical ones and F1Score."
        raise UserError(problem, advice) from error


def write(path: Path, model: keras.Model, position: Position, more: dict[str, np.ndarray] | None = None) -> None:
    """Write a checkpoint, one array after another: no second copy of the weights is ever in memory."""
    told = ("position", np.array(json.dumps(dataclasses.asdict(position))))
    variables = _variables(model, within_epoch=position.step > 0).items()
    values = ((name, variable.numpy()) for name, variable in variables)
    with zipfile.ZipFile(path, "w") as archive:  # what np.savez makes, but for its having all arrays at once
        for name, array in itertools.chain([told], values, (more or {}).items()):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _variables(model: keras.Model, within_epoch: bool) -> dict[str, Any]:
    """All that training changes: weights, states of seed generators, the optimizer's; in mid-epoch the metrics' too."""
    metrics = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in metrics]
    kinds = {"model": own, "optimizer": model.optimizer.variables}
    if within_epoch:
        kinds["metrics"] = model.metrics_variables
    return {f"{kind}/{i}": variable for kind, several in kinds.items() for i, variable in enumerate(several)}


class Checkpoint:
    """A checkpoint that was written. Raises UserError where it is damaged, or no training can stand where it says."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.more: dict[str, np.ndarray] = {}
        with self._reading():
            if not path.is_file():
                raise ValueError("it is no file")
            with np.load(path, allow_pickle=False) as arrays:
                known = json.loads(str(arrays["position"]))
            self.position = TypeAdapter(Position).validate_python(known)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Make one line of what reading the file raises, which is anything where it is damaged."""
        try:
            yield
        except UserError:
            raise
        except MemoryError as error:
            raise UserError(f"{self._path} does not fit into memory: {sentence(error)}", "Free some.") from error
        except ValidationError as error:
            first = error.errors()[0]
            raise self.damaged(f"{' '.join(map(str, first['loc']))} {first['msg']}".strip()) from error
        except Exception as error:
            raise self.damaged(error) from error

    @classmethod
    def of(cls, folder: RunFolder) -> Self | None:
        """The folder's checkpoint, or what is left of it when training has ended; None for neither."""
        there = [name for name in (CHECKPOINT, TRAINED) if os.path.lexists(folder.path / name)]
        return cls(folder.file(there[0])) if there else None

    def restore(self, model: keras.Model) -> None:
        """Put every variable of a complete model back, and read what else there is into `more`.

        Raises:
            UserError: the file is damaged, or of another model.
        """
        for variable, array in self._found(model):
            variable.assign(array)

    def check_variables(self, model: keras.Model) -> None:
        """Read everything, and raise as `restore` does; the model stays as it is."""
        for _ in self._found(model):
            pass

    def _found(self, model: keras.Model) -> Iterator[tuple[Any, np.ndarray]]:
        """Every variable of a complete model with its value."""
        with self._reading(), np.load(self._path, allow_pickle=False) as arrays:
            self.more = {name: arrays[name] for name in arrays.files if name.startswith("callbacks/")}
            for name, variable in _variables(model, within_epoch=self.position.step > 0).items():
                if name not in arrays or (array := arrays[name]).shape != tuple(variable.shape):
                    problem = f"{self._path} does not fit the model: {name} differs."
                    raise UserError(problem, "Has the recipe changed? Start a new run.")
                if array.dtype.kind == "V":  # NumPy does not know bfloat16 by name
                    array = array.view(variable.numpy().dtype)
                yield variable, array

    def check(self, epochs: int, steps: int) -> None:
        """Raise UserError unless it is a place in a training of so many epochs of so many steps."""
        if self.position.epoch > epochs or self.position.step >= steps:
            raise self.damaged(f"{self.position} is not within {epochs} epochs of {steps} steps")

    def damaged(self, error: object) -> UserError:
        """What to tell the user."""
        advice = "Start a new run." if self._path.name == TRAINED else "Remove it, and the run begins anew."
        return UserError(f"{self._path} is damaged: {error}.", advice)
