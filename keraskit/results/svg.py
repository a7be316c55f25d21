"""A figure as SVG inside a page: real text in the page's font, the page's colours, light or dark."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from keraskit.results.plots import GAP, MARK, TRAIN, VALIDATION

COLOURS = {TRAIN: "train", VALIDATION: "validation", MARK: "mark", GAP: "gap", "#000000": "ink", "#b0b0b0": "line"}
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "keraskit", "axes.facecolor": "none", "legend.frameon": False}


def inline(
    figure: Figure, name: str, described: str, points: Callable[[Figure], list[dict[str, Any]]] | None = None
) -> Markup:
    """The figure as an `svg` element.

    Args:
        figure: of `plots`.
        name: begins the element's ids, so that several fit into one page.
        described: what it shows, in numbers, for those who cannot see it.
        points: finds, of the figure once it is laid out, what the page shows under the pointer, as `curve_points` does.
    """
    for axes in figure.axes:
        axes.set_facecolor("none")
        if legend := axes.get_legend():
            legend.set_frame_on(False)
    file = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r"font: (?:\w+ )*([\d.]+)px [^;\"]*", r"font-size: \1px", svg)  # the page's font
    svg = re.sub(r'\bid="|url\(#|xlink:href="#', lambda begin: f"{begin[0]}{name}-", svg)
    for colour, variable in COLOURS.items():
        svg = re.sub(colour, f"var(--{variable})", svg, flags=re.I)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert size
    data = Markup(' data-points="{}"').format(json.dumps(points(figure))) if points else ""
    head = '<svg class="chart" role="img" aria-label="{}"{} viewBox="0 0 {} {}" style="max-width: {}pt">'
    head = Markup(head).format(described, data, size[1], size[2], size[1])
    return head + Markup(svg[svg.index(">") + 1 :])  # matplotlib escapes all text


def curve_points(figure: Figure, rows: list[dict[str, float]], names: list[str]) -> list[dict[str, Any]]:
    """For each axes of a saved figure where it stands in the SVG, and where each epoch does, with the values there."""
    rows = [row for row in rows if math.isfinite(row["epoch"]) and abs(row["epoch"]) < 1e9]
    height, scale = figure.bbox.height, 72 / figure.dpi
    found = []
    for axes, name in zip(figure.axes, names, strict=True):
        box = axes.get_window_extent()
        x = [round(axes.transData.transform((row["epoch"], 0))[0] * scale, 1) for row in rows]
        values = [[_known(row[name]), _known(row.get(f"val_{name}"))] for row in rows]
        place = [box.x0 * scale, (height - box.y1) * scale, box.width * scale, box.height * scale]
        epochs = [int(row["epoch"]) for row in rows]
        found.append({"box": [round(v, 1) for v in place], "x": x, "epochs": epochs, "values": values})
    return found


def _known(value: float | None) -> float | None:
    """A number that JSON knows."""
    return value if value is not None and math.isfinite(value) else None
