"""Say how a table in a file becomes arrays: in lines of NumPy, with the file's own columns."""

import csv
import io
import re
from contextlib import suppress
from itertools import chain
from pathlib import Path

from keraskit import system
from keraskit.errors import UserError

TARGETS = ("target", "label", "class", "y")  # names of a column to predict, the likeliest first (default: the last)
COUNTS = ("", "#", "id", "index", "unnamed: 0")  # names of columns that number the rows
ABOVE = re.compile(r"\s*$|sep=|#\s|#[^,;\t|]*$")  # lines above a table; "#,name" begins one
OF_A_RECIPE = (
    "`keraskit new mine` begins one; give its model keras.Input(x.shape[1:]), and its Recipe this data=data:",
    "test = np.random.default_rng(0).random(len(x)) < 0.2",
    "data = keraskit.from_arrays(x[~test], y[~test], x[test], y[test])",
)


def refuse_table(path: Path, taken: str, then: str, *after: str, target: bool = True) -> None:
    """Raise UserError for a table: what is `taken` instead, `then` lines that read x and the `target`, and `after`."""
    problem, ending = f"{path} is a table; {taken}.", path.suffix.lower() * system.is_file(path)
    with suppress(csv.Error):  # a cell without an end, a byte of zeros
        if ending in (".csv", ".tsv", ".txt") and (lines := _loading(path)):
            raise UserError(problem, then, ["import numpy as np", *lines[: 1 + target], *after])
    if ending in (".csv", ".tsv", ".xlsx", ".xls", ".parquet"):
        raise UserError(problem, "Save it as .csv: names, and below them lines of as many cells, some of them numbers.")


def _loading(path: Path) -> list[str]:
    """Return the lines that read x, the columns of numbers, and y, the target; none if there are no such columns."""
    with path.open("rb") as file:
        data = file.read(1_000_000) + file.readline(1_000_000)
    runs = re.findall(rb"[\x80-\xff]+", data)
    western = 2 * sum(len(run) % 2 for run in runs) >= len(runs)  # an ü is one byte, a Chinese character two of them
    code = "utf-8-sig" if "\ufffd" not in data.decode("utf-8", "replace") else "cp1252" if western else "gb18030"
    code = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else code
    lines = [*io.StringIO(data.decode(code, "replace"), None)]
    above = next((i for i, line in enumerate(lines) if not ABOVE.match(line)), 0)
    found = []
    for sep in ("\t", ";", ",", "|", None):  # None: spaces
        reader = csv.reader([line if sep else " ".join(line.split()) for line in lines[above:]], delimiter=sep or " ")
        head, height, rows = next(reader, []), reader.line_num, [*filter(None, reader), []]
        commas = (re.fullmatch(r"\s*[-+]?\d*,\d+\s*", cell) for cell in chain(head, *rows))
        point = "," if sep != "," and any(commas) else "."
        number = re.compile(rf"\s*[-+]?(\d+[{point}]?\d*|[{point}]\d+)(e[-+]?\d+)?\s*", re.IGNORECASE)
        fits = len(head) == len(rows[0]) and not any(re.match(r'\s+"', cell) for cell in chain(*rows))  # NumPy keeps it
        dotted = {i for each in rows for i, cell in enumerate(each) if point == "," and "." in cell}
        numbers = [i for i, cell in enumerate(rows[0]) if fits and number.fullmatch(cell) and i not in dotted]
        digits = [cell.strip() for cell in head if number.fullmatch(cell)]
        header = height * (len(digits) < len(numbers) or digits[:3] in ([*"012"], [*"123"]))
        found.append((numbers, head, rows[0], header, point, sep))
    numbers, head, row, header, point, delimiter = max(found, key=lambda each: len(each[0]))
    names = [name.strip() if header else f"column {i}" for i, name in enumerate(head)]
    plain = [name.lower() for name in names]
    filled = [i for i, cells in enumerate(zip(head, row, strict=False)) if any(cells)]
    target = next((plain.index(name) for name in TARGETS if name in plain), max(filled, default=0))
    used = [i for i in numbers if i != target and plain[i] not in COUNTS]
    if not used or (target not in numbers and re.fullmatch(r"[-+]?[\d.,]+", row[target])):  # as 1.234 for 1234
        return []
    columns = range(used[0], used[-1] + 1) if len(used) == used[-1] - used[0] + 1 else used
    how = f"{str(path)!r}, {delimiter=}, skiprows={above + header}, encoding={code!r}, quotechar='\"', comments=None"
    convert = ", converters=lambda cell: float(cell.replace(',', '.'))" if point == "," else ""
    left = ", ".join(names[i] or f"column {i}" for i in filled if i not in used)
    kind, note = (convert, "; of classes add dtype=int") if target in numbers else (", dtype=str", "")
    return [
        f"x = np.loadtxt({how}, usecols={columns}, ndmin=2{convert})  # without {left}; fill empty cells first",
        f"y = np.loadtxt({how}, usecols={target}{kind})  # {names[target]}{note}",
    ]
