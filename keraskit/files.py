"""Writes files whole or not at all, and sees beforehand whether a place can be written."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keraskit.errors import UserError
from keraskit.system import expanded

MODEL = "model.keras"  # of a run
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")  # endings of those that can be drawn


@contextmanager
def atomic(target: Path, durable: bool = False) -> Iterator[Path]:
    """A path beside `target` to write to, with the same ending; renamed to it if the block succeeds.

    Args:
        target: the file; its folder is made where it is missing.
        durable: wait until it is on the disk, so that it outlives a power failure too.
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


def write_text(target: Path, text: str, durable: bool = False) -> None:
    """Write a text file. Names of files need not be text: JSON reads such an escape back."""
    with atomic(target, durable) as path:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")


def check_folder(folder: Path, flag: str = "--output-dir") -> None:
    """Raise UserError now if nothing could be written in a folder that may not be there yet; `flag` names another."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise UserError(f"{place} is a file, so no folder fits below it.", f"Name a folder with {flag}.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"{place} cannot be written.", f"Name a folder you may write with {flag}.")


def check_file(file: Path | None, endings: Collection[str] = ()) -> None:
    """Raise UserError now if a file that a user wants could not be written, or would harm by it.

    Args:
        file: to be made, or replaced where it is a regular file already; never a device, a pipe, a folder.
        endings: that its name may have, such as `PICTURES`.
    """
    if file is None:
        return
    check_folder(file.absolute().parent, "its path")
    if file.exists() and not file.is_file():
        raise UserError(f"{file} is there already, and is no file that could be replaced.", "Name another.")
    if endings and file.suffix.lower() not in endings:
        raise UserError(f"{file} does not end in one of {', '.join(endings)}.", "Rename it.")


def check_outputs(json: Path | None, csv: Path | None, sheet: Path | None, show: str | None, evaluate: bool) -> None:
    """Raise UserError before the work if predictions cannot be written to these files, or not be shown as asked."""
    if show and not sheet:
        raise UserError(f"--show {show} says what is on a sheet, and there is none.", "Name its file with --sheet.")
    if show == "mistakes" and not evaluate:
        raise UserError("--show mistakes needs pictures whose class is known.", "Name their folder with --evaluate.")
    check_file(json)
    check_file(csv)
    check_file(sheet, PICTURES)


def weights_file(weights: str) -> Path:
    """The file that `--weights` names, by itself or as a run's folder. Raises UserError where it can be none."""
    path = expanded(weights)
    advice = "It takes a file, a run's folder, or imagenet where a recipe knows Keras's published ones."
    if path.is_dir():
        if not (path / MODEL).is_file():
            raise UserError(f"--weights {weights}: the folder holds no {MODEL}.", advice)
        path = path / MODEL
    if not path.is_file():
        raise UserError(f"--weights {weights}: there is no such file.", advice)
    with path.open("rb") as file:
        start = file.read(8)
    if not start.startswith((b"PK\x03\x04", b"\x89HDF\r\n\x1a\n")):
        raise UserError(f"--weights {weights}: neither a .keras nor an HDF5 file, or half of one.", advice)
    return path


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
