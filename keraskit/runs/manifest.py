"""Reads run.json, which may be damaged, of another version, or made by anybody: what is in it is of the right kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keraskit.errors import UserError
from keraskit.runs.folder import MANIFEST, RunFolder

MOST = 2**62  # of a number; a larger one is no count of anything
KINDS: dict[str, Any] = {  # what may be left out, or null; `str` as a key stands for any
    "recipe": str,
    "section": str,
    "summary": str,
    "command": str,
    "started": str,
    "status": str,
    "verdict": str,
    "warnings": [str],
    "advice": [str],
    "regression": [str],
    "seed": int,
    "weights_sha256": str,
    "parameters": int,
    "best_epoch": int,
    "balanced_accuracy": float,
    "seconds_per_epoch": float,
    "class_output": str,
    "class_activation": str,
    "classes": [str],
    "options": {},
    "source": str,
    "config": {"epochs": int, "augment": {}, "data_dir": str, "weights": str},
    "data": {"name": str, "path": str, "found": str, "sha256": str, "used": {str: int}, "notes": [str]},
    "inputs": {},
    "training_pictures": {str: float},
    "test": {str: float},
    "timings": {str: float},
    "choices": {str: {"reason": str}},
    "hardware": {"cpu": str, "cores": int, "gpus": [str], "system": str},
    "versions": {str: str},
    "asked": {"knobs": {}, "options": {}, "code": str, "callbacks": str},
}
WORDS = {str: "text", int: "a whole number", float: "a number"}


def read(folder: RunFolder, *needed: str) -> dict[str, Any]:
    """run.json of a folder.

    Args:
        folder: of a run.
        needed: what must be there, such as "recipe" or "data.name".

    Raises:
        UserError: it is missing or damaged; it says where.
    """
    run = folder.read_json(MANIFEST)
    if problem := wrong(run, KINDS) or missing(run, needed):
        raise UserError(f"{folder.path / MANIFEST} is not what a run writes: {problem}.", "Leave this folder out.")
    return run


def missing(values: dict[str, Any], needed: Iterable[str]) -> str:
    """The first name, such as "data.name", that is not there or null, in words; empty for none."""
    for name in needed:
        value: Any = values
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            return f"it lacks {name}"
    return ""


def wrong(value: Any, kind: Any, place: str = "") -> str:
    """The first thing that is of another kind than expected, in words; empty for none."""
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            return f"{place or 'it'} is {_shown(value)}, expected names with values"
        given = {name: each for name, each in value.items() if not (each is None and name in kind)}
        pairs = [(name, each, kind.get(name, kind.get(str))) for name, each in given.items()]
        found = (
            wrong(each, wanted, f"{place}.{name}".strip(".")) for name, each, wanted in pairs if wanted is not None
        )
        return next(filter(None, found), "")
    if isinstance(kind, list):
        if not isinstance(value, list):
            return f"{place} is {_shown(value)}, expected a list"
        return next(filter(None, (wrong(each, kind[0], place) for each in value)), "")
    fits = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
    if fits and not (isinstance(value, int) and abs(value) > MOST):
        return ""
    return f"{place} is {_shown(value)}, expected {WORDS[kind]}"


def _shown(value: Any) -> str:
    return f"{value!r:.40}" if isinstance(value, str | float | bool) or value is None else f"a {type(value).__name__}"
