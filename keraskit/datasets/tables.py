"""Say how a table in a file becomes arrays: in lines of NumPy, with the file's own columns."""

import csv
import re
from pathlib import Path

from keraskit.errors import UserError

TARGETS = ("target", "label", "class", "y")  # names of a column to predict, the likeliest first (default: the last)
COUNTS = ("", "id", "index", "unnamed: 0")  # names of columns that number the rows
OF_A_RECIPE = (
    "`keraskit new mine` begins one; give its model keras.Input(x.shape[1:]), and its Recipe this data=data:",
    "test = np.random.default_rng(0).random(len(x)) < 0.2",
    "data = keraskit.from_arrays(x[~test], y[~test], x[test], y[test])",
)


def refuse_table(path: Path, taken: str, then: str, *after: str, target: bool = True) -> None:
    """Raise UserError for a table: what is `taken` instead, `then` lines that read x and the `target`, and `after`."""
    if path.suffix.lower() in (".xlsx", ".xls", ".parquet"):
        raise UserError(f"{path} is a table; {taken}.", "Save it as .csv, and name that for what to do next.")
    if path.suffix.lower() in (".csv", ".tsv", ".txt") and path.is_file() and (lines := _loading(path)):
        raise UserError(f"{path} is a table; {taken}.", then, ["import numpy as np", *lines[: 1 + target], *after])


def _loading(path: Path) -> list[str]:
    """Return the lines that read x, the columns of numbers, and y, the target; none if there are no such columns."""
    with path.open("rb") as file:
        data = b"".join([file.readline(1_000_000), file.readline(1_000_000), *file.readlines(1_000_000)])
    runs = re.findall(rb"[\x80-\xff]+", data)
    western = 2 * sum(len(run) % 2 for run in runs) >= len(runs)  # an ü is one byte, a Chinese character two of them
    code = "utf-8-sig" if "\ufffd" not in data.decode("utf-8", "replace") else "cp1252" if western else "gb18030"
    text = data.decode(code, "replace")
    lines = [*text.splitlines(), ""][:2]
    found = ";" if ";" in lines[0] else max(",;\t|", key=text.count)
    sep = found if found in text else None  # spaces
    point = ".," if sep == ";" and re.search(r"\d,\d", text) else "."
    number = re.compile(rf"\s*[-+]?(\d+[{point}]?\d*|[{point}]\d+)(e[-+]?\d+)?\s*", re.IGNORECASE)
    head, row = [*csv.reader(lines, delimiter=sep or " ", skipinitialspace=True), [], []][:2]
    numbers = [i for i, cell in enumerate(row) if number.fullmatch(cell)]
    header = int(sum(map(bool, map(number.fullmatch, head))) < len(numbers))
    names = [name.strip() for name in head] if header else [f"column {i}" for i in range(len(head))]
    plain = [name.lower() for name in names]
    target = next((plain.index(name) for name in TARGETS if name in plain), len(names) - 1)
    used = [i for i in numbers if i != target and plain[i] not in COUNTS]
    if not used or len(row) != len(head):
        return []
    columns = range(used[0], used[-1] + 1) if len(used) == used[-1] - used[0] + 1 else used
    how = f"{str(path)!r}, delimiter={sep!r}, skiprows={header}, encoding={code!r}, quotechar='\"', comments=None"
    convert = ", converters=lambda cell: float(cell.replace(',', '.'))" if "," in point else ""
    left = ", ".join(name or f"column {i}" for i, name in enumerate(names) if i not in used)
    kind, note = (convert, "; of classes add dtype=int") if target in numbers else (", dtype=str", "")
    return [
        f"x = np.loadtxt({how}, usecols={columns}, ndmin=2{convert})  # without {left}; empty cells: np.genfromtxt",
        f"y = np.loadtxt({how}, usecols={target}{kind})  # {names[target]}{note}",
    ]
