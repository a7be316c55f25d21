"""Draw curves, confusion matrices and sheets of pictures from plain arrays."""

import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from rich.console import Console
from rich.text import Text as Words

from keraskit.errors import printable, shortened
from keraskit.files import atomic
from keraskit.runs import metrics

# Okabe and Ito's palette, distinguishable with any colour vision; the first three as dark as text on paper has to be.
TRAIN, VALIDATION, MARK = "#0072b2", "#b84f00", "#007a59"
RUNS = (TRAIN, VALIDATION, MARK, "#CC79A7", "#E69F00", "#000000")
LINES = ("-", "--", "-.", (0, (1, 1)))  # for the first six runs, the next six, and so on
FAMILIES = (  # for glyphs that matplotlib's default font lacks
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Microsoft YaHei", "SimHei"),
    *("PingFang SC", "Hiragino Sans", "Yu Gothic", "Malgun Gothic", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Noto Sans Devanagari", "Nirmala UI", "Noto Sans Thai", "Leelawadee UI", "Noto Emoji", "Segoe UI Symbol"),
)
MOST = 1e30  # largest value drawn
CURVES = 12  # maximum number of metrics drawn; each value of a vector is one
COUNTED = 40  # classes up to which counts are written, at 2 ms each
WIDTH, HEIGHT = 3.4, 2.6  # inches of a chart, as wide as a phone
FITS = 14  # characters of a caption in an inch


class Sheet(NamedTuple):
    """Pictures with captions of one or more lines, and a title."""

    pictures: Any  # uint8, each of shape (height, width), (height, width, 1) or (height, width, 3); or encoded bytes
    captions: Sequence[str]
    title: str = ""
    columns: int = 8  # pictures in a row


def save(figure: Figure, path: Path, dpi: int = 120) -> None:
    """Write a picture file, with fonts that cover its text; matplotlib warns of missing glyphs."""
    _set_fonts(figure)
    with atomic(path) as beside:
        figure.savefig(beside, dpi=dpi)


def as_svg(figure: Figure) -> bytes:
    """Render as SVG, transparent."""
    _set_fonts(figure)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "keraskit"}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return file.getvalue().encode()


def _set_fonts(figure: Figure) -> None:
    """Add the installed fonts of FAMILIES to texts in other letters; matplotlib falls back glyph by glyph."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # any weight of a family will do
    installed = set(font_manager.get_font_names())
    for text in figure.findobj(Text):
        if not text.get_text().isascii():
            text.set_fontfamily([*text.get_fontfamily(), *(name for name in FAMILIES if name in installed)])


def _figure(width: float, height: float) -> Figure:
    """Create a figure, size in inches: without pyplot, so no global state and no window."""
    return Figure(figsize=(width, height), dpi=120, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))


def _axes(figure: Figure, xlabel: str, ylabel: str, *place: int) -> Axes:
    """Add axes with a grid; `place` as in `add_subplot`."""
    axes = figure.add_subplot(*place)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.3)
    axes.tick_params(labelsize=9)
    axes.yaxis.set_major_formatter("{x:g}")
    if xlabel == "epoch":
        axes.locator_params("x", integer=True)
    return axes


def _wrapped(text: str, most: int) -> str:
    """Wrap between words, cut the middle of words of more than `most` cells, and escape TeX and control characters."""
    cut = (" ".join(shortened(word, most) for word in printable(line).split(" ")) for line in text.split("\n"))
    lines = Words("\n".join(cut)).wrap(Console(), most)
    return "\n".join(line.plain.rstrip() for line in lines[:8]).replace("$", r"\$")


def _plot(axes: Axes, rows: metrics.Rows, name: str, **style: Any) -> float:
    """Plot a metric by epoch, with gaps for values too large to draw; few epochs get markers. Return the last one."""
    values = np.array([row.get(name, np.nan) for row in rows])
    values = np.where(np.abs(values) < MOST, values, np.nan)
    epochs = range(1, len(rows) + 1)
    axes.plot(epochs, values, marker="o" if len(rows) <= 20 else "", markersize=3, **style)
    if len(rows) == 1:
        axes.set_xticks([1])  # no fractions of an epoch
    return float(next((value for value in values[::-1] if np.isfinite(value)), np.nan))


def measured(rows: metrics.Rows) -> list[str]:
    """Return the metrics of a history that get curves."""
    return [n for n in rows[0] if not n.startswith("val_") and n not in {"epoch", "seconds"}][:CURVES]


def curves(rows: metrics.Rows, best_epoch: int, names: Sequence[str] = ()) -> Figure:
    """Plot metrics of a history, all by default, each with training and validation; mark `best_epoch`, if from 1."""
    names = names or measured(rows)
    columns = min(len(names), 3)
    lines = -(-len(names) // columns)
    figure = _figure(WIDTH * columns, HEIGHT * lines)
    for i, name in enumerate(names, 1):
        axes = _axes(figure, "epoch", "", lines, columns, i)
        ends = [("training", _plot(axes, rows, name, color=TRAIN), TRAIN)]
        if (held_out := f"val_{name}") in rows[0]:
            ends += [("validation", _plot(axes, rows, held_out, color=VALIDATION, linestyle="--"), VALIDATION)]
        _name_ends(axes, ends)
        axes.set_title(_wrapped(name.replace("_", " "), 60), fontsize=10, pad=16)
        if best_epoch:
            axes.axvline(best_epoch, color=MARK, linestyle=":")
            said, side = f"best epoch, {best_epoch}", "left" if best_epoch <= len(rows) / 2 else "right"
            axes.text(best_epoch, 1.02, said, ha=side, color=MARK, fontsize=9, transform=axes.get_xaxis_transform())
    return figure


def _name_ends(axes: Axes, ends: Sequence[tuple[str, float, str]]) -> None:
    """Write a line's name beside its last value, names one below the other where values are close."""
    low, high = axes.get_ylim()
    ends = sorted((each for each in ends if np.isfinite(each[1])), key=lambda each: each[1])
    height, gap = -1.0, 0.1  # as shares of the axes
    for i, (text, value, colour) in enumerate(ends):
        room = gap * (len(ends) - 1 - i)  # for the names above
        height = max(height + gap, min((value - low) / (high - low), 1 - room))
        axes.text(1.02, height, text, color=colour, fontsize=9, va="center", transform=axes.transAxes)


def reliability(found: metrics.Calibration) -> Figure:
    """Plot accuracy against confidence; a calibrated model lies on the diagonal."""
    figure, width = _figure(WIDTH, HEIGHT), 1 / metrics.BINS
    axes = _axes(figure, "probability of the predicted class", "share right")
    axes.bar(found.bins * width, found.accuracy, width, align="edge", color=TRAIN, alpha=0.35, label="share right")
    axes.plot(found.confidence, found.accuracy, "o", color=TRAIN, markersize=4)
    axes.plot([0, 1], [0, 1], ":", color=MARK, label="as sure as right")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    return figure


def scatter(targets: np.ndarray, predictions: np.ndarray) -> Figure:
    """Plot predicted against true values, of at most 2,000 examples. `targets` and `predictions` of shape (n,)."""
    axes = _axes(figure := _figure(WIDTH, HEIGHT), "true value", "predicted value")
    some = np.linspace(0, len(targets) - 1, min(len(targets), 2_000)).astype(int)
    axes.plot(targets[some], predictions[some], ".", color=TRAIN, alpha=0.5, markersize=4)
    ends = [float(f(f(targets), f(predictions))) for f in (min, max)]
    axes.plot(ends, ends, ":", color=MARK, label="predicted as it is")
    axes.legend(fontsize=9, frameon=False)
    return figure


def comparison(runs: Sequence[tuple[str, metrics.Rows, str, float]]) -> Figure:
    """Plot curves of runs (label, history, metric, best value) with their names below; each metric has its own axes."""
    names = list(dict.fromkeys(name for *_, name, _ in runs))
    labels = [_wrapped(f"{label}: {metrics.number(best, 3)} at best", 48) for label, *_, best in runs]
    figure = _figure(WIDTH, (HEIGHT + 0.3) * len(names) + 0.16 * len("\n".join(labels).splitlines()))
    for k, metric in enumerate(names, 1):
        axes = _axes(figure, "epoch", "", len(names), 1, k)
        for i, (_, rows, name, _) in enumerate(runs):
            if name == metric:
                colour, line = RUNS[i % len(RUNS)], LINES[i // len(RUNS) % len(LINES)]
                _plot(axes, rows, name, color=colour, linewidth=0.9, linestyle=":")
                _plot(axes, rows, f"val_{name}", color=colour, linewidth=1.8, linestyle=line, label=labels[i])
        axes.set_title(f"{_wrapped(metric.replace('_', ' '), 40)}, training dotted", fontsize=10)
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(-0.15, -0.2), frameon=False, borderpad=0)
    return figure


def confusion(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """Plot a confusion matrix, shape (classes, classes), coloured by share of the true class."""
    classes, count = [shortened(printable(name), 30).replace("$", r"\$") for name in classes], len(classes)
    side = min(max(3.6, 1.6 + 0.48 * count), 14.0)
    letters = 0.07 * max(map(len, classes))  # inches of the longest name
    figure = _figure(side + 1.4 + letters, side + letters * (letters > 0.3))
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
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.85, format="{x:.0%}")
    return figure


def sheet(shown: Sheet, side: float = 1.25) -> Figure:
    """Draw pictures in rows with a caption under each. `side` is a picture's size in inches."""
    columns = max(1, min(shown.columns, len(shown.pictures)))
    rows = -(-len(shown.pictures) // columns)
    captions = [_wrapped(caption, int(FITS * side)) for caption in shown.captions]
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    highest = max((picture.shape[0] / max(picture.shape[:2]) for picture in shown.pictures), default=1.0)
    box, top, row = side - 0.1, 0.4, (side - 0.1) * highest + 0.14 * lines + 0.1  # inches, like all that follows
    width, height = max(side * columns, 4.0), top + row * rows
    figure = Figure((width, height), dpi=120)
    # One axes for all: one for each picture takes five times as long.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    axes.text(width / 2, 0.1, shown.title, fontsize=10, ha="center", va="top")
    for i, (picture, caption) in enumerate(zip(shown.pictures, captions, strict=True)):
        x, y = (width - side * columns) / 2 + side * (i % columns + 0.5), top + row * (i // columns)
        tall, wide = picture.shape[:2]
        scale = box / max(wide, tall)
        place = (x - wide * scale / 2, x + wide * scale / 2, y + tall * scale, y)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=place, aspect="auto")
        axes.text(x, y + tall * scale + 0.04, caption, fontsize=8, ha="center", va="top")
    return figure
