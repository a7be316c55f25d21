"""Writes report.html, one page that opens without network, from a run folder's files alone."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from keraskit.recipe import BEYOND
from keraskit.runs import figures, history, manifest, metrics, plots, predictions, templates
from keraskit.runs.folder import REPORT, RunFolder
from keraskit.runs.predictions import SplitPredictions

LISTED = 40  # names of classes
TABLE = 20  # classes at most whose confusion is a table; of more, the pairs that are confused most
PAIRS = 12


def write_report(folder: RunFolder) -> None:
    """Write the page, with every sheet of pictures that lies in the folder. What is missing there is left out."""
    run = manifest.read(folder, "recipe", "parameters", "config.epochs", "choices", "data", "hardware")
    rows, test = folder.read_history(), predictions.read(folder)
    graph = _found(folder, "architecture.svg")
    page = templates.render(
        "report.html",
        run=run,
        cited=_cited(run),
        number=history.number,
        banner=_banner(run),
        headline=_headline(run, test),
        figures=_figures(run),
        examples=_examples(run),
        history=rows,
        curves=_curves(rows, run),
        answers=_answers(run, test),
        sheets=_sheets(folder),
        graph=image(graph, "The graph of layers") if graph else None,
        model_text=_found(folder, "summary.txt").decode("utf-8", "replace"),
        manifest_text=json.dumps(run, indent=2, ensure_ascii=False),
    )
    folder.write_text(REPORT, page)


def training_time(seconds: dict[str, float]) -> str:
    """Of the seconds of a run's stages, those of training and all."""
    return f"{history.number(seconds['fit'], 0)} s of {history.number(sum(seconds.values()), 0)} s in all"


def _cited(run: dict[str, Any]) -> str:
    """Where in the document the recipe's model stands; of a recipe of one's own, its file."""
    if section := run.get("section"):
        return f"document, section{'s' if ',' in section else ''} {section}"
    return Path(run["source"]).name if run.get("source") else BEYOND


def _banner(run: dict[str, Any]) -> str:
    """Why this is no result; empty for one."""
    config = run["config"]
    if run.get("status") != "finished":
        return f"Not a result: this run is {run.get('status') or 'not finished'}."
    if config.get("quick"):
        return "Not a result: a quick run shows that everything works, not what the recipe reaches."
    if config.get("limit"):
        return f"Not the recipe's result: at most {config['limit']:,} examples of each split were used."
    return ""


def _headline(run: dict[str, Any], test: SplitPredictions | None) -> dict[str, str]:
    """The metric that counts, its 95 % interval and the majority baseline."""
    known = _known(run, "test")
    name = next((n for n in known if n.endswith("accuracy")), next((n for n in known if n != "loss"), ""))
    if not name:
        return {}
    found = {"name": f"test {name.replace('_', ' ')}", "value": history.number(known[name])}
    labels = None if test is None else test.labels
    if history.counts_examples(name, run) and labels is not None and 0 <= known[name] <= 1:
        low, high = metrics.interval(round(known[name] * len(labels)), len(labels))
        found["interval"] = f"95% interval {low:.3f} to {high:.3f}, of {len(labels):,} examples"
        found["chance"] = f"Always naming the most frequent class would give {metrics.chance(labels):.3f}."
    return found


def _figures(run: dict[str, Any]) -> list[tuple[str, str]]:
    """Metrics, best epoch, parameters and time, as they stand below the headline."""
    test = _known(run, "test")
    if run.get("balanced_accuracy") is not None:
        test["balanced_accuracy"] = run["balanced_accuracy"]
    ordered = sorted(test, key=lambda name: name == "loss")
    found = [(f"test {name.replace('_', ' ')}", history.number(test[name])) for name in ordered]
    if run.get("best_epoch"):
        found.append(("best epoch", f"{run['best_epoch']} of {run['config']['epochs']}"))
    found.append(("parameters", f"{run['parameters']:,}"))
    if "fit" in (timings := _known(run, "timings")):
        found.append(("training", training_time(timings)))
    return found


def _known(run: dict[str, Any], name: str) -> dict[str, float]:
    return {key: value for key, value in (run.get(name) or {}).items() if value is not None}


def _examples(run: dict[str, Any]) -> str:
    """The data: how many examples of what."""
    classes = run.get("classes") or []
    used = (run["data"].get("used") or {}).items()
    counts = ", ".join(f"{count:,} {'training' if split == 'train' else split}" for split, count in used)
    names = ", ".join(classes[:LISTED]) + (f" and {len(classes) - LISTED:,} more" if len(classes) > LISTED else "")
    of_classes = f" of {len(classes):,} classes: {names}" if classes else ""
    return f"{run['data'].get('name')}: {counts} examples{of_classes}."


def _curves(rows: list[dict[str, float]], run: dict[str, Any]) -> Markup | None:
    if not rows:
        return None
    last = ", ".join(f"{name} {rows[-1][name]:.3f}" for name in rows[-1] if name not in {"epoch", "seconds"})
    described = f"Learning curves of {len(rows)} epochs. In the last one: {last}."
    return image(plots.as_svg(plots.curves_figure(rows, run.get("best_epoch") or len(rows))), described)


def _answers(run: dict[str, Any], test: SplitPredictions | None) -> dict[str, Any]:
    """What the test predictions tell: by class and how sure, or how far off."""
    known = test.of_classes(run) if test else None
    if not test or not known:
        return _values(run, test) if test and test.labels is None and run.get("regression") else {}
    classes, (labels, probabilities) = run["classes"], known
    counts = metrics.confusion(labels, probabilities.argmax(axis=1), len(classes))
    right = int(np.trace(counts))
    found: dict[str, Any] = {"right": right, "mistakes": len(labels) - right}
    table = metrics.by_class(counts)
    columns = [[f"{value:.3f}" for value in table[name]] for name in ("precision", "recall", "f1")]
    cells = zip(*columns, (f"{count:,}" for count in table["support"]), strict=True)
    found["by_class"] = list(zip(classes, cells, strict=True))[: 5 * LISTED]
    accuracy, reached = right / len(labels), _known(run, "test")
    metric = reached.get(f"{run.get('class_output')}_accuracy", reached.get("accuracy", accuracy))
    if abs(metric - accuracy) > 0.5 / len(labels):
        found["apart"] = f"That is {accuracy:.4f}; the metric called accuracy, as it was compiled, says {metric:.4f}."
    if len(classes) <= TABLE:
        share = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))  # so that few are seen, too
        rows = (list(zip(*row, strict=True)) for row in zip(counts.tolist(), share.tolist(), strict=True))
        found["confusion"] = list(zip(classes, rows, strict=True))
    else:
        pairs = metrics.confused(counts, PAIRS)
        found["pairs"] = [(classes[i], classes[j], count) for i, j, count in pairs]
    sure = metrics.calibration(probabilities, labels)
    described = f"Reliability diagram: expected calibration error {sure.error:.3f}."
    return found | {"sure": str(sure), "reliability": image(plots.as_svg(plots.reliability_figure(sure)), described)}


def _values(run: dict[str, Any], test: SplitPredictions) -> dict[str, Any]:
    """Errors of a regression, and predicted against true values of its first output, where that is one an example."""
    found: dict[str, Any] = {"off": " ".join(run["regression"])}
    for _, targets, predicted in [*test.of_values()][:1]:
        if targets.shape[1] == 1:
            described = f"Predicted against true values of {len(targets):,} test examples."
            found["scatter"] = image(plots.as_svg(plots.scatter_figure(targets[:, 0], predicted[:, 0])), described)
    return found


def _sheets(folder: RunFolder) -> dict[str, Any]:
    """Title, and of each picture its element and caption, by sheet."""
    return {
        name: {
            "title": sheet.title,
            "pictures": [
                (image(data, f"{name.removesuffix('s')} {i}"), caption.split("\n"))
                for i, (data, caption) in enumerate(zip(sheet.pictures, sheet.captions, strict=True), 1)
            ],
        }
        for name, sheet in figures.read(folder).items()
    }


def image(data: bytes, text: str) -> Markup:
    """An `img` element that holds a PNG, a JPEG or an SVG itself. `text` is for those who cannot see it."""
    kind = {b"\x89": "png", b"<": "svg+xml"}.get(data[:1], "jpeg")
    encoded = base64.b64encode(data).decode()
    return Markup('<img alt="{}" src="data:image/{};base64,{}">').format(text.replace("\n", ", "), kind, encoded)


def _found(folder: RunFolder, name: str) -> bytes:
    """The bytes of a file, or none where it is missing."""
    try:
        return folder.read_bytes(name)
    except FileNotFoundError:
        return b""
