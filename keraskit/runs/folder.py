"""A run folder: each file is whole or absent, and run.json, the manifest, records what happened.

docs/run-folder.md documents the files, and the manifest's keys.
"""

import csv
import io
import json
import secrets
import shlex
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from keraskit import files
from keraskit.errors import RunStopped, UserError, flags, recorded, short
from keraskit.registry import recipes_available

MANIFEST, HISTORY, REPORT = "run.json", "history.csv", "report.html"
ERROR = "error.txt"  # traceback of an unexpected error
CHECKPOINT = "checkpoint.npz"  # training state; kept after the end, so that more epochs can follow
TRAINED_ON = "trained_on.npy"  # 64 bits of the SHA-256 of each training picture's file
MOST_CELLS, MOST_JSON = 500_000, 10_000_000  # of a history; bytes of run.json and the like: more take half a minute
STATISTICS = "statistics.npz"  # of the training pictures, if an augmentation standardises with them
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
    (Annotated[list[str], Field(max_length=1_000)], "classes"),  # splitting.MOST_CLASSES
    (list[str], "warnings advice regression"),
    (dict[str, str], "versions"),
    (dict[str, Any], "options optimizer inputs"),
    (list[dict[str, Any]], "resumed"),
    (dict[str, dict[str, Any]], "choices"),
    (_keys((Count, "epochs"), (dict[str, Any], "augment"), (str, "weights")), "config"),
    (_keys((dict[str, Any], "knobs options"), (str, "code built")), "asked"),
    (_keys((str, "name path sha256"), (dict[str, Count], "used"), (list[str], "notes")), "data"),
    (_keys((str, "cpu"), (list[str], "gpus")), "hardware"),
)


class RunFolder:
    """Read and write an existing folder `<output_dir>/<recipe>/<UTC time>-<short id>/`."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, output_dir: Path | str, recipe: str) -> Self:
        """Create a new folder."""
        path = Path(output_dir) / recipe / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        path.mkdir(parents=True)
        return cls(path.resolve())

    def atomic(self, name: str, durable: bool = False) -> AbstractContextManager[Path]:
        """Yield a temporary path; rename it to `name` if the block succeeds (`files.atomic`)."""
        return files.atomic(self.target(name), durable)

    def target(self, name: str) -> Path:
        """Return the path of a file to write. Raises RunStopped if the folder was moved or removed."""
        if not self.path.is_dir():
            problem = f"{self.path} was moved or removed while the run wrote into it."
            raise RunStopped(problem, "If it was moved, `keraskit resume` goes on with it where it is now.")
        return self.path / name

    def folder(self, name: str) -> Path:
        """Return the path of a folder inside to write into. Raises UserError if links lead out of the run's."""
        for each in (path := self.target(name), *path.glob("*")):
            if not each.resolve().is_relative_to(self.path.resolve()):
                raise UserError(f"{each} is refused: it leads out of the run's folder.", "Remove this link.")
        return path

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the folder inside the block. Raises UserError if another process holds the lock."""
        with files.locked(self.path) as free:
            if not free:
                raise UserError(f"Another process is still running in {self.path}.", "Wait for its end, or stop it.")
            yield

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        files.write_text(self.target(name), text, durable=name == MANIFEST)

    def write_json(self, name: str, data: Any) -> None:
        """Write an indented JSON file; other types become strings."""
        self.write_text(name, json.dumps(data, indent=2, ensure_ascii=False, default=recorded) + "\n")

    def file(self, name: str, most: int = files.MOST_OF_ARRAYS) -> Path:
        """Check and return the path of a file to read; every reader calls this.

        Raises FileNotFoundError, or UserError for a link out of the folder, a pipe, or a file above `most` bytes.
        """
        return files.regular(self.path / name, self.path, most)

    def read_bytes(self, name: str) -> bytes:
        """Read a text or picture file; empty if it is missing. Raises UserError like `file`."""
        with suppress(FileNotFoundError):
            return self.file(name, files.MOST_BYTES).read_bytes()
        return b""

    def read_json(self, name: str) -> Any:
        """Read a JSON file. Raises UserError if it is missing or damaged."""
        try:
            return json.loads(self.file(name, MOST_JSON).read_bytes())
        except FileNotFoundError:
            advice = "Run folders lie in runs/<recipe>/." if name == MANIFEST else "The run has not finished."
            raise UserError(f"There is no {self.target(name)}.", advice) from None
        except (ValueError, RecursionError, OSError) as error:
            raise UserError(f"{self.path / name} cannot be read: {error}.") from error

    def read_manifest(self, *needed: str) -> dict[str, Any]:
        """Read and validate run.json; `needed` keys, such as "data.name", must have values. Raises UserError if not."""
        run, problem = self.read_json(MANIFEST), ""
        try:
            Manifest.model_validate(run)
            for name in needed:
                value = reduce(lambda facts, key: (facts or {}).get(key), name.split("."), run)
                problem = problem or (f"it lacks {name}" if value is None else "")
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        if problem:
            raise UserError(f"{self.path / MANIFEST} is not what a run writes: {problem}.", "Leave this folder out.")
        return dict(run)

    def update_manifest(self, **facts: Any) -> None:
        """Add or replace keys of run.json."""
        manifest = self.read_json(MANIFEST) if (self.path / MANIFEST).exists() else {"format": 1}
        self.write_json(MANIFEST, {**manifest, **facts})

    def write_history(self, rows: list[dict[str, float]]) -> None:
        """Write history.csv: one row per epoch, columns as in the first row."""
        text, names = io.StringIO(), list(rows[0]) if rows else ["epoch"]
        csv.writer(text, lineterminator="\n").writerows([names, *([row[name] for name in names] for row in rows)])
        self.write_text(HISTORY, text.getvalue())

    def read_history(self) -> list[dict[str, float]]:
        """Read history.csv; empty if no epoch has ended. Raises UserError if it is damaged."""
        try:
            text = self.read_bytes(HISTORY).decode("utf-8-sig")
            if (cells := text.count(",") + text.count("\n")) > MOST_CELLS:
                raise ValueError(f"it has {cells:,} cells; {MOST_CELLS:,} are allowed")
            table = csv.DictReader(io.StringIO(text, newline=""))
            rows = [{name: float(value) for name, value in row.items()} for row in table]
            if rows and not ({"epoch", "seconds"} <= {*rows[0]} and any(name.startswith("val_") for name in rows[0])):
                raise ValueError("it has no epoch, no seconds or no validation")
            return rows
        except (ValueError, TypeError, csv.Error) as error:
            raise UserError(f"{self.path / HISTORY} is damaged: {error}.") from error


def now(ago: float = 0.0) -> str:
    """Return the UTC time `ago` seconds ago, in ISO 8601."""
    return (datetime.now(UTC) - timedelta(seconds=ago - 0.5)).isoformat(timespec="seconds")


def resume_command(path: Path, facts: dict[str, Any], workers: Sequence[str] = ()) -> str:
    """Return the command that resumes the run in a folder."""
    if workers:
        return f"{facts.get('command')} --resume, on every worker"
    if in_python(facts):
        return "the same keraskit.run(...) with resume=True"
    asked = facts.get("asked") or {}
    if (asked.get("knobs") or {}).get("callbacks"):
        given = (asked.get("knobs") or {}) | {"output_dir": short(path.parent.parent)} | (asked.get("options") or {})
        return f"keraskit run {shlex.quote(facts.get('source') or facts['recipe'])} {flags(given)} --resume"
    named = f" --recipe {shlex.quote(facts['source'])}" if facts.get("source") else ""
    return f"keraskit resume {shlex.quote(short(path))}{named}"


def in_python(run: dict[str, Any]) -> bool:
    """Whether a run's recipe was made in Python: it has no file, and is known by what it builds."""
    asked = run.get("asked") or {}
    known = run.get("recipe") in recipes_available() and not asked.get("code") == asked.get("built") is not None
    return run.get("source") is None and not known


def reason(run: dict[str, Any]) -> str:
    """Say why a run did not finish; '' if it did."""
    kind, _, said = (run.get("error") or "").partition(": ")
    if kind not in ("UserError", "RunStopped", "Stopped"):
        said = run.get("error") or "It was killed, or still runs."
    return "" if run.get("status") == "finished" else said


def runs_in(path: Path) -> Iterator[tuple[RunFolder, dict[str, Any]]]:
    """Yield the runs in and below a folder with their manifests, newest first; skip damaged ones."""
    found = [file.parent for file in path.glob(f"**/{MANIFEST}")]
    for folder in sorted(found, key=lambda run: run.name, reverse=True):
        with suppress(UserError):
            yield RunFolder(folder.resolve()), RunFolder(folder).read_manifest()


def check_folder(path: Path) -> None:
    """Raise UserError if `path` is no folder."""
    if not path.is_dir():
        raise UserError(f"There is no run folder {path}.", "They lie in runs/<recipe>/.")


def newest(path: Path, unfinished: bool = False) -> RunFolder:
    """Return `path` if it is a run folder, else that of the newest finished run below it.

    Raises UserError if there is none, or if the run in `path` itself has not finished, unless `unfinished`.
    """
    check_folder(path)
    if (path / MANIFEST).exists():
        status = RunFolder(path).read_manifest("recipe").get("status")
        if status != "finished" and not unfinished:
            raise UserError(f"{path} has not finished: it is {status}.", "`keraskit resume` goes on with it.")
        return RunFolder(path)
    folder = next((folder for folder, facts in runs_in(path) if facts.get("status") == "finished"), None)
    if folder is None:
        raise UserError(f"{path} has no {MANIFEST}, nor any finished run in it.", "They lie in runs/<recipe>/.")
    return folder
