"""Standard output and error of a command: they obey no control characters in names, and outlive who reads them."""

import os
import re
import sys
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from keraskit.errors import printable

IN_FILES = re.compile(r"(\n)")  # what is passed on besides letters
ON_SCREENS = re.compile(r"(\n|\r|\x08|\x1b\[[\d;]*[mK])")  # with what colours and Keras's progress bar take


class Stream:
    """Writes to standard output or error what can be shown of a text, and drops it once nobody reads it any more."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._passed = ON_SCREENS if stream.isatty() else IN_FILES
        self.waiting: list[str] | None = []  # lines for standard error, until something is written here
        self.lost: OSError | None = None  # why nothing more can be written
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal need not know every letter

    def write(self, text: str) -> int:
        """Write it with all else that a terminal would obey as escapes."""
        lines, self.waiting = self.waiting, None
        for line in lines or ():
            print(line, file=sys.stderr)
        parts = [text] if text.isprintable() else self._passed.split(text)
        self._try(self._stream.write, "".join(part if i % 2 else printable(part) for i, part in enumerate(parts)))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        self._try(self._stream.flush)

    def _try(self, call: Any, *given: str) -> None:
        try:
            call(*given)
        except OSError as error:  # the reader has gone, as in `keraskit run mlp | head`, the terminal, or the disk
            self.lost = self.lost or error
            with suppress(OSError):  # what is buffered goes nowhere, now and when Python ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def streams() -> Iterator[tuple[Stream, Stream]]:
    """Print through such streams for the length of a block; where one is closed, nothing is printed.

    Python's warnings are lines of ours, which wait until something is printed: a refusal stays one line.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:  # else the next file opened would take that place
        pass
    os.close(number)
    before = sys.stdout, sys.stderr
    with Path(os.devnull).open("w") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # those concern programmers
        sys.stdout, sys.stderr = out, err = Stream(before[0] or nowhere), Stream(before[1] or nowhere)

        def show(message: Warning | str, *_: Any, **__: Any) -> None:
            line = f"keraskit: warning: {printable(' '.join(str(message).split()))}"
            if out.waiting is None or os.environ.get("KERASKIT_DEBUG"):
                print(line, file=err)
            else:
                out.waiting.append(line)

        warnings.showwarning = show
        try:
            yield out, err
        finally:
            out.flush()
            err.flush()
            sys.stdout, sys.stderr = before


def print_table(
    heads: Sequence[str], lines: Sequence[Sequence[str]], right: Collection[str] = (), wrapped: bool = False
) -> None:
    """Print cells below their heads, those of some heads set to the right; wrapped within their columns if asked."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(Text(printable(head)), justify="right" if head in right else "left")
    for line in lines:
        table.add_row(*(Text("\n".join(map(printable, cell.split("\n")))) for cell in line))
    Console(width=None if sys.stdout.isatty() else 1_000, soft_wrap=not wrapped).print(table)


def shortened(text: str, most: int) -> str:
    """The text with an ellipsis for its middle where it is wider than `most` letters; Chinese ones are two wide."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= most:
        return text
    return f"{set_cell_size(text, most // 2)}…{set_cell_size(text[::-1], (most - 1) // 2)[::-1]}"


def short(path: Path) -> str:
    """The path, relative to the working folder where it lies below that."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def counted(count: int, what: str, several: str = "") -> str:
    """`1 epoch`, `2 epochs`, `1,000 epochs`; `several` where the plural has no s."""
    return f"{count:,} {what if count == 1 else several or what + 's'}"
