"""Write an HTML table of runs, linked to their reports, for `runs --html` and `compare --html`."""

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from keraskit.errors import UserError
from keraskit.files import write_text
from keraskit.runs.folder import REPORT, RunFolder
from keraskit.runs.report import image, render, write_report


def write(
    target: Path, title: str, head: Sequence[str], lines: Sequence[tuple[Sequence[Any], Path]],
    numbers: Collection[str] = (), sentences: Sequence[str] = (), charts: Sequence[bytes] = (),
) -> None:  # fmt: skip
    """Write the page. Each of `lines` has the cells of a row, and the run folder that its first cell links to.

    `numbers` are right-aligned columns, `sentences` the result of a comparison, `charts` SVGs of the curves.
    """
    rows = []
    for cells, folder in lines:
        report = folder / REPORT
        if not report.is_file():  # the run still goes on, or was killed
            with suppress(UserError, OSError):
                write_report(RunFolder(folder))
        link = Path(os.path.relpath(report, target.absolute().parent)).as_posix() if report.is_file() else ""
        rows.append((link, cells))
    drawn = [image(chart, "Learning curves; the table has their best values.") for chart in charts]
    page = render(
        "table_page.html", title=title, head=head, rows=rows, numbers=numbers, sentences=sentences, charts=drawn
    )
    write_text(target, page)
