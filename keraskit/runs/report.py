"""Write report.html, a page that works offline, from the files of a run folder only."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from keraskit.recipe import BEYOND
from keraskit.runs import figures, manifest, metrics, plots, predictions
from keraskit.runs.folder import REPORT, RunFolder
from keraskit.runs.predictions import SplitPredictions
from keraskit.text import duration

LISTED = 200  # maximum number of classes listed
TABLE = 20  # classes up to which confusion is a table; else the most confused pairs are listed
PAIRS = 12


def write_report(folder: RunFolder) -> None:
    """Write the page, with every sheet of pictures in the folder. Missing files are left out."""
    run = manifest.read(folder, "recipe", "parameters", "config.epochs", "choices", "data", "hardware")
    for key in ("test", "timings"):
        run[key] = {name: value for name, value in (run.get(key) or {}).items() if value is not None}
    rows, test = folder.read_history(), predictions.read(folder)
    graph = _found(folder, "architecture.svg")
    headline, interval = _headline(run, test)
    page = render(
        "report.html",
        run=run,
        beyond=BEYOND,
        number=metrics.number,
        headline=headline,
        interval=interval,
        labels=test.labels if test else None,
        chance=metrics.chance,
        time=training_time,
        history=rows,
        curves=_curves(rows, run) if rows else None,
        answers=_answers(run, test) if test else {},
        sheets=figures.read(folder),
        image=image,
        graph=image(graph, "The graph of layers") if graph else None,
        model_text=_found(folder, "summary.txt").decode("utf-8", "replace"),
        manifest_text=json.dumps(run, indent=2, ensure_ascii=False),
    )
    folder.write_text(REPORT, page)


def render(name: str, package: str = "keraskit.runs", **values: Any) -> str:
    """Render a package's Jinja template; values are escaped in HTML only."""
    escaped = select_autoescape(["html.jinja"], default=False)
    environment = Environment(loader=PackageLoader(package, "."), autoescape=escaped, trim_blocks=True)
    return environment.get_template(f"{name}.jinja").render(**values)


def training_time(seconds: dict[str, float]) -> str:
    """Format the seconds of training, and of all stages of a run."""
    return f"{duration(seconds['fit'])} of {duration(sum(seconds.values()))} in all"


def image(data: bytes, text: str) -> Markup:
    """Return an `img` element with an embedded PNG, JPEG or SVG, and alternative `text`."""
    subtype = {b"\x89": "png", b"<": "svg+xml"}.get(data[:1], "jpeg")
    encoded = base64.b64encode(data).decode()
    return Markup('<img alt="{}" src="data:image/{};base64,{}">').format(text.replace("\n", ", "), subtype, encoded)


def _found(folder: RunFolder, name: str) -> bytes:
    """Read a file; empty if it is missing."""
    try:
        return folder.read_bytes(name)
    except FileNotFoundError:
        return b""


def _headline(run: dict[str, Any], test: SplitPredictions | None) -> tuple[str, tuple[float, float] | None]:
    """Return the headline metric, and its 95 % interval if it has one."""
    scores = run["test"]
    name = next((n for n in scores if n.endswith("accuracy")), next((n for n in scores if n != "loss"), ""))
    if not metrics.counts_examples(name, run) or test is None or test.labels is None or not 0 <= scores[name] <= 1:
        return name, None
    return name, metrics.interval(round(scores[name] * len(test.labels)), len(test.labels))


def _curves(rows: metrics.Rows, run: dict[str, Any]) -> Markup:
    last = ", ".join(f"{name} {rows[-1][name]:.3f}" for name in rows[-1] if name not in {"epoch", "seconds"})
    described = f"Learning curves of {len(rows)} epochs. In the last one: {last}."
    return image(plots.as_svg(plots.curves(rows, run.get("best_epoch") or len(rows))), described)


def _answers(run: dict[str, Any], test: SplitPredictions) -> dict[str, Any]:
    """Return classification metrics and calibration of the test split, or regression errors."""
    if not (classified := test.of_classes(run)):
        return _values(run, test) if test.labels is None and run.get("regression") else {}
    classes, (labels, probabilities) = run["classes"], classified
    counts = metrics.confusion(labels, probabilities.argmax(axis=1), len(classes))
    table, calibration = metrics.by_class(counts), metrics.calibration(probabilities, labels)
    columns = [[f"{value:.3f}" for value in table[name]] for name in ("precision", "recall", "f1")]
    cells = zip(*columns, (f"{count:,}" for count in table["support"]), strict=True)
    share = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))  # so that small counts are visible
    rows = (list(zip(*row, strict=True)) for row in zip(counts.tolist(), share.tolist(), strict=True))
    few, pairs = len(classes) <= TABLE, metrics.confused(counts, PAIRS)
    described = f"Reliability diagram: expected calibration error {calibration.error:.3f}."
    return {
        "right": int(np.trace(counts)),
        "mistakes": int(counts.sum() - np.trace(counts)),
        "by_class": list(zip(classes, cells, strict=True))[:LISTED],
        "confusion": list(zip(classes, rows, strict=True)) if few else [],
        "pairs": [] if few else [(classes[i], classes[j], count) for i, j, count in pairs],
        "sure": str(calibration),
        "reliability": image(plots.as_svg(plots.reliability(calibration)), described),
    }


def _values(run: dict[str, Any], test: SplitPredictions) -> dict[str, Any]:
    """Return regression errors, and a scatter plot of the first output if it has one value per example."""
    found: dict[str, Any] = {"off": " ".join(run["regression"])}
    for _, targets, predicted in [*test.of_values()][:1]:
        if targets.shape[1] == 1:
            described = f"Predicted against true values of {len(targets):,} test examples."
            found["scatter"] = image(plots.as_svg(plots.scatter(targets[:, 0], predicted[:, 0])), described)
    return found
