"""Draws what benchmarks recorded as charts for docs/performance.md. Each carries the sha256 of the file it shows."""

import hashlib
import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

DOCS = Path(__file__).resolve().parents[1] / "docs"
QUIET = {"svg.hashsalt": "keraskit", "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False}
BLUE, GREY = "#1f5fa8", "#9aa4b0"


def bars(axes: Axes, values: dict[str, float], form: str, ours: Callable[[str], bool]) -> None:
    """A bar for each name, with its value; ours stand out."""
    names = list(values)[::-1]
    drawn = axes.barh(names, [values[name] for name in names], color=[BLUE if ours(n) else GREY for n in names])
    axes.bar_label(drawn, [form.format(values[name]) for name in names], padding=3)
    axes.margins(x=0.12)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def speed(record: dict[str, Any], axes: Axes) -> None:
    """How many times as fast as the tutorial's way a step of each recipe is."""
    ratios = {name: row["document / keraskit"] for name, row in record["recipes"].items()}
    bars(axes, ratios, "{:.1f}", lambda _: True)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_title("a training step: times as fast as the tutorial's way (line: as fast)", fontsize=10)


def learning(record: dict[str, Any], axes: Axes) -> None:
    """Validation error by epoch; on a scale of powers, where small errors can be told apart."""
    for name, row in record.items():
        for metric, values in row["validation"].items():
            if name.startswith("cats_dogs") or metric == "val_output2_accuracy":  # of another task
                continue
            axes.plot(range(1, len(values) + 1), [100 * (1 - value) for value in values], ".-", label=name)
    axes.set_yscale("log")
    axes.set_yticks([1, 2, 5, 10, 20, 50], ["1%", "2%", "5%", "10%", "20%", "50%"])
    axes.minorticks_off()
    axes.set_xticks(range(2, 21, 2))
    axes.set_xlabel("epoch")
    axes.set_title("validation error: examples that are wrong", fontsize=10)
    axes.legend(fontsize=8, frameon=False)


def augmentation(record: dict[str, Any], axes: Axes) -> None:
    """Pictures a second by each way, at 150x150."""
    rates = {name: rate for name, rate in record["pictures_per_second"].items() if not name.startswith("MNIST")}
    bars(axes, rates, "{:,.0f}", lambda name: name.startswith("keraskit"))
    axes.set_title("the tutorial's augmentation at 150x150: pictures a second", fontsize=10)


def pytorch(record: dict[str, Any], axes: Axes) -> None:
    """How long a step takes in PyTorch, of keraskit's."""
    ways = {"": "PyTorch / keraskit", ", at its fastest": "PyTorch at its fastest / keraskit"}
    ratios = {f"{name}{words}": row[key] for name, row in record["recipes"].items() for words, key in ways.items()}
    bars(axes, ratios, "{:.1f}", lambda name: "fastest" in name)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_title("a training step in PyTorch: times as long as keraskit's (line: as long)", fontsize=10)


def sooner(record: dict[str, Any], axes: Axes) -> None:
    """Seconds to a validation accuracy, by recipe and way."""
    shown = {"document": "the tutorial's way"}
    medians = {
        f"{name}, {shown.get(way, way)}": statistics.median(each or math.inf for each in seconds)  # some were stopped
        for name, row in record["recipes"].items()
        for way, seconds in row["seconds"].items()
    }
    medians = {name: seconds for name, seconds in medians.items() if math.isfinite(seconds)}
    bars(axes, medians, "{:,.0f}", lambda name: name.endswith("keraskit"))
    axes.set_xscale("log")
    axes.set_title("seconds of training to the same validation accuracy (logarithmic)", fontsize=10)


CHARTS = {"speed": ("speed.json", speed), "learning": ("results.json", learning)}
CHARTS |= {"augmentation": ("augmentation.json", augmentation), "pytorch": ("pytorch.json", pytorch)}
CHARTS |= {"sooner": ("sooner.json", sooner)} if (DOCS / "sooner.json").exists() else {}


def digest(name: str) -> str:
    """Of the file that a chart shows."""
    return hashlib.sha256((DOCS / CHARTS[name][0]).read_bytes()).hexdigest()


def draw(name: str) -> None:
    """Write docs/charts/NAME.svg."""
    source, plot = CHARTS[name]
    with matplotlib.rc_context(QUIET):
        figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
        plot(json.loads((DOCS / source).read_text("utf-8")), axes)
        (DOCS / "charts").mkdir(exist_ok=True)
        about = {"Date": None, "Description": f"{source} {digest(name)}"}
        figure.savefig(DOCS / "charts" / f"{name}.svg", metadata=about)
        plt.close(figure)


if __name__ == "__main__":
    for each in CHARTS:
        draw(each)
