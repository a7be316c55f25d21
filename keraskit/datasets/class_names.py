"""Names for the classes of arrays: from --classes, from the .npz itself, or from a labels.txt beside the data."""

from pathlib import Path

from keraskit import system
from keraskit.datasets import array_files
from keraskit.errors import UserError, printable

FILE, ARRAY = "labels.txt", "classes"
LONGEST = 100  # letters of a name
MOST_BYTES = 1_000_000


def find(count: int, data: Path | None = None, asked: Path | None = None) -> tuple[tuple[str, ...], str] | None:
    """The names of `count` classes and where they stand; None where nobody gave any.

    The file that is `asked` for, UTF-8 with one name per line, comes first, then what the data has: the .npz, or the
    folder of IDX files. Raises UserError where the names cannot be read or are not `count` different names.
    """
    if asked:
        return _checked(read(asked), count, asked), f"--classes {asked}"
    if data and data.is_file() and (names := _array(data)) is not None:
        return _checked(names, count, f"'{ARRAY}' in {data}"), f"'{ARRAY}' in {data.name}"
    if data and system.is_file(beside := (data if data.is_dir() else data.parent) / FILE):
        return _checked(read(beside), count, beside), FILE
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


def _checked(names: list[str], count: int, where: object) -> tuple[str, ...]:
    """The names, spaces within and around them made one and none. Raises UserError for what no figure could tell."""
    names = [" ".join(name.split()) for name in names]
    if len(names) != count:
        raise UserError(f"{where} has {len(names):,} names; the data has {count:,} classes.", "One name each.")
    if "" in names:
        raise UserError(f"{where}: name {names.index('') + 1} is empty.", "Name every class.")
    if long := next((name for name in names if len(name) > LONGEST), None):
        raise UserError(f"{where}: {printable(long[:40])}... has {len(long):,} letters; {LONGEST} are allowed.")
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise UserError(f"{where}: {printable(twice)} stands there twice.", "Name every class differently.")
    return tuple(names)
