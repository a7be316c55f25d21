"""Resume a run: its folder, and its checkpoint, one file with the value of every variable and all else to go on."""

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import pydantic

from keraskit.datasets.array_files import check_size, explained
from keraskit.errors import UserError, printable, short
from keraskit.files import MODEL, TEMPORARY
from keraskit.models import applications, graph, keras_internals, weights
from keraskit.runs import report
from keraskit.runs.folder import CHECKPOINT, ERROR, MANIFEST, RunFolder, in_python, now, resume_command
from keraskit.signals import Stopped
from keraskit.training.settings import NEEDED
from keraskit.training.setup import TrainingSetup
from keraskit.training.user_callbacks import UserCallbacks

NEW = "A new run begins without resume; runs of one loop need names of their own, Recipe(name=...)."
Count = Annotated[int, pydantic.Field(ge=0, le=10**9)]


class Position(pydantic.BaseModel):
    """The state of a training apart from its variables."""

    model_config = pydantic.ConfigDict(frozen=True, ser_json_inf_nan="constants")

    epoch: Count = 0  # number of finished epochs
    step: Count = 0  # number of finished steps in the next
    seconds: float = 0.0  # that these took
    rows: list[dict[str, int | float]] = []  # the history, one row per epoch
    best_epoch: Count = 0  # counted from 1; 0 for none
    stopped: bool = False  # whether a callback ended the training
    callbacks: list[dict[str, Any]] = []  # the state of each of the user's callbacks


def write(
    path: Path, model: keras.Model, position: Position, more: Mapping[str, np.ndarray], with_metrics: bool = True
) -> None:
    """Write a checkpoint. Variables become arrays one by one, so there is no second copy of the weights in memory."""
    arrays = {"position": position.model_dump_json(), **variables(model, with_metrics), **more}
    np.savez(path, allow_pickle=False, **arrays)


def variables(model: keras.Model, with_metrics: bool = True) -> dict[str, Any]:
    """Return the variables that training changes, by name: model, random seeds, optimizers, metrics."""
    metrics = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in metrics]
    groups = {"model": own, "random": [keras_internals.SEEDS().state]}
    groups |= {name: each.variables for name, each in graph.optimizers(model).items()}
    groups |= {"metrics": model.metrics_variables} if with_metrics else {}  # some metrics go on over epochs
    return {f"{group}/{i}": variable for group, several in groups.items() for i, variable in enumerate(several)}


class Checkpoint:
    """A checkpoint file; without one, the first step. Raises UserError if it is damaged."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.position = path, Position()
        if path:
            with self._arrays(path) as arrays:
                self.position = at = Position.model_validate_json(str(arrays["position"]))
                names = {"epoch", "seconds"}.union(*at.rows[:1])
                epochs = [row.keys() >= names and row["epoch"] for row in at.rows]
                if epochs != [*range(1, at.epoch + 1)] or at.best_epoch > at.epoch:
                    raise ValueError("its history is not that of its epochs")

    def restore(self, model: keras.Model, callbacks: UserCallbacks) -> None:
        """Restore every variable of a complete model and the callbacks' state. Raises UserError if they do not fit."""
        if self.path is None:
            return
        with self._arrays(self.path) as arrays, model.distribute_strategy.scope():
            measured = any(name.startswith("metrics/") for name in arrays)
            for name, variable in variables(model, measured).items():
                if name not in arrays or (array := arrays[name]).shape != tuple(variable.shape):
                    problem = f"{self.path} does not fit the model: {name} differs."
                    raise UserError(problem, "Has the recipe changed? Start a new run.")
                if array.dtype.kind == "V":  # NumPy does not know bfloat16 by name
                    array = array.view(variable.numpy().dtype)
                variable.assign(array)
            callbacks.restore(self.position.callbacks, arrays)

    @contextmanager
    def _arrays(self, path: Path) -> Iterator[Mapping[str, np.ndarray]]:
        """Open the file. Any exception inside becomes a UserError: reading a damaged file may raise anything."""
        with explained(f"{path} is damaged", "Start a new run."):
            check_size(path, 2 * path.stat().st_size)  # it is not compressed
            with np.load(path, allow_pickle=False) as arrays:
                yield arrays


@contextmanager
def opened(
    setup: TrainingSetup, run: RunFolder | None, facts: dict[str, Any]
) -> Iterator[tuple[RunFolder | None, Checkpoint]]:
    """Open the folder of a new run, or of the `run` to resume; lock it and record the run's status in the manifest.

    `facts` are entries of the manifest. Yields the folder, or None for a worker that writes nothing; and the checkpoint
    to resume from. An error that an unchanged command can get over names the command that resumes the run.
    """
    start = Checkpoint(None)
    with suppress(FileNotFoundError):  # it stopped before its first checkpoint
        start = Checkpoint(run.file(CHECKPOINT)) if run else start
    if setup.devices.cluster.index:
        yield None, start
        return
    folder = run or RunFolder.create(setup.settings.output_dir, facts["recipe"])
    with folder.alone():
        before = folder.read_manifest(*NEEDED) if run else facts
        if run:
            facts = resumed(setup, folder, before, facts, start)
        command = resume_command(folder.path, before, setup.devices.cluster.workers)
        try:
            folder.write_json(MANIFEST, {"format": 1, **facts, "status": "running"})  # nothing of an earlier end
            old = [folder.path / name for name in (ERROR, "metrics.json", "predictions.npz")]  # of an earlier end
            old += [*folder.path.glob(f"{TEMPORARY}*"), *folder.path.glob("*pictures.npz")]  # a kill leaves the first
            for file in old:
                file.unlink(missing_ok=True)
            print(f"run folder     {printable(short(folder.path))}", flush=True)
            yield folder, start
            report.write_report(folder, status="finished")
            folder.update_manifest(status="finished")
        except BaseException as error:
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            with suppress(Exception):  # why the run ended says more; the disk may be full
                if isinstance(error, Exception) and not isinstance(error, UserError | OSError):
                    folder.write_text(ERROR, "".join(traceback.format_exception(error)))
                    error.add_note(f"{folder.path / ERROR} says where.")
                folder.update_manifest(status=status, ended=now(), error=f"{type(error).__name__}: {error}"[:500])
                report.write_report(folder)
            if isinstance(error, Stopped):
                raise Stopped(error.number, f"{str(error) or 'Interrupted.'} Go on with: {command}") from None
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                problem = f"{error.filename or 'A file'}: {error.strerror or error}."
                raise UserError(problem, f"When that is mended, go on with: {command}") from error
            raise


def resumed(
    setup: TrainingSetup, folder: RunFolder, before: dict[str, Any], today: dict[str, Any], start: Checkpoint
) -> dict[str, Any]:
    """Restore a run's checkpoint, print where it resumes, and return the new entries of its manifest.

    Raises UserError if its data have changed, if it has come to the end already, or if the checkpoint does not fit.
    """
    data, finished, position = before["data"], before.get("status") == "finished", start.position
    if any(data.get(n) != today["data"].get(n) for n in ("sha256", "used")) or before["classes"] != today["classes"]:
        raise UserError(f"The data is not what this run began with, {data['used']}.", f"Put it back. {NEW}")
    more = today["config"]["epochs"] != before["config"]["epochs"]  # a schedule adapts to it
    then, made = map(in_python, (before, today))
    names = [*["code"] * (then == made), *["built"] * (not more)]  # a file may hold what was made in Python
    edited = any(before["asked"].get(name) not in (None, today["asked"][name]) for name in names)
    if edited and made:
        raise UserError(f"This run of {today['recipe']} was of another model.", NEW)
    if finished and [row["seconds"] for row in position.rows] != [row["seconds"] for row in folder.read_history()]:
        raise UserError(f"There is no {CHECKPOINT} of this run, from which a finished one goes on.", "Start a new run.")
    if position.epoch + (position.step > 0) + finished > today["config"]["epochs"]:
        raise UserError(f"This run has come to epoch {position.epoch} already.", "Ask for more with --epochs.")
    if finished and position.stopped:
        raise UserError(f"A callback ended this run after epoch {position.epoch}, and would again.", "Start a new run.")
    start.restore(setup.training_copy, setup.callbacks)  # fails before the folder is changed
    if edited:
        print(f"NOTE           {today['recipe']}'s code was changed since this run began: it goes on with the new")
    if edited and position.best_epoch:  # the weights of the best epoch so far are the new model's, too
        with weights.uncompiled(setup.model), folder.atomic(MODEL, durable=True) as path:
            applications.load_file(setup.model, folder.file(MODEL))
            setup.model.save(path)
    print(f"resume         goes on at epoch {position.epoch + 1}, step {position.step + 1}", flush=True)
    at = {"at": now(), "epoch": position.epoch, "step": position.step} | ({"edited": True} if edited else {})
    kept = {name: before.get(name) for name in ("started", *(() if more else ("asked", "command")))}
    return today | kept | {"best_epoch": position.best_epoch or None, "resumed": [*(before.get("resumed") or []), at]}
