"""Draw curves, confusion matrices and sheets of pictures from plain arrays."""

from __future__ import annotations

import dataclasses
import functools
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, PercentFormatter

from keraskit.errors import printable
from keraskit.runs import metrics
from keraskit.runs.metrics import BINS, Calibration

# Okabe and Ito's palette, distinguishable with any colour vision.
TRAIN, VALIDATION, MARK = "#0072B2", "#D55E00", "#009E73"
RUNS = (TRAIN, VALIDATION, MARK, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", (0, (1, 1)))  # for the first seven runs, the next seven, and so on
FAMILIES = (  # for glyphs that matplotlib's default font lacks
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Microsoft YaHei", "SimHei"),
    *("PingFang SC", "Hiragino Sans", "Yu Gothic", "Malgun Gothic", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Noto Sans Devanagari", "Nirmala UI", "Noto Sans Thai", "Leelawadee UI", "Noto Emoji", "Segoe UI Symbol"),
)
MOST = 1e30  # largest value drawn
CURVES = 12  # maximum number of metrics drawn; each value of a vector is one
COUNTED = 40  # classes up to which counts are written, at 2 ms each
DARK = (  # for dark pages: ink of an SVG, and background of its legends
    "@media (prefers-color-scheme: dark) { text { fill: #e6ebf2 } [style*='fill: #ffffff'] { fill: #14181e !important }"
    " [style*='stroke: #000000'] { stroke: #e6ebf2 !important } }</style>"
)


@dataclasses.dataclass(frozen=True)
class Sheet:
    """Pictures with captions of one or more lines, and a title."""

    pictures: Any  # uint8, each of shape (height, width), (height, width, 1) or (height, width, 3); or encoded bytes
    captions: Sequence[str]
    title: str = ""
    columns: int = 8  # pictures in a row


def save(figure: Figure, path: Path) -> None:
    """Write a PNG, with fonts that cover its text; matplotlib warns of missing glyphs."""
    _set_fonts(figure)
    figure.savefig(path)


def as_svg(figure: Figure) -> bytes:
    """Render as SVG, transparent, with light ink on dark pages."""
    _set_fonts(figure)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "keraskit"}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return file.getvalue().replace("</style>", DARK, 1).encode()


def _set_fonts(figure: Figure) -> None:
    texts = figure.findobj(Text)
    families = [] if "".join(text.get_text() for text in texts).isascii() else _families()
    for text in texts if families else ():
        text.set_fontfamily([*text.get_fontfamily(), *families])


@functools.cache
def _families() -> list[str]:
    """Installed fonts of FAMILIES; matplotlib falls back glyph by glyph."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # any weight of a family will do
    installed = set(font_manager.get_font_names())
    return [name for name in FAMILIES if name in installed]


def _figure(width: float, height: float) -> Figure:
    """Create a figure, size in inches, with its own canvas: no pyplot, so no global state and no window."""
    figure = Figure(figsize=(width, height), dpi=120, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    FigureCanvasAgg(figure)
    return figure


def _axes(figure: Figure, xlabel: str, ylabel: str, *place: int) -> Axes:
    """Add axes with a grid; `place` as in `add_subplot`."""
    axes = figure.add_subplot(*place)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.3)
    if xlabel == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return axes


def _words(text: str, most: int = 60) -> str:
    """Escape TeX and control characters, and cut long lines."""
    return "\n".join(printable(line)[:most] for line in text.split("\n")[:4]).replace("$", r"\$")


def _plot(axes: Axes, rows: metrics.Rows, name: str, **style: Any) -> None:
    """Plot a metric by epoch, with gaps for values too large to draw; few epochs get markers."""
    values = np.array([row[name] for row in rows])
    values = np.where(np.abs(values) < MOST, values, np.nan)
    epochs = range(1, len(rows) + 1)
    axes.plot(epochs, values, marker="o" if len(rows) <= 20 else "", markersize=4, **style)


def curves(rows: metrics.Rows, best_epoch: int) -> Figure:
    """Plot each metric of a history, training and validation, by epoch; mark `best_epoch`, from 1."""
    names = [n for n in rows[0] if not n.startswith("val_") and n not in {"epoch", "seconds"}][:CURVES]
    columns = min(len(names), 3)
    lines = -(-len(names) // columns)
    figure = _figure(4.6 * columns, 3.4 * lines)
    for i, name in enumerate(names, 1):
        axes = _axes(figure, "epoch", "", lines, columns, i)
        _plot(axes, rows, name, color=TRAIN, label="training")
        if f"val_{name}" in rows[0]:
            _plot(axes, rows, f"val_{name}", color=VALIDATION, linestyle="--", label="validation")
        axes.axvline(best_epoch, color=MARK, linestyle=":", label=f"best epoch, {best_epoch}")
        axes.set_title(_words(name.replace("_", " ")))
        axes.legend(fontsize=8)
    return figure


def reliability(found: Calibration) -> Figure:
    """Plot accuracy against confidence; a calibrated model lies on the diagonal."""
    figure, width = _figure(4.6, 3.4), 1 / BINS
    axes = _axes(figure, "probability of the predicted class", "share right")
    axes.bar(found.bins * width, found.accuracy, width, align="edge", color=TRAIN, alpha=0.35, label="share right")
    axes.plot(found.confidence, found.accuracy, "o", color=TRAIN, markersize=4)
    axes.plot([0, 1], [0, 1], ":", color=MARK, label="as sure as right")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=8, loc="upper left")
    return figure


def scatter(targets: np.ndarray, predictions: np.ndarray) -> Figure:
    """Plot predicted against true values, both of shape (n,); at most 2,000 points."""
    figure = _figure(4.6, 3.4)
    axes = _axes(figure, "true value", "predicted value")
    axes.plot(targets[:2_000], predictions[:2_000], ".", color=TRAIN, alpha=0.5, markersize=4)
    ends = [float(f(f(targets), f(predictions))) for f in (min, max)]
    axes.plot(ends, ends, ":", color=MARK, label="predicted as it is")
    axes.legend(fontsize=8)
    return figure


def comparison(runs: Sequence[tuple[str, metrics.Rows, str, float]], metric: str) -> Figure:
    """Plot curves of runs (label, history, metric, best value), validation as lines and training as dots."""
    figure = _figure(11.5, max(4.6, 0.22 * len(runs)))
    axes = _axes(figure, "epoch", _words(metric))
    for i, (label, rows, name, best) in enumerate(runs):
        colour, line = RUNS[i % len(RUNS)], LINES[i // len(RUNS) % len(LINES)]
        named = f"{_words(label)}: {metrics.number(best, 3)} at best"
        _plot(axes, rows, name, color=colour, linewidth=0.9, linestyle=":")
        _plot(axes, rows, f"val_{name}", color=colour, linewidth=1.8, linestyle=line, label=named)
    axes.set_title("validation (line) and training (dots)")
    figure.legend(fontsize=8, loc="outside right upper")
    return figure


def confusion(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """Plot a confusion matrix, shape (classes, classes), coloured by share of the true class."""
    classes, count = [_words(name, 30) for name in classes], len(classes)
    side = min(max(3.6, 1.6 + 0.48 * count), 14.0)
    figure = _figure(side + 1.4, side)
    axes = figure.add_subplot()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(np.where(matrix > 0, share, np.nan), cmap="cividis_r", vmin=0, vmax=1)
    cell = 72 * (side - 1.6) / count  # points
    size = min(8.0, 1.4 * cell / len(f"{matrix.max():,}"))
    for i, j in np.argwhere(matrix) if count <= COUNTED else ():
        colour = "white" if share[i, j] > 0.5 else "black"
        axes.text(j, i, f"{matrix[i, j]:,}", ha="center", va="center", fontsize=size, color=colour)
    size = min(10.0, 0.8 * cell)
    axes.set_xticks(range(count), classes, fontsize=size, rotation=90 if max(map(len, classes)) > 3 else 0)
    axes.set_yticks(range(count), classes, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true")
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.85, format=PercentFormatter(1.0))
    return figure


def sheet(shown: Sheet, side: float = 1.25) -> Figure:
    """Draw pictures in rows with a caption under each. `side` is a picture's size in inches."""
    columns = max(1, min(shown.columns, len(shown.pictures)))
    rows = -(-len(shown.pictures) // columns)
    lines = max((caption.count("\n") + 1 for caption in shown.captions), default=1)
    highest = max((picture.shape[0] / max(picture.shape[:2]) for picture in shown.pictures), default=1.0)
    box, top, row = side - 0.1, 0.4, (side - 0.1) * highest + 0.14 * lines + 0.1  # inches, like all that follows
    width, height = max(side * columns, 4.0), top + row * rows
    figure = _figure(width, height)
    figure.set_layout_engine("none")
    # One axes for all: one for each picture takes five times as long.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.text(width / 2, 0.1, shown.title, fontsize=10, ha="center", va="top")
    for i, (picture, caption) in enumerate(zip(shown.pictures, shown.captions, strict=True)):
        x, y = (width - side * columns) / 2 + side * (i % columns + 0.5), top + row * (i // columns)
        tall, wide = picture.shape[:2]
        scale = box / max(wide, tall)
        place = (x - wide * scale / 2, x + wide * scale / 2, y + tall * scale, y)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=place, aspect="auto")
        axes.text(x, y + tall * scale + 0.04, _words(caption), fontsize=8, ha="center", va="top")
    axes.set(xlim=(0, width), ylim=(height, 0))
    return figure
