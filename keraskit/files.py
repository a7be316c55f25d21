"""Writes files whole or not at all; sees beforehand whether a place can be written, and what may be read."""

import csv
import hashlib
import io
import json
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from keraskit.errors import UserError, printable
from keraskit.system import cache_folder, expanded

MODEL = "model.keras"  # of a run
LISTED = "files.json"  # in a folder that may be replaced by us: what we wrote into it
MOST_BYTES = 100_000_000  # of a text or a picture in a run's folder; its own have less than one
MOST_OF_ARRAYS = 100_000_000_000  # of a file that holds arrays
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # what a spreadsheet may calculate
OURS = (b"atplotlib", b'content="keraskit"')  # in pictures that were drawn here, and in pages
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")  # endings of those that can be drawn


@contextmanager
def atomic(target: Path, durable: bool = False) -> Iterator[Path]:
    """A path beside `target` to write to, with the same ending; renamed to it if the block succeeds.

    The folder is made where it is missing. What is `durable` is on the disk then: it outlives a power failure too.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.stem}.{secrets.token_hex(3)}{target.suffix}")
    try:
        yield beside
        if durable:
            _sync(beside)
        beside.replace(target)
        if durable:
            with suppress(OSError):  # not every file system can
                _sync(target.parent)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def check_replaceable(folder: Path) -> None:
    """Raise UserError where a folder is there already, unless all in it is as `replaced_folder` left it."""
    if not os.path.lexists(folder):
        return
    try:
        kept = json.loads(regular(folder / LISTED, folder).read_text("utf-8"))
        whole = not folder.is_symlink() and kept == _listed(folder)
    except (OSError, ValueError, UserError):  # no list, or none of ours
        whole = False
    if not whole:
        problem = f"{folder} is there already, and not as an export left it: something was added, changed or removed."
        raise UserError(problem, "Name another folder with --output-dir, or move this one away.")


def _listed(folder: Path) -> dict[str, str]:
    """All that lies below a folder but `LISTED`, by its path: of a file the sha256."""
    found = {}
    for path in sorted(folder.rglob("*")):
        what = "link" if path.is_symlink() else "folder" if path.is_dir() else "neither"
        if what == "neither" and path.is_file():
            with path.open("rb") as file:
                what = hashlib.file_digest(file, "sha256").hexdigest()
        found[path.relative_to(folder).as_posix()] = what
    found.pop(LISTED, None)
    return found


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` to fill; it takes its place if the block succeeds, and is removed otherwise.

    `LISTED` in it has the sha256 of all its files. A folder that is there already is replaced only where all is as its
    own list says; raises UserError otherwise, and leaves it as it is.
    """
    check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside, before = (target.with_name(f".{target.name}.{secrets.token_hex(3)}") for _ in range(2))
    beside.mkdir()
    try:
        yield beside
        write_text(beside / LISTED, json.dumps(_listed(beside), indent=2) + "\n")
        check_replaceable(target)  # once more: filling takes its time
        if target.exists():
            target.rename(before)
        beside.rename(target)
        shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_text(target: Path, text: str, durable: bool = False) -> None:
    """Write a text file. Names of files need not be text: JSON reads such an escape back."""
    with atomic(target, durable) as path:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")


def remembered(name: str) -> dict[str, Any]:
    """What was remembered between runs under a name; empty where nothing was, or what is there is damaged."""
    place = cache_folder()
    try:
        found = json.loads((place / name).read_text("utf-8")) if place else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(name: str, entries: dict[str, Any]) -> Path | None:
    """Keep this for later runs, in the file that is returned; None where there is no place for it."""
    place = cache_folder()
    try:
        if place:
            write_text(place / name, json.dumps(entries))
    except OSError:
        return None
    return place and place / name


def as_csv(rows: Sequence[Sequence[Any]]) -> str:
    """Lines of cells. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([map(_harmless, row) for row in rows])
    return text.getvalue()


def _harmless(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    cell = printable(value)
    return f"'{cell}" if cell.lstrip().startswith(FORMULA) else cell


def existing(place: Path) -> Path:
    """The place, or the nearest folder above it that is there."""
    place = place.absolute()
    return place if place.exists() else existing(place.parent)


def check_folder(folder: Path | str, flag: str = "--output-dir") -> None:
    """Raise UserError now if nothing could be written in a folder that may not be there yet; `flag` names another."""
    place = existing(Path(folder))
    if not place.is_dir():
        raise UserError(f"{place} is a file, so no folder fits below it.", f"Name a folder with {flag}.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"{place} cannot be written.", f"Name a folder you may write with {flag}.")


def check_file(file: Path | None, endings: Collection[str] = ()) -> None:
    """Raise UserError now if a file that a user wants could not be written, or would harm by it.

    It is to be made, or replaced where it is a regular file already: never a device, a pipe, a folder. Where there are
    `endings`, such as `PICTURES`, its name must have one of them, and a file that is there must be of our making:
    `--sheet *.png` names somebody's first picture.
    """
    if file is None:
        return
    check_folder(file.absolute().parent, "its path")
    if file.exists() and not file.is_file():
        raise UserError(f"{file} is there already, and is no file that could be replaced.", "Name another.")
    if endings and file.suffix.lower() not in endings:
        raise UserError(f"{file} does not end in one of {', '.join(endings)}.", "Rename it.")
    if endings and file.exists() and not any(mark in file.read_bytes() for mark in OURS):
        raise UserError(f"{file} is there already, and was not made by keraskit.", "Name another, or move it away.")


def check_outputs(
    json: Path | None,
    csv: Path | None,
    sheet: Path | None,
    show: str | None,
    evaluate: bool,
    explained: Path | None = None,
) -> None:
    """Raise UserError before the work if predictions cannot be written to these files, or not be shown as asked."""
    if show and not sheet:
        raise UserError(f"--show {show} says what is on a sheet, and there is none.", "Name its file with --sheet.")
    if show == "mistakes" and not evaluate:
        raise UserError("--show mistakes needs pictures whose class is known.", "Name their folder with --evaluate.")
    check_file(json)
    check_file(csv)
    check_file(sheet, PICTURES)
    check_file(explained, PICTURES)


def regular(path: Path, within: Path | None = None, most: int = MOST_BYTES) -> Path:
    """The path, if a regular file of at most so many bytes lies there, and within a folder if one is named.

    Raises:
        FileNotFoundError: there is nothing.
        UserError: a pipe, a device, a folder, a link that leaves the folder, or what cannot be looked at.
    """
    try:
        real = path.resolve()
        found = real.stat()
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if not stat.S_ISREG(found.st_mode) or (within and not real.is_relative_to(within.resolve())):
        place = "of this folder" if within else "that could be read"
        raise UserError(f"{path} is refused: it is no file {place}.", "No run writes such a thing." if within else "")
    if found.st_size > most:
        raise UserError(f"{path} is refused: it has {found.st_size:,} bytes; {most:,} are allowed.")
    return path


def weights_file(weights: str) -> Path:
    """The file that `--weights` names, by itself or as a run's folder. Raises UserError where it can be none."""
    path = expanded(weights)
    folder = path if path.is_dir() else None
    try:
        path = regular(folder / MODEL if folder else path, folder, MOST_OF_ARRAYS)
        with path.open("rb") as file:
            start = file.read(8)
    except FileNotFoundError as error:
        missing = f"the folder holds no {MODEL}" if folder else "there is no such file"
        advice = "It takes a file, a run's folder, or imagenet where a recipe knows Keras's published ones."
        raise UserError(f"--weights {weights}: {missing}.", advice) from error
    if not start.startswith((b"PK\x03\x04", b"\x89HDF\r\n\x1a\n")):
        raise UserError(f"--weights {weights}: neither a .keras nor an HDF5 file, or half of one.")
    return path


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
