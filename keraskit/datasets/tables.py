"""Say how a table in a file becomes arrays: in lines of NumPy."""

from pathlib import Path

from keraskit import system
from keraskit.errors import UserError

OF_A_RECIPE = (
    "`keraskit new mine` begins one; give its model keras.Input(x.shape[1:]), and its Recipe this data=data:",
    "test = np.random.default_rng(0).random(len(x)) < 0.2",
    "data = keraskit.from_arrays(x[~test], y[~test], x[test], y[test])",
)


def refuse_table(path: Path, taken: str, then: str, *after: str, target: bool = True) -> None:
    """Raise UserError for a table: what is `taken` instead, `then` lines that read x and the `target`, and `after`.

    In these lines the last column is the target, and all before it are x: NumPy names a cell that is no number.
    """
    problem, ending = f"{path} is a table; {taken}.", path.suffix.lower() * system.is_file(path)
    if ending in (".xlsx", ".xls", ".parquet"):
        raise UserError(problem, "Save it as .csv: names, and below them lines of as many cells.")
    if ending in (".csv", ".tsv"):
        with path.open(encoding="utf-8", errors="replace") as file:
            head = file.readline(100_000)
        delimiter = max(",;\t", key=head.count)
        *others, last = head.strip("\r\n").split(delimiter)
        how = f"np.loadtxt({str(path)!r}, {delimiter=}, skiprows=1, comments=None, quotechar='\"'"
        lines = [
            "import numpy as np",
            f"x = {how}, usecols=range({len(others)}), ndmin=2)  # leave out text, and a column that numbers rows",
            f"y = {how}, usecols={len(others)})  # {last}; of text add dtype=str, of class numbers dtype=int",
        ]
        raise UserError(problem, then, [*lines[: 2 + target], *after])
