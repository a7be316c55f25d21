"""Say how a table in a file becomes arrays: in lines of NumPy, with the file's own columns."""

import csv
from contextlib import suppress
from pathlib import Path

from keraskit.errors import UserError

TEXT, BINARY = (".csv", ".tsv", ".txt"), {".xlsx": "excel", ".xls": "excel", ".parquet": "parquet"}
TARGETS = ("target", "label", "class", "y")  # names of a column to predict (default: the last)
OF_A_RECIPE = (
    "`keraskit new mine` begins one; give its model keras.Input(x.shape[1:]), and its Recipe this data=data:",
    "test = np.arange(len(x)) % 5 == 0",
    "data = keraskit.from_arrays(x[~test], y[~test], x[test], y[test])",
)


def refuse_table(path: Path, taken: str, then: str, *after: str, target: bool = True) -> None:
    """Raise UserError for a table: what is `taken` instead, `then` lines that read x and the `target`, and `after`."""
    ending = path.suffix.lower()
    if ending in BINARY:
        made = f"pandas.read_{BINARY[ending]}({str(path)!r}).to_csv({str(path.with_suffix('.csv'))!r}, index=False)"
        raise UserError(f"{path} is a table; {taken}.", f"{made} makes one in text: name that for what to do next.")
    if ending in TEXT and path.is_file():
        if lines := _loading(path):
            raise UserError(f"{path} is a table; {taken}.", then, ["import numpy as np", *lines[: 1 + target], *after])
        if ending != ".txt":
            raise UserError(f"{path} is text without columns of numbers; {taken}.")


def _loading(path: Path) -> list[str]:
    """Return the lines that read x, the columns of numbers, and y, the target; none if there are no such columns."""
    with path.open("rb") as file:
        data = b"".join(file.readline(1_000_000) for _ in range(100))
    encoding, text = "latin-1", data.decode("latin-1")
    for each in ("gb18030", "utf-8-sig" if data.startswith(b"\xef\xbb\xbf") else "utf-8"):
        with suppress(UnicodeError):
            encoding, text = each, data.decode(each)
    delimiter = max(",;\t|", key=text.partition("\n")[0].count)
    split = {"delimiter": delimiter} if delimiter in text else {"delimiter": " ", "skipinitialspace": True}
    head, row = [*csv.reader(text.splitlines()[:2], **split), [], []][:2]
    header = sum(map(_is_number, head)) < sum(map(_is_number, row))
    names = [name.strip() if header else f"column {i}" for i, name in enumerate(head)]
    target = next((i for i, name in enumerate(names) if name.lower() in TARGETS), len(names) - 1)
    used = [i for i, cell in enumerate(row[: len(names)]) if i != target and _is_number(cell)]
    if not used or target >= len(row):
        return []
    left = ", ".join(name for i, name in enumerate(names) if i not in used)
    how = f"{str(path)!r}" + f", delimiter={delimiter!r}" * (delimiter in text) + ", skiprows=1" * header
    how += f", encoding={encoding!r}" * (encoding != "utf-8") + """, quotechar='"'""" * ('"' in text)
    columns = range(used[0], used[-1] + 1) if len(used) == used[-1] - used[0] + 1 else used
    kind, note = ("", "; of classes add dtype=int") if _is_number(row[target]) else (", dtype=str", "")
    return [
        f"x = np.loadtxt({how}, usecols={columns}, ndmin=2)  # without {left}",
        f"y = np.loadtxt({how}, usecols={target}{kind})  # {names[target]}{note}",
    ]


def _is_number(cell: str) -> bool:
    with suppress(ValueError):
        return float(cell) == float(cell)
    return False
