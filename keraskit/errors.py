"""UserError, a one-line error with advice; text for a terminal: sentences, names, counts, durations, tables, flags."""

import difflib
import re
import shlex
import sys
import textwrap
from collections.abc import Collection, Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any


class UserError(Exception):
    """Invalid input from the user. The command line prints it as one line and exits with code 2.

    Args:
        problem: what is wrong, and what was expected.
        advice: what to do next, usually a command.
        lines: lines of code to print below.
    """

    code = 2

    def __init__(self, problem: str, advice: str = "", lines: Iterable[str] = ()) -> None:
        super().__init__("\n".join([" ".join(f"{problem} {advice}".split()), *lines]))


class RunStopped(UserError):
    """Failure that is not in the user's input: of a machine, a disk, a check. The exit code is 1."""

    code = 1


def did_you_mean(word: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Suggest the name most similar to `word`, whatever the case, as a question; empty if none is similar."""
    folded = {name.casefold(): name for name in names}
    found = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=cutoff)
    return f"Did you mean {folded[found[0]]}?" if found else ""


def sentence(error: object) -> str:
    """Return the cause that a message names: a paragraph in a line, ending in a full stop, or cut at 300 characters."""
    text = re.sub(r"\x1b\[\d*m|\{\{.*?\}\} ?|\[Op:.*?\]", "", str(error).partition("\n\t [[{{node")[0])
    text = text.partition("\n\nArguments received")[0].partition(" Full object config:")[0].strip()
    text = text.rpartition("\n")[2] if text.startswith("Graph execution error") else text
    around = r"Exception encountered: |\.call\(\)\.\n|Example error message for .*?:\n\n|Error encountered:\n\n"
    text = re.split(rf"{around}|in user code:(?s:.*)\n +\w+: ", text)[-1].strip()  # the innermost error
    line = textwrap.shorten(text.partition("\n\n")[0] or type(error).__name__, 300, placeholder=" ...")
    return line if line.endswith((".", "!", "?")) else f"{line}."


def lasting(value: object) -> str:
    """`repr` without memory addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def recorded(value: object) -> Any:
    """Return what run.json holds of a flag's value that JSON has no type for: an Enum's value, or text."""
    return value.value if isinstance(value, Enum) else re.sub(r" at 0x[0-9a-f]+", "", str(value))


def printable(text: object) -> str:
    """Escape characters that a terminal would obey or cannot show: file names can contain anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def print_table(heads: Sequence[str], lines: Sequence[Sequence[str]], right: Collection[str] = ()) -> None:
    """Print lines of cells below their heads; columns in `right` are right-aligned."""
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for head, *cells in zip(heads, *lines, strict=True):
        width, number = max(map(len, (head, *cells))), head in right
        least = width if number else min(width, 24) if right else None  # no number is cut; text beside them is folded
        table.add_column(Text(printable(head)), justify="right" if number else "left", min_width=least, overflow="fold")
    for line in lines:
        table.add_row(*(Text(printable(cell)) for cell in line))
    console = Console(width=None if sys.stdout.isatty() else 1_000, soft_wrap=True)
    console.width = max(console.width, Measurement.get(console, console.options, table).minimum)
    console.print(table)


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


def flags(knobs: dict[str, Any], prefix: str = "") -> str:
    """Format `{"batch_size": 64, "quick": True}` as flags, quoted: `--batch-size 64 --quick`. None has no flag."""
    words: list[str] = []
    for name, value in knobs.items():
        if isinstance(value, dict):
            words.append(flags(value, f"{prefix}{name}."))
        elif isinstance(value, bool):
            words.append(flag(name, prefix) + "=no" * (not value))
        elif value is not None:
            several = value if isinstance(value, list | tuple) else [value]
            sign = "=" if isinstance(value, str | Path) and str(value).startswith("-") else " "  # not another flag
            names = (str(v.name if isinstance(v, Enum) else v) for v in several)  # an Enum is typed by its name
            words.append(sign.join([flag(name, prefix), *map(shlex.quote, names)]))
    return " ".join(words)


def flag(name: Any, prefix: str = "") -> str:
    """Format `batch_size` as `--batch-size`."""
    return f"--{prefix}{str(name).replace('_', '-')}"
