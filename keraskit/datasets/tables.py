"""Say how a table in a file becomes arrays: in lines of NumPy, with the file's own columns."""

import csv
import re
from pathlib import Path

from keraskit.errors import UserError

NUMBER = re.compile(r"\s*[-+]?[\d.]+(e[-+]?\d+)?\s*", re.IGNORECASE)
TARGETS = ("target", "label", "class", "y")  # names of a column to predict (default: the last)
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
        data = file.readline(1_000_000) + file.readline(1_000_000)
    encoding = "gb18030" if "\ufffd" in data.decode("utf-8", "replace") else "utf-8-sig"
    text = data.decode(encoding, "replace")
    found = max(",;\t|", key=text.count)
    delimiter = found if found in text else None  # spaces
    head, row = [*csv.reader(text.splitlines(), delimiter=delimiter or " ", skipinitialspace=True), [], []][:2]
    numbers = [i for i, cell in enumerate(row) if NUMBER.fullmatch(cell)]
    header = sum(map(bool, map(NUMBER.fullmatch, head))) < len(numbers)
    names = head if header else [f"column {i}" for i in range(len(head))]
    target = next((i for i, name in enumerate(names) if name.strip().lower() in TARGETS), len(names) - 1)
    used = [i for i in numbers if i != target]
    if not used or len(row) != len(head):
        return []
    columns = range(used[0], used[-1] + 1) if len(used) == used[-1] - used[0] + 1 else used
    how = f"{str(path)!r}, delimiter={delimiter!r}, skiprows={int(header)}, encoding={encoding!r}, quotechar='\"'"
    left = ", ".join(name for i, name in enumerate(names) if i not in used)
    kind, note = ("", "; of classes add dtype=int") if target in numbers else (", dtype=str", "")
    return [
        f"x = np.loadtxt({how}, usecols={columns}, ndmin=2)  # without {left}",
        f"y = np.loadtxt({how}, usecols={target}{kind})  # {names[target]}{note}",
    ]
