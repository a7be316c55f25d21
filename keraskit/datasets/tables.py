"""Say how a table in a text file becomes arrays: in lines of NumPy, with the file's own columns."""

import csv
from contextlib import suppress
from pathlib import Path

from keraskit.errors import UserError

TEXT, BINARY = (".csv", ".tsv", ".txt"), {".xlsx": "excel", ".xls": "excel", ".parquet": "parquet"}
TARGETS = ("target", "label", "class", "y")  # names of a column to predict (default: the last)
ROWS, CLASSES = 100, 20  # rows to look at; classes up to which whole numbers are labels


OF_A_RECIPE = (
    "`keraskit new mine` begins one; give its model keras.Input(x.shape[1:]), and its Recipe this data=data:",
    "test = np.arange(len(x)) % 5 == 0",
    "data = keraskit.from_arrays(x[~test], y[~test], x[test], y[test])",
)


def refuse_table(path: Path, taken: str, then: str, *after: str, target: bool = True) -> None:
    """Raise UserError if a file is a table: what is `taken` instead, and the lines that make it, of which `after` last.

    The first lines make x and, if there is a `target`, y.
    """
    ending, text = path.suffix.lower(), path.with_suffix(".csv")
    if ending in BINARY:
        advice = f"pandas.read_{BINARY[ending]}({str(path)!r}).to_csv({str(text)!r}, index=False) makes a .csv."
        raise UserError(f"{path} is a table; {taken}.", f"{advice} Name that one, and you are told the next lines.")
    if ending in TEXT and path.is_file():
        if lines := _loading(path):
            raise UserError(f"{path} is a table; {taken}.", then, ["import numpy as np", *lines[: 1 + target], *after])
        raise UserError(f"{path} is text without columns of numbers; {taken}.")


def _loading(path: Path) -> list[str]:
    """Return the lines that read x, the columns of numbers, and y, the target; none if there are no such columns."""
    with path.open("rb") as file:
        data = b"".join(file.readline(1_000_000) for _ in range(ROWS))
    encoding, text = "latin-1", data.decode("latin-1")
    for each in ("gb18030", "utf-8-sig" if data.startswith(b"\xef\xbb\xbf") else "utf-8"):
        with suppress(UnicodeError):
            encoding, text = each, data.decode(each)
    lines = [line for line in text.splitlines() if line.strip()]
    delimiter = max(",;\t|", key="".join(lines[:1]).count)
    rows = [*csv.reader(lines, delimiter=delimiter)] if delimiter in text else [line.split() for line in lines]
    numbers = [[_is_number(cell) for cell in row] for row in rows]
    header = len(rows) > 1 and (not any(numbers[0]) or any(b > a for a, b in zip(*numbers[:2], strict=False)))
    names = [name.strip() if header else f"column {i}" for i, name in enumerate(rows[0] if rows else ())]
    target = next((i for i, name in enumerate(names) if name.lower() in TARGETS), len(names) - 1)
    full = [i for i, column in enumerate(zip(*numbers[header:], strict=False)) if all(column)]
    if not (used := [i for i in full if i != target]):
        return []
    how = f"{str(path)!r}" + f", delimiter={delimiter!r}" * (delimiter in text) + ", skiprows=1" * header
    how += f", encoding={encoding!r}" * (encoding != "utf-8") + """, quotechar='"'""" * ('"' in text)
    values = [row[target].strip() for row in rows[header:] if len(row) > target]
    labels = all(map(str.isdecimal, values)) and len(set(values)) <= min(CLASSES, len(values) // 2)
    kind = ", dtype=int" if labels else "" if target in full else ", dtype=str"
    columns = range(used[0], used[-1] + 1) if len(used) == used[-1] - used[0] + 1 else used
    left = ", ".join(name for i, name in enumerate(names) if i not in used)
    return [
        f"x = np.loadtxt({how}, usecols={columns}, ndmin=2)  # without {left}",
        f"y = np.loadtxt({how}, usecols={target}{kind})  # {names[target]}",
    ]


def _is_number(cell: str) -> bool:
    with suppress(ValueError):
        return float(cell) == float(cell)
    return False
