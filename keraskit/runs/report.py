"""Makes report.html, one page that opens without network, from a run folder's files alone."""

from __future__ import annotations

import base64
import json
import re
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
    """Write the page. What the run did not leave is left out of it."""
    run = manifest.read(folder, "recipe", "parameters", "config.epochs", "choices", "data", "hardware")
    rows = folder.read_history()
    test = predictions.read(folder, "test")
    headline = _headline(run, test)
    page = templates.render(
        "report.html",
        run=run,
        cited=_cited(run),
        number=history.number,
        banner=_banner(run),
        headline=headline,
        figures=[(name, value) for name, value in _figures(run) if name != headline.get("name")],
        examples=_examples(run),
        history=rows,
        curves=_curves(rows, run),
        answers=_answers(run, test),
        sheets=_sheets(folder, run, test),
        graph=_graph(folder),
        model_text=_text(folder, "summary.txt"),
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
    """The figure that counts, with its interval and what chance would have."""
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
    found = [(f"test {name.replace('_', ' ')}", history.number(value)) for name, value in _known(run, "test").items()]
    if run.get("balanced_accuracy") is not None:
        found.append(("test balanced accuracy", history.number(run["balanced_accuracy"])))
    found.sort(key=lambda figure: figure[0] == "test loss")
    if run.get("best_epoch"):
        found.append(("best epoch", f"{run['best_epoch']} of {run['config']['epochs']}"))
    found.append(("parameters", f"{run['parameters']:,}"))
    if "fit" in _known(run, "timings"):
        found.append(("training", training_time(_known(run, "timings"))))
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
    figure = plots.curves_figure(rows, run.get("best_epoch") or len(rows))
    last = ", ".join(f"{name} {rows[-1][name]:.3f}" for name in rows[-1] if name not in {"epoch", "seconds"})
    described = f"Learning curves of {len(rows)} epochs. In the last one: {last}."
    return image(plots.as_svg(figure), described)


def _answers(run: dict[str, Any], test: SplitPredictions | None) -> dict[str, Any]:
    """What the predictions tell: by class and how sure, or how far off."""
    if test is None:
        return {}
    if not (known := test.of_classes(run)):
        return _values(run, test) if test.labels is None else {}
    classes, (labels, probabilities) = run["classes"], known
    counts = metrics.confusion(labels, probabilities.argmax(axis=1), len(classes))
    found: dict[str, Any] = {"by_class": _by_class(classes, counts), "right": int(np.trace(counts))}
    found["mistakes"] = len(labels) - found["right"]
    accuracy, reached = found["right"] / len(labels), _known(run, "test")
    metric = reached.get(f"{run.get('class_output')}_accuracy", reached.get("accuracy", accuracy))
    if abs(metric - accuracy) > 0.5 / len(labels):
        found["apart"] = f"That is {accuracy:.4f}; the metric called accuracy, as it was compiled, says {metric:.4f}."
    if len(classes) <= TABLE:
        share = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))  # so that few are seen, too
        found["confusion"] = [
            (name, list(zip(counts[i].tolist(), share[i].tolist(), strict=True))) for i, name in enumerate(classes)
        ]
    off = counts - np.diag(np.diag(counts))
    often = [np.unravel_index(k, off.shape) for k in np.argsort(-off, axis=None, kind="stable")[:PAIRS]]
    found["pairs"] = [(classes[i], classes[j], int(off[i, j])) for i, j in often if off[i, j] > 1]
    return found | _calibration(labels, probabilities)


def _by_class(classes: list[str], counts: np.ndarray) -> list[tuple[str, list[str]]]:
    table = metrics.by_class(counts)
    rows = zip(classes, *(table[name] for name in ("precision", "recall", "f1", "support")), strict=True)
    return [(name, [f"{p:.3f}", f"{r:.3f}", f"{f:.3f}", f"{n:,}"]) for name, p, r, f, n in rows][: 5 * LISTED]


def _calibration(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    found = metrics.calibration(probabilities, labels)
    described = f"Reliability diagram: expected calibration error {found.error:.3f}."
    return {"sure": str(found), "reliability": image(plots.as_svg(plots.reliability_figure(found)), described)}


def _values(run: dict[str, Any], test: SplitPredictions) -> dict[str, Any]:
    """Of a regression: its errors, and predicted against true values where there is one an example."""
    found: dict[str, Any] = {"off": " ".join(run.get("regression") or [])}
    for _, targets, predicted in list(test.of_values())[:1]:
        if targets.shape[1] == 1:
            drawn = plots.scatter_figure(targets[:, 0], predicted[:, 0])
            described = f"Predicted against true values of {len(targets):,} test examples."
            found["scatter"] = image(plots.as_svg(drawn), described)
    return found if found["off"] else {}


def _sheets(folder: RunFolder, run: dict[str, Any], test: SplitPredictions | None) -> dict[str, Any]:
    """The pictures for the page, by sheet: title, and of each picture its element, caption, and file."""
    sheets: dict[str, Any] = {}
    for name, sheet in (figures.read(folder) | figures.read(folder, figures.EXPLAINED)).items():
        files: list[Path | None] = [None] * len(sheet.pictures)
        root = Path(run["data"].get("path") or "nowhere")
        if name == "mistakes" and test and test.names and (known := test.of_classes(run)) and root.is_dir():
            worst = figures.worst_of(*known)[: len(files)]
            files = [root / test.names[i] for i in worst] if len(worst) == len(files) else files
        items = [
            (
                image(data, f"{name.removesuffix('s')} {i}"),
                caption.split("\n"),
                file.absolute().as_uri() if file else "",
            )
            for i, (data, caption, file) in enumerate(zip(sheet.pictures, sheet.captions, files, strict=True), 1)
        ]
        sheets[name] = {"title": sheet.title, "columns": sheet.columns, "items": items}
    return sheets


def image(data: bytes, text: str) -> Markup:
    """An `img` element that holds a PNG, a JPEG or an SVG itself. `text` is for those who cannot see it."""
    kind = {b"\x89": "png", b"<": "svg+xml"}.get(data[:1], "jpeg")
    encoded = base64.b64encode(data).decode()
    return Markup('<img alt="{}" src="data:image/{};base64,{}">').format(text.replace("\n", ", "), kind, encoded)


def _found(folder: RunFolder, name: str) -> bytes | None:
    """The bytes of a file that may be missing."""
    try:
        return folder.read_bytes(name)
    except FileNotFoundError:
        return None


def _graph(folder: RunFolder) -> Markup | None:
    """The SVG as an image: unlike inline markup, a browser runs no script in it."""
    if (drawn := _found(folder, "architecture.svg")) is None:
        return None
    width = re.search(rb'width="(\d{1,6}(?:\.\d{1,6})?)(pt|px)?"', drawn)
    pixels = min(0.65 * float(width[1]) * (4 / 3 if width[2] == b"pt" else 1), 900) if width else 400
    image = '<img alt="The graph of layers" style="width: {}px" src="data:image/svg+xml;base64,{}">'
    return Markup(image).format(round(pixels), base64.b64encode(drawn).decode())


def _text(folder: RunFolder, name: str) -> str:
    return (_found(folder, name) or b"").decode("utf-8", "replace")
