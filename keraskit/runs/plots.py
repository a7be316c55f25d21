"""Draw curves, confusion matrices and sheets of pictures from plain arrays."""

from __future__ import annotations

import functools
import io
import logging
from collections.abc import Iterable, Sequence
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
from keraskit.runs import history
from keraskit.runs.metrics import Calibration

# Okabe and Ito's palette: told apart with any kind of colour vision.
TRAIN, VALIDATION, MARK = "#0072B2", "#D55E00", "#009E73"
RUNS = (TRAIN, VALIDATION, MARK, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", (0, (1, 1)))  # of the first seven runs, the next seven, and so on
DPI = 120
FAMILIES = (  # for letters that matplotlib's own font lacks
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Microsoft YaHei", "SimHei"),
    *("PingFang SC", "Hiragino Sans", "Yu Gothic", "Malgun Gothic", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Noto Sans Devanagari", "Nirmala UI", "Noto Sans Thai", "Leelawadee UI", "Noto Emoji", "Segoe UI Symbol"),
)
MOST = 1e30  # largest value drawn
CURVES = 12  # metrics at most that are drawn; each value of a vector is one
DARK = (  # for pages that are dark: the ink of an SVG, and the ground of its legends
    "@media (prefers-color-scheme: dark) { text { fill: #e6ebf2 } [style*='fill: #ffffff'] { fill: #14181e !important }"
    " [style*='stroke: #000000'] { stroke: #e6ebf2 !important } }</style>"
)
COUNTED, NAMED = 40, 140  # classes at most whose counts are written, which takes 2 ms each; whose names are


def _figure(width: float, height: float) -> Figure:
    """Make a figure with a canvas of its own, in inches: no pyplot, so no global state and no window."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _axes(figure: Figure, xlabel: str, ylabel: str, *place: int) -> Axes:
    """Add axes with a grid, at a place of `add_subplot` if given."""
    axes = figure.add_subplot(*place)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.3)
    return axes


def _save(figure: Figure, path: Path, names: Iterable[str]) -> None:
    """Write a PNG, with fonts that have the letters of the names; matplotlib warns where none has."""
    families = [] if "".join(names).isascii() else _families()
    for text in figure.findobj(Text) if families else ():
        text.set_fontfamily([*text.get_fontfamily(), *families])
    figure.savefig(path)


def as_svg(figure: Figure) -> bytes:
    """Render as SVG, transparent, with light ink on dark pages."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "keraskit"}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return file.getvalue().replace("</style>", DARK, 1).encode()


@functools.cache
def _families() -> list[str]:
    """Installed fonts of FAMILIES; matplotlib falls back glyph by glyph."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # a family without the usual weight will do
    known = set(font_manager.get_font_names())
    return [name for name in FAMILIES if name in known]


def _words(text: str, most: int = 60) -> str:
    """Escape TeX and control characters, and cut long lines."""
    return "\n".join(printable(line)[:most] for line in text.split("\n")[:4]).replace("$", r"\$")


def _drawn(rows: Sequence[dict[str, float]], name: str) -> np.ndarray:
    """A column of a history, with NaN for values that no axis can hold."""
    values = np.array([row[name] for row in rows])
    return np.where(np.abs(values) < MOST, values, np.nan)


def curves_figure(rows: Sequence[dict[str, float]], best_epoch: int) -> Figure:
    """Plot each metric by epoch, training and validation, and mark the best epoch.

    Args:
        rows: one per epoch: `epoch`, metrics, and `val_` metrics.
        best_epoch: the epoch whose weights were kept, from 1.
    """
    names = metrics_of(rows)
    columns = min(len(names), 3)
    lines = -(-len(names) // columns)
    figure = _figure(4.6 * columns, 3.4 * lines)
    epochs = [row["epoch"] for row in rows]
    few: dict[str, Any] = {"marker": "o", "markersize": 4} if len(rows) <= 20 else {}
    for i, name in enumerate(names):
        axes = _axes(figure, "epoch", "", lines, columns, i + 1)
        axes.plot(epochs, _drawn(rows, name), color=TRAIN, label="training", **few)
        if f"val_{name}" in rows[0]:
            held_out = _drawn(rows, f"val_{name}")
            axes.plot(epochs, held_out, color=VALIDATION, linestyle="--", label="validation", **few)
        axes.axvline(best_epoch, color=MARK, linestyle=":", label=f"best epoch, {best_epoch}")
        axes.set_title(_words(name.replace("_", " ")))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=8)
    return figure


def metrics_of(rows: Sequence[dict[str, float]]) -> list[str]:
    """Metrics of training in the history's order, at most CURVES."""
    return [n for n in rows[0] if not n.startswith("val_") and n not in {"epoch", "seconds"}][:CURVES]


def curves(rows: Sequence[dict[str, float]], best_epoch: int, path: Path) -> None:
    """Write `curves_figure` as a PNG."""
    _save(curves_figure(rows, best_epoch), path, metrics_of(rows))


def reliability_figure(found: Calibration) -> Figure:
    """Plot accuracy against confidence; on the diagonal the model is calibrated."""
    figure = _figure(4.6, 3.4)
    axes = _axes(figure, "probability of the predicted class", "share right")
    bins = len(found.counts)
    filled = found.counts > 0
    left = np.arange(bins)[filled] / bins
    axes.bar(left, found.accuracy[filled], 1 / bins, align="edge", color=TRAIN, alpha=0.35, label="share right")
    axes.plot(found.confidence[filled], found.accuracy[filled], "o", color=TRAIN, markersize=4)
    axes.plot([0, 1], [0, 1], ":", color=MARK, label="as sure as right")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=8, loc="upper left")
    return figure


def scatter_figure(targets: np.ndarray, predictions: np.ndarray) -> Figure:
    """Plot predicted against true values, both of shape (n,), at most 2,000."""
    figure = _figure(4.6, 3.4)
    axes = _axes(figure, "true value", "predicted value")
    axes.plot(targets[:2_000], predictions[:2_000], ".", color=TRAIN, alpha=0.5, markersize=4)
    ends = [float(f(f(targets), f(predictions))) for f in (min, max)]
    axes.plot(ends, ends, ":", color=MARK, label="predicted as it is")
    axes.legend(fontsize=8)
    return figure


def comparison(runs: Sequence[tuple[str, Sequence[dict[str, float]], str, float]], metric: str, path: Path) -> None:
    """Plot curves of several runs: validation in full colour, training thin.

    Args:
        runs: a label, a row per epoch, the metric to draw, and its value in the best epoch.
        metric: what the axis shows.
        path: the PNG to write.
    """
    beside = len(runs) > len(RUNS)  # then no room is left for the names within the picture
    figure = _figure(8.0 + 3.5 * beside, max(4.6, 0.22 * len(runs)))
    axes = _axes(figure, "epoch", _words(metric))
    for i, (label, rows, name, best) in enumerate(runs):
        colour, line = RUNS[i % len(RUNS)], LINES[i // len(RUNS) % len(LINES)]
        epochs = range(1, len(rows) + 1)
        few: dict[str, Any] = {"marker": "o", "markersize": 4} if len(rows) < 3 else {}
        axes.plot(epochs, _drawn(rows, name), color=colour, linewidth=0.9, linestyle=":", **few)
        named = f"{_words(label)}: {history.number(best, 3)} at best"
        axes.plot(epochs, _drawn(rows, f"val_{name}"), color=colour, linewidth=1.8, linestyle=line, label=named, **few)
    axes.set_title("validation (line) and training (dots)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    place: Any = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)} if beside else {}
    axes.legend(fontsize=8, **place)
    _save(figure, path, [metric, *(label for label, *_ in runs)])


def confusion(matrix: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Plot counts of true class (rows) by predicted class (columns), coloured by share of the true class.

    Args:
        matrix: counts, shape (classes, classes).
        classes: their names.
        path: the PNG to write.
    """
    classes, count = [_words(name, 30) for name in classes], len(classes)
    side = min(max(3.6, 1.6 + 0.48 * count), 14.0)
    figure = _figure(side + 1.4, side)
    axes = figure.add_subplot()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(np.where(matrix > 0, share, np.nan), cmap="cividis_r", vmin=0, vmax=1)
    cell = 72 * (side - 1.6) / count  # points
    size = min(8.0, 1.4 * cell / len(f"{matrix.max():,}"))
    for true, said in np.argwhere(matrix) if count <= COUNTED else ():
        colour = "white" if share[true, said] > 0.5 else "black"
        axes.text(said, true, f"{matrix[true, said]:,}", ha="center", va="center", fontsize=size, color=colour)
    if count <= NAMED:
        size = min(10.0, 0.8 * cell)
        axes.set_xticks(range(count), classes, fontsize=size, rotation=90 if max(map(len, classes)) > 3 else 0)
        axes.set_yticks(range(count), classes, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true")
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.85, format=PercentFormatter(1.0))
    _save(figure, path, classes)


def sheet(
    pictures: Sequence[np.ndarray] | np.ndarray,
    captions: Sequence[str],
    path: Path,
    title: str = "",
    columns: int = 8,
    side: float = 1.25,
) -> None:
    """Draw pictures in rows with a caption under each.

    Args:
        pictures: uint8, each of shape (height, width), (height, width, 1) or (height, width, 3).
        captions: one per picture; may have several lines.
        path: the PNG to write.
        title: above all.
        columns: pictures in a row.
        side: of one picture, in inches.
    """
    columns = max(1, min(columns, len(pictures)))
    rows = max(1, -(-len(pictures) // columns))
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    tallest = min(max((picture.shape[0] / picture.shape[1] for picture in pictures), default=1.0), 2.0)
    box = side - 0.1  # inches, as all that follows
    top, row = 0.4 if title else 0.1, box * tallest + 0.14 * lines + 0.12
    width, height = max(side * columns, 4.0), top + row * rows
    figure = _figure(width, height)
    figure.set_layout_engine("none")
    # One axes for all: an axes of its own for each picture takes five times as long.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.text(width / 2, 0.1, title, fontsize=10, ha="center", va="top")
    left = (width - side * columns) / 2
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = left + side * (i % columns + 0.5), top + row * (i // columns)
        tall, wide = picture.shape[0], picture.shape[1]
        scale = min(box / wide, box * tallest / tall)
        place = (x - wide * scale / 2, x + wide * scale / 2, y + tall * scale, y)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=place, aspect="auto")
        axes.text(x, y + tall * scale + 0.04, _words(caption), fontsize=8, ha="center", va="top")
    axes.set(xlim=(0, width), ylim=(height, 0))
    if not len(pictures):
        axes.text(width / 2, height / 2, "none", ha="center")
    _save(figure, path, captions)
