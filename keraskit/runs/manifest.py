"""Read and validate run.json, the record of a run. docs/run-folder.md documents its keys."""

import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from keraskit.errors import UserError
from keraskit.files import MODEL
from keraskit.runs.folder import MANIFEST, RunFolder

Count = Annotated[int, Field(ge=0, le=2**62)]
Numbers = dict[str, float | None]


def _keys(*types: tuple[Any, str]) -> type[BaseModel]:
    """Create a model of optional, nullable keys from (type, names) pairs; other keys are kept unchanged."""
    keys: dict[str, Any] = {name: (annotation | None, None) for annotation, names in types for name in names.split()}
    return create_model("Keys", __config__=ConfigDict(extra="allow", strict=True, defer_build=True), **keys)


Manifest = _keys(
    (str, "recipe source section summary command monitor class_output class_activation weights_sha256"),
    (str, "started ended status error verdict"),
    (Count, "format seed parameters best_epoch"),
    (float, "seconds_per_epoch balanced_accuracy"),
    (Numbers, "training_pictures training_means timings test"),
    (list[str], "classes warnings advice regression"),
    (dict[str, str], "versions"),
    (dict[str, Any], "options optimizer inputs"),
    (list[dict[str, Any]], "resumed"),
    (dict[str, dict[str, Any]], "choices"),
    (_keys((Count, "epochs"), (dict[str, Any], "augment"), (str, "weights")), "config"),
    (_keys((dict[str, Any], "knobs options"), (str, "code")), "asked"),
    (_keys((str, "name path sha256"), (dict[str, Count], "used"), (list[str], "notes")), "data"),
    (_keys((str, "cpu"), (list[str], "gpus")), "hardware"),
)


def read(folder: RunFolder, *needed: str) -> dict[str, Any]:
    """Read and validate run.json, which may come from anyone.

    `needed` keys, such as "recipe" or "data.name", must have values. Raises UserError if it is missing or damaged.
    """
    run, problem = folder.read_json(MANIFEST), ""
    try:
        Manifest.model_validate(run)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    for name in needed if not problem else ():
        value: Any = run
        for key in name.split("."):
            value = (value or {}).get(key)
        problem = problem or (f"it lacks {name}" if value is None else "")
    if problem:
        raise UserError(f"{folder.path / MANIFEST} is not what a run writes: {problem}.", "Leave this folder out.")
    return dict(run)


def reason(run: dict[str, Any]) -> str:
    """Say why a run did not finish; '' if it did."""
    kind, _, said = (run.get("error") or "").partition(": ")
    if kind not in ("UserError", "RunStopped", "Stopped"):
        said = run.get("error") or "It was killed, or still runs."
    return "" if run.get("status") == "finished" else said


def runs(path: Path) -> Iterator[tuple[RunFolder, dict[str, Any]]]:
    """Yield the runs in a folder and its subfolders with their manifests, newest first; skip damaged ones."""
    found = [file.parent for below in ("*", "*/*") for file in path.glob(f"{below}/{MANIFEST}")]
    for folder in sorted(found, key=lambda run: run.name, reverse=True):
        with suppress(UserError):
            yield RunFolder(folder.resolve()), read(RunFolder(folder))


def check_folder(path: Path) -> None:
    """Raise UserError if `path` is no folder, or if it is a model's without its run."""
    file = path if path.is_file() else path / MODEL
    if path == file and (path.parent / MANIFEST).exists():
        raise UserError(f"{path} is a file of a run.", f"Name the run's folder, {path.parent}")
    if file.suffix.lower() in (".keras", ".h5", ".hdf5") and file.is_file() and not (path / MANIFEST).exists():
        problem = f"{file} is a model without its run, which knows the pictures' scale and the classes."
        advice = f"`keraskit run RECIPE --weights {shlex.quote(str(file))}` trains on from its weights, in a run;"
        raise UserError(problem, f"{advice} Keras alone opens a whole one by keras.saving.load_model.")
    if not path.is_dir():
        raise UserError(f"There is no run folder {path}.", "They lie in runs/<recipe>/.")


def newest(path: Path, unfinished: bool = False) -> RunFolder:
    """Return `path` if it is a run folder, else that of the newest finished run in it or its subfolders.

    Raises UserError if there is none, or if the run in `path` itself has not finished, unless `unfinished`.
    """
    check_folder(path)
    if (path / MANIFEST).exists():
        status = read(RunFolder(path)).get("status")
        if status != "finished" and not unfinished:
            raise UserError(f"{path} has not finished: it is {status}.", "`keraskit resume` goes on with it.")
        return RunFolder(path)
    folder = next((folder for folder, facts in runs(path) if facts.get("status") == "finished"), None)
    if folder is None:
        raise UserError(f"{path} has no {MANIFEST}, nor any finished run in it.", "They lie in runs/<recipe>/.")
    return folder
