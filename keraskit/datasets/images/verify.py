"""Reads every picture once before training, so that none is found damaged at step 900; remembers what it has seen."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from keraskit import system
from keraskit.datasets.images import decode
from keraskit.datasets.images.sources import PictureFiles
from keraskit.errors import UserError
from keraskit.files import write_text

MOST_BAD = 0.05  # of all pictures; with more, something else is wrong
CHUNK = 256  # pictures between two looks at the clock and at Ctrl-C
SHOWN = 5


def check(files: PictureFiles, names: Sequence[str]) -> tuple[dict[str, str], str]:
    """Decode each picture that is new or has changed.

    Args:
        files: the pictures.
        names: those to look at.

    Returns:
        What is wrong, by name, with the pictures that cannot be used; and the sha256 of all names and contents.

    Raises:
        UserError: more than 5 % cannot be used.
    """
    memory = _memory(files.root)
    known: dict[str, list[str]] = _remembered(memory)
    stamps = {name: _stamp(files, name) for name in names}
    todo = [name for name in names if known.get(name, [""])[0] != stamps[name]]
    for name, digest, problem in _examined(files, todo):
        known[name] = [stamps[name], digest, problem]
    if todo:
        _remember(memory, known)

    total = hashlib.sha256()
    for name in sorted(names):
        total.update(f"{name}\0{known[name][1]}\n".encode("utf-8", "surrogateescape"))
    bad = {name: known[name][2] for name in names if known[name][2]}
    if len(bad) > MOST_BAD * len(names):
        share = f"{len(bad):,} of {len(names):,} pictures in {files.root} cannot be used"
        raise UserError(f"{share}: {listed(bad)}.", f"Up to {MOST_BAD:.0%} are left out; repair or remove these.")
    return bad, total.hexdigest()


def listed(bad: dict[str, str]) -> str:
    """The first of them in words."""
    more = f"; and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else ""
    return "; ".join(f"{name} {problem}" for name, problem in list(bad.items())[:SHOWN]) + more


def _examined(files: PictureFiles, names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Name, sha256 and problem of each, several at a time."""
    from rich.console import Console
    from rich.progress import track

    def examine(name: str) -> tuple[str, str, str]:
        try:
            data = files.read(name)
        except OSError as error:
            return name, "", f"cannot be read: {error.strerror or error}"
        digest = hashlib.sha256(data).hexdigest()
        try:
            decode.read(data)
        except decode.BadPicture as error:
            return name, digest, str(error)
        return name, digest, ""

    found: list[tuple[str, str, str]] = []
    starts = range(0, len(names), CHUNK)
    quiet = not sys.stderr.isatty() or not names
    if quiet and len(names) > 10_000:
        print(f"checking {len(names):,} pictures, once ...", flush=True)
    with ThreadPoolExecutor(system.cores()) as pool:
        shown = track(starts, "checking pictures", console=Console(stderr=True), transient=True, disable=quiet)
        for start in shown:
            found += pool.map(examine, names[start : start + CHUNK])
    return found


def _stamp(files: PictureFiles, name: str) -> str:
    try:
        return files.stamp(name)
    except (OSError, ValueError):  # gone since it was listed, or no name at all; reading it will say so
        return "gone"


def _memory(root: Path) -> Path | None:
    """The file of what is known about this place; None without a home."""
    cache = system.cache_folder()
    return cache and cache / f"pictures-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}.json"


def _remembered(memory: Path | None) -> dict[str, list[str]]:
    try:
        found = json.loads(memory.read_text("utf-8")) if memory else {}
        return {str(name): [str(v) for v in values] for name, values in found.items() if len(values) == 3}
    except (OSError, ValueError, AttributeError, TypeError):  # not there, or damaged: look again
        return {}


def _remember(memory: Path | None, known: dict[str, list[str]]) -> None:
    if memory is None:
        return
    try:
        write_text(memory, json.dumps(known))
    except OSError:  # the next run looks again
        return
