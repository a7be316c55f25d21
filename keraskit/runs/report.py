"""Write report.html, a page that works offline, from the files of a run folder only, and the sheets that it shows."""

import base64
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup
from PIL import Image

from keraskit import files
from keraskit.datasets.array_files import read_arrays, reading
from keraskit.datasets.splitting import LEAK
from keraskit.errors import UserError, duration
from keraskit.registry import BEYOND
from keraskit.runs import metrics, plots, predictions
from keraskit.runs.folder import REPORT, RunFolder, reason, resume_command
from keraskit.runs.predictions import SplitPredictions

TABLE = 20  # classes up to which confusion is a table; else the most confused pairs are listed
PAIRS = 12
PICTURES = "pictures.npz"  # of a run; tools add NAME.pictures.npz; the report shows them all
TYPES = {"*/captions": "U1", "*/title": "U1", "*": "u1"}  # for `read_arrays`; pictures are bytes of PNG and JPEG
SMALL, LARGEST = 64, 160  # pixels per side: pictures up to SMALL are stored unchanged, most larger ones as thumbnails
WHOLE = 8  # mistakes, and correct predictions, stored in full size for `explain`
TEMPLATES = Environment(
    loader=PackageLoader("keraskit", "."), autoescape=select_autoescape(["html.jinja"], default=False), trim_blocks=True
)


def write_report(folder: RunFolder, **known: str) -> None:
    """Write the page, with every sheet of pictures in the folder. Missing files are left out; `known` facts prevail."""
    run = folder.read_manifest("recipe", "parameters", "config.epochs", "choices", "data", "hardware") | known
    for key in ("test", "timings"):
        run[key] = {name: value for name, value in (run.get(key) or {}).items() if value is not None}
    rows, test = folder.read_history(), predictions.read(folder)
    graph = folder.read_bytes("architecture.svg")
    page = render(
        "runs/report.html",
        run=run,
        beyond=BEYOND,
        number=metrics.number,
        headline=metrics.headline(run["test"]),
        in_words=in_words(run, test),
        reason=reason(run),
        resume=resume_command(folder.path, run),
        time=training_time,
        history=rows,
        curves=[_curve(rows, run, name) for name in plots.measured(rows)] if rows else [],
        answers=_answers(folder, run, test) if test else {},
        sheets=read_sheets(folder),
        image=image,
        graph=image(graph.replace(b'fill="white"', b'fill="none"', 1), "The graph of layers") if graph else None,
        graph_file=_uri(graph),
        model_text=folder.read_bytes("summary.txt").decode("utf-8", "replace"),
        manifest_text=json.dumps(run, indent=2, ensure_ascii=False),
    )
    folder.write_text(REPORT, page)


def in_words(run: dict[str, Any], test: SplitPredictions | None) -> tuple[str, bool]:
    """Say in a sentence what the result means, and what that rests on, to readers outside the field; '' if unknown.

    Returns also whether the result is surely better than an answer that does not look at the example.
    """
    means, expect = run.get("training_means") or {}, "on others like them, expect"
    means = {name: mean for name, mean in means.items() if mean is not None}
    if test and (classified := test.of_classes(run)):
        labels, probabilities = classified
        right, chance = int((probabilities.argmax(axis=1) == labels).sum()), metrics.chance(labels)
        low, high = metrics.interval(right, len(labels))
        said = f"it names {right / len(labels):.1%} correctly ({expect} {low:.1%} to {high:.1%})"
        apart = ", and these examples cannot tell the two apart" if low <= chance <= high else ""
        usual, better = f"giving the most frequent answer would be right for {chance:.1%}{apart}", low > chance
    elif test and (found := test.of_labels(run)):
        labels, hits = found[0], (found[1] > 0.5) == found[0]
        chance = np.maximum(labels.mean(axis=0), 1 - labels.mean(axis=0)).mean()
        said = f"it decides {hits.mean():.1%} of the labels correctly (all of them for {hits.all(axis=1).mean():.1%})"
        usual, better = f"giving each label's usual answer would decide {chance:.1%} correctly", hits.mean() > chance
    elif test and (values := [each for each in test.of_values() if each[0] in means]):
        name, labels, predicted = values[0]
        interval, off = metrics.mean_interval(np.abs(predicted - labels)[:, 0]), np.abs(means[name] - labels).mean()
        error, least, most, by_mean = (metrics.significant(each, 3) for each in (*interval, off))
        said = f"{name or 'it'} is off by {error} on average ({expect} {least} to {most})"
        usual, better = f"answering the mean of the training examples would be off by {by_mean}", interval[2] < off
    else:
        return "", False
    seen = any(LEAK in note for note in (run.get("data") or {}).get("notes") or ())
    unseen = "" if seen else " that it had never seen"
    return f"On {len(labels):,} examples{unseen}, {said}, where always {usual}.", better and not seen


def pack(folder: RunFolder, sheets: Mapping[str, plots.Sheet], file: str = PICTURES) -> None:
    """Encode the pictures of all sheets and write them to one file; `file` must end in `PICTURES`."""
    arrays: dict[str, Any] = {}
    for name, sheet in sheets.items():
        arrays[f"{name}/captions"] = np.array(sheet.captions, dtype=str)
        arrays[f"{name}/title"] = np.array([sheet.title])
        for i, picture in enumerate(sheet.pictures):
            largest = 0 if name in ("mistakes", "right") and i < WHOLE else LARGEST
            arrays[f"{name}/{i}"] = np.frombuffer(encoded(np.asarray(picture), largest), np.uint8)
    with folder.atomic(file) as path, path.open("wb") as opened:
        np.savez(opened, **arrays)


def read_sheets(folder: RunFolder) -> dict[str, plots.Sheet]:
    """Read all sheets of a folder by name, pictures encoded. Raises UserError if a file is damaged."""
    sheets = {}
    for place in sorted(folder.path.glob(f"*{PICTURES}"), key=lambda path: path.name != PICTURES):
        path = folder.file(place.name, files.MOST_UNPACKED)
        arrays = read_arrays(path, TYPES, files.MOST_UNPACKED)
        with reading(path):
            for name in dict.fromkeys(each.partition("/")[0] for each in arrays):
                captions, title = arrays[f"{name}/captions"].tolist(), arrays[f"{name}/title"].item(0)
                pictures = [arrays[f"{name}/{i}"].tobytes() for i in range(len(captions))]
                sheets[name] = plots.Sheet(pictures, captions, title)
    return sheets


def encoded(picture: np.ndarray, largest: int) -> bytes:
    """Encode as PNG if small or `largest` is 0, else as JPEG with at most `largest` pixels per side."""
    image, file = Image.fromarray(picture.squeeze(-1) if picture.shape[2:] == (1,) else picture), io.BytesIO()
    if not largest or max(image.size) <= SMALL:
        image.save(file, "PNG", optimize=True)
    else:
        image.thumbnail((largest, largest))
        image.save(file, "JPEG", quality=88)
    return file.getvalue()


def render(name: str, **values: Any) -> str:
    """Render a Jinja template, by its path without suffix; values are escaped in HTML only."""
    return TEMPLATES.get_template(f"{name}.jinja").render(**values)


def training_time(seconds: dict[str, float]) -> str:
    """Format the seconds of training, and of all stages of a run."""
    return f"{duration(seconds['fit'])} of {duration(sum(seconds.values()))} in all"


def image(data: bytes, text: str) -> Markup:
    """Return an `img` element with an embedded PNG, JPEG or SVG, and alternative `text`."""
    return Markup('<img alt="{}" src="{}">').format(text.replace("\n", ", "), _uri(data))


def _uri(data: bytes) -> str:
    subtype = {b"\x89": "png", b"<": "svg+xml"}.get(data[:1], "jpeg")
    return f"data:image/{subtype};base64,{base64.b64encode(data).decode()}"


def _curve(rows: metrics.Rows, run: dict[str, Any], name: str) -> Markup:
    last = " and ".join(f"{each} {rows[-1][each]:.3f}" for each in (name, f"val_{name}") if each in rows[-1])
    described = f"Learning curve of {len(rows)} epochs. In the last one: {last}."
    return image(plots.as_svg(plots.curves(rows, run.get("best_epoch") or 0, [name])), described)


def _answers(folder: RunFolder, run: dict[str, Any], test: SplitPredictions) -> dict[str, Any]:
    """Return classification metrics and calibration of the test split, metrics of its labels, or regression errors."""
    if not (classified := test.of_classes(run)):
        return _labels(folder, run, test) | _values(run, test)
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
        "chance": metrics.chance(labels),
        "right": int(np.trace(counts)),
        "mistakes": int(counts.sum() - np.trace(counts)),
        "head": ["class", "precision", "recall", "F1", "examples"],
        "by_class": list(zip(classes, cells, strict=True)),
        "confusion": list(zip(classes, rows, strict=True)) if few else [],
        "pairs": [] if few else [(classes[i], (classes[j], f"{count:,}")) for i, j, count in pairs],
        "sure": str(calibration),
        "reliability": image(plots.as_svg(plots.reliability(calibration)), described),
    }


def _labels(folder: RunFolder, run: dict[str, Any], test: SplitPredictions) -> dict[str, Any]:
    """Return a row for each label of several, at the threshold with the highest F1 in validation; {} without labels."""
    validation = predictions.read(folder, "validation")
    if not (found := test.of_labels(run)) or not validation or not (held_out := validation.of_labels(run)):
        return {}
    if held_out[0].shape[1] != found[0].shape[1]:
        raise UserError(f"{folder.path / predictions.FILE} has other labels in validation than in test.")
    (targets, scores), lines = found, list[tuple[str, list[str]]]()
    thresholds = [metrics.by_score(*each)[0] for each in zip(held_out[0].T, held_out[1].T, strict=True)]
    for truth, score, limit in zip(targets.T, scores.T, thresholds, strict=True):
        table = metrics.by_class(metrics.confusion(truth, (score >= limit).astype(int), 2))
        of_yes = (table[name][1] for name in ("precision", "recall", "f1"))
        cells = limit, truth.mean(), *of_yes, metrics.by_score(truth, score)[1]
        lines.append((f"label\N{NO-BREAK SPACE}{len(lines) + 1}", [f"{value:.3f}" for value in cells]))
    right = [decided == targets for decided in (scores >= thresholds, scores > 0.5)]
    return {
        "head": ["label", "threshold", "base rate", "precision", "recall", "F1", "average precision"],
        "by_class": lines,
        "exact": [float(each.all(axis=1).mean()) for each in right],
        "single": [float(each.mean()) for each in right],
    }


def _values(run: dict[str, Any], test: SplitPredictions) -> dict[str, Any]:
    """Return regression errors, with a chart of the first output if it has one value per example."""
    found: dict[str, Any] = {"off": " ".join(run.get("regression") or [])} if test.labels is None else {}
    for name, targets, predicted in [*test.of_values()][:1]:
        if targets.shape[1] == 1:
            drawn, described = plots.scatter(targets[:, 0], predicted[:, 0]), f"Predicted against true values {name}"
            found["charts"] = [image(plots.as_svg(drawn), f"{described.strip()}, of {len(targets):,} test examples.")]
    return found
