"""run.json, what a run records of itself. The classes are its format; docs/run-folder.md says what each key means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keraskit.errors import UserError
from keraskit.runs.folder import MANIFEST, RunFolder

Text = str | None
Count = Annotated[int, Field(ge=-(2**62), le=2**62)]
Numbers = dict[str, float | None] | None
Words = list[str] | None


class Keys(BaseModel):
    """Keys that may be left out or null, and others that are kept as they are."""

    model_config = ConfigDict(extra="allow", strict=True)


class Data(Keys):
    """The data set."""

    name: Text = None
    path: Text = None
    sha256: Text = None
    used: dict[str, Count] | None = None
    notes: Words = None


class Hardware(Keys):
    """The machine."""

    cpu: Text = None
    gpus: Words = None


class Config(Keys):
    """Settings, with nothing left open; RunConfig's fields say more."""

    epochs: Count | None = None
    augment: dict[str, Any] | None = None
    weights: Text = None


class Asked(Keys):
    """Flags as they were given, and the recipe's code."""

    knobs: dict[str, Any] | None = None
    options: dict[str, Any] | None = None
    code: Text = None
    callbacks: Text = None


class Manifest(Keys):
    """run.json."""

    format: Count | None = None
    recipe: Text = None
    source: Text = None
    section: Text = None
    summary: Text = None
    command: Text = None
    seed: Count | None = None
    config: Config | None = None
    options: dict[str, Any] | None = None
    asked: Asked | None = None
    optimizer: dict[str, Any] | None = None
    monitor: Text = None
    parameters: Count | None = None
    classes: Words = None
    class_output: Text = None
    class_activation: Text = None
    data: Data | None = None
    inputs: dict[str, Any] | None = None
    training_pictures: Numbers = None
    choices: dict[str, dict[str, Any]] | None = None
    hardware: Hardware | None = None
    versions: dict[str, str] | None = None
    git: dict[str, Any] | None = None
    started: Text = None
    ended: Text = None
    status: Text = None
    error: Text = None
    timings: Numbers = None
    seconds_per_epoch: float | None = None
    best_epoch: Count | None = None
    test: Numbers = None
    balanced_accuracy: float | None = None
    verdict: Text = None
    warnings: Words = None
    advice: Words = None
    regression: Words = None
    weights_sha256: Text = None


def read(folder: RunFolder, *needed: str) -> dict[str, Any]:
    """Read run.json, which anybody may have made.

    Args:
        folder: of a run.
        needed: keys that must have a value, such as "recipe" or "data.name".

    Raises:
        UserError: it is missing or damaged; it says where.
    """
    run, problem = folder.read_json(MANIFEST), ""
    try:
        Manifest.model_validate(run)
        for name in needed:
            if reduce(lambda values, key: (values or {}).get(key), name.split("."), run) is None:
                problem = f"it lacks {name}"
                break
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if problem:
        raise UserError(f"{folder.path / MANIFEST} is not what a run writes: {problem}.", "Leave this folder out.")
    return run


def runs(path: Path) -> Iterator[tuple[RunFolder, dict[str, Any]]]:
    """Runs in a folder, or in folders in it, the newest first, each with its manifest; damaged ones are left out."""
    found = [file.parent for below in ("*", "*/*") for file in path.glob(f"{below}/{MANIFEST}")]
    for folder in sorted(found, key=lambda run: run.name, reverse=True):
        with suppress(UserError):
            yield RunFolder(folder.resolve()), read(RunFolder(folder))


def newest(path: Path, unfinished: bool = False) -> RunFolder:
    """This run's folder, or the newest finished run's in a folder of runs, or of folders of them.

    Args:
        path: the folder.
        unfinished: a run's own folder will do though it has not finished.

    Raises:
        UserError: there is no such run.
    """
    if not path.is_dir():
        raise UserError(f"There is no run folder {path}.", "They lie in runs/<recipe>/.")
    if (path / MANIFEST).exists():
        status = read(RunFolder(path)).get("status")
        if status != "finished" and not unfinished:
            raise UserError(f"{path} has not finished: it is {status}.", "`keraskit resume` goes on with it.")
        return RunFolder(path)
    folder = next((folder for folder, facts in runs(path) if facts.get("status") == "finished"), None)
    if folder is None:
        raise UserError(f"{path} has no {MANIFEST}, nor any finished run in it.", "They lie in runs/<recipe>/.")
    return folder
