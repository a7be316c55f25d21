"""A page with a table of runs, whose first column links to their reports: `runs --html` and `compare --html`."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from keraskit.files import write_text
from keraskit.runs.folder import REPORT
from keraskit.runs.report import image, render


def write(
    target: Path, title: str, head: Sequence[str], lines: Sequence[tuple[Sequence[Any], Path]],
    numbers: Collection[str] = (), sentences: Sequence[str] = (), chart: bytes = b"",
) -> None:  # fmt: skip
    """Write the page: columns by their heads, each row's cells and the run folder that its first one links to.

    `numbers` are columns set to the right, `sentences` what a comparison says, `chart` an SVG of the curves.
    """
    rows = []
    for cells, folder in lines:
        report = folder / REPORT
        link = Path(os.path.relpath(report, target.absolute().parent)).as_posix() if report.is_file() else ""
        rows.append((link, cells))
    drawn = image(chart, "Learning curves; the table has their best values.") if chart else ""
    page = render(
        "table_page.html", title=title, head=head, rows=rows, numbers=numbers, sentences=sentences, chart=drawn
    )
    write_text(target, page)
