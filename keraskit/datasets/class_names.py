"""Names for the classes of arrays: from --classes, from the .npz itself, or from a labels.txt beside the data."""

from pathlib import Path

from keraskit import system
from keraskit.datasets import array_files
from keraskit.datasets.checks import check_names
from keraskit.errors import UserError

FILE, ARRAY = "labels.txt", "classes"
MOST_BYTES = 1_000_000


def find(count: int, data: Path | None = None, asked: Path | None = None) -> tuple[tuple[str, ...], str] | None:
    """The names of `count` classes and where they stand; None where nobody gave any.

    The file that is `asked` for, UTF-8 with one name per line, comes first, then what the data has: the .npz, or the
    folder of IDX files. Raises UserError where the names cannot be read or are not `count` different names.
    """
    if asked:
        return check_names(read(asked), count, asked), f"--classes {asked}"
    if data and data.is_file() and (names := _array(data)) is not None:
        return check_names(names, count, f"'{ARRAY}' in {data}"), f"'{ARRAY}' in {data.name}"
    if data and system.is_file(beside := (data if data.is_dir() else data.parent) / FILE):
        return check_names(read(beside), count, beside), FILE
    return None


def read(path: Path) -> list[str]:
    """The lines of a file of names. Raises UserError where it is none."""
    path = system.expanded(path)
    try:
        if not path.is_file():
            problem = "is not a file" if path.exists() else "does not exist"
            raise UserError(f"{path} {problem}.", "--classes takes a file with the name of one class per line.")
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path} has more than {MOST_BYTES:,} bytes.", "One class name per line is expected.")
        return path.read_text("utf-8-sig").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error.reason}.", "Save it as UTF-8, a name per line.") from error


def _array(path: Path) -> list[str] | None:
    """The names in an .npz, one class each; None where it holds none."""
    names = array_files.members(path, [ARRAY], MOST_BYTES).get(ARRAY)
    if names is not None and (names.ndim != 1 or names.dtype.kind != "U"):
        problem = f"'{ARRAY}' in {path} is {names.dtype} {names.shape}, expected text, one name per class"
        raise UserError(f"{problem}.", "Save np.array(names), or name a file with --classes.")
    return None if names is None else [str(name) for name in names]
