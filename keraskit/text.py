"""Format text and tables for a terminal."""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from keraskit.errors import printable


def print_table(heads: Sequence[str], lines: Sequence[Sequence[str]], right: Collection[str] = ()) -> None:
    """Print lines of cells below their heads; columns in `right` are right-aligned."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(Text(printable(head)), justify="right" if head in right else "left")
    for line in lines:
        table.add_row(*(Text(printable(cell)) for cell in line))
    Console(width=None if sys.stdout.isatty() else 1_000, soft_wrap=True).print(table)


def shortened(text: str, most: int) -> str:
    """Replace the middle of text wider than `most` cells with an ellipsis; Chinese characters take two cells."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= most:
        return text
    return f"{set_cell_size(text, most // 2)}…{set_cell_size(text[::-1], (most - 1) // 2)[::-1]}"


def short(path: Path) -> str:
    """Return the path, relative to the working directory if inside it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def duration(seconds: float) -> str:
    """Format seconds: `36 s`, `2 min 5 s`, `3 h 0 min`."""
    minutes, rest = divmod(float(f"{seconds:.0f}"), 60)
    if minutes >= 60:
        return f"{minutes // 60:.0f} h {minutes % 60:.0f} min"
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.0f} s"


def counted(count: int, what: str, several: str = "") -> str:
    """Format a count: `1 epoch`, `2 epochs`, `1,000 epochs`; `several` is a plural that does not end in s."""
    return f"{count:,} {what if count == 1 else several or what + 's'}"
