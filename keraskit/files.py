"""Write files atomically and never over foreign ones; check files before they are read."""

import csv
import fcntl
import io
import os
import secrets
import shutil
import stat
import tempfile
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from keraskit.errors import UserError, printable
from keraskit.system import expanded

MODEL = "model.keras"  # of a run
TEMPORARY = ".keraskit-"  # beginning of the names of files and folders that are being written
MOST_BYTES = 100_000_000  # maximum of a text or picture in a run's folder; runs write far smaller ones
MOST_UNPACKED = 500_000_000  # maximum of arrays that a run writes for its report, unpacked
MOST_OF_ARRAYS = 100_000_000_000  # maximum of a file of arrays
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # beginnings that a spreadsheet reads as a formula
OURS = (b"atplotlib", b'content="keraskit"')  # marks of pictures and pages that keraskit wrote
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")  # suffixes that can be drawn
PAGES = (".html", ".htm")


@contextmanager
def atomic(target: Path, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `target`, same suffix; rename it to `target` if the block succeeds, else remove it.

    Missing folders are created. A `durable` file is synced to disk first, so that it survives a power failure. An
    OSError that names no file, as of a full disk, or the temporary one, names `target`.
    """
    beside = target.with_name(f"{TEMPORARY}{secrets.token_hex(3)}{target.suffix[-9:]}")  # of at most 255 bytes
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        if durable:
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
        beside.replace(target)
    except OSError as error:
        error.filename = str(target) if error.filename in (None, str(beside)) else error.filename
        raise
    finally:
        with suppress(OSError):
            beside.unlink()


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder; rename it to `target` if the block succeeds. Raises UserError if `target` exists.

    Temporary folders that a killed process left beside it are removed.
    """
    check_new(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f"{TEMPORARY}{'[a-z0-9_]' * 8}/"):  # as tempfile names them
        with locked(left) as free:
            shutil.rmtree(left, ignore_errors=True) if free else None
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=target.parent) as place, locked(Path(place)):
        (folder := Path(place, target.name)).mkdir()
        yield folder
        folder.rename(target)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Lock a folder inside the block; yield whether no other process has locked it."""
    lock, free = os.open(folder, os.O_RDONLY), True  # the folder itself: a killed process leaves no lock behind
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # others are of a file system without locks
        free = not isinstance(error, BlockingIOError)
    try:
        yield free
    finally:
        os.close(lock)


def check_new(path: Path) -> None:
    """Raise UserError if the path exists."""
    if os.path.lexists(path):
        raise UserError(f"{path} is there already.", "Name another, or move it away.")


def write_text(target: Path, text: str, durable: bool = False) -> None:
    """Write a UTF-8 text file; file names that are not text are escaped in a way that JSON reads back."""
    with atomic(target, durable) as path:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")


def as_csv(rows: Sequence[Sequence[Any]]) -> str:
    """Format rows as CSV. Text that a spreadsheet would read as a formula gets a leading apostrophe."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([map(_harmless, row) for row in rows])
    return text.getvalue()


def _harmless(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    cell = "".join(printable(c) if unicodedata.category(c) in ("Cc", "Cs") else c for c in str(value))
    return f"'{cell}" if cell.lstrip().startswith(FORMULA) else cell


def check_file(file: Path | None, endings: Collection[str] = ()) -> None:
    """Raise UserError if an output file is a foreign file, a device, a pipe or a folder.

    With `endings`, such as `PICTURES`, its name must have one of them, and an existing file must be keraskit's:
    `--sheet *.png` would name the user's first picture.
    """
    if file is None:
        return
    if file.exists() and not file.is_file():
        raise UserError(f"{file} is there already, and is no file that could be replaced.", "Name another.")
    if not (folder := next(each for each in file.absolute().parents if each.exists())).is_dir():
        raise UserError(f"{folder} is a file, no folder.", "Name another.")
    if endings and file.suffix.lower() not in endings:
        raise UserError(f"{file} does not end in one of {', '.join(endings)}.", "Rename it.")
    if endings and file.exists() and not any(mark in file.read_bytes() for mark in OURS):
        raise UserError(f"{file} is there already, and was not made by keraskit.", "Name another, or move it away.")


def regular(path: Path, within: Path | None = None, most: int = MOST_BYTES) -> Path:
    """Return the path if it is a regular file of at most `most` bytes, and inside `within` if that is set.

    Raises FileNotFoundError if it does not exist; UserError for a pipe, a device, a folder, a link out of `within`, or
    a file that is unreadable or too large.
    """
    try:
        real = path.resolve()
        found = real.stat()
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and not path.is_symlink():
            raise
        raise UserError(f"{path} cannot be read: {error}.") from error
    if not stat.S_ISREG(found.st_mode) or (within and not real.is_relative_to(within.resolve())):
        raise UserError(f"{path} is refused: it is no file of {within or 'its folder'}.")
    if found.st_size > most:
        raise UserError(f"{path} is refused: it has {found.st_size:,} bytes; {most:,} are allowed.")
    return path


def weights_file(weights: str) -> Path:
    """Return the file that `--weights` names, directly or by a run's folder. Raises FileNotFoundError without one."""
    path = expanded(weights)
    return regular(path / MODEL, path, MOST_OF_ARRAYS) if path.is_dir() else regular(path, most=MOST_OF_ARRAYS)
