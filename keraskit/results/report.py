"""Makes report.html, one page that opens without network, from a run folder's files alone."""

from __future__ import annotations

import base64
import functools
import json
from typing import Any

from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup

from keraskit.recipe import BEYOND
from keraskit.results import history, manifest
from keraskit.results.run_folder import RunFolder

REPORT = "report.html"
LISTED = 40  # names of classes


def write_report(folder: RunFolder) -> None:
    """Write the page. Files that the run did not leave are left out of it."""
    run = manifest.read(folder, "recipe", "parameters", "config.epochs", "choices", "data", "hardware")
    html = _page().render(
        run=run,
        cited=_cited(run),
        headline=_headline(run),
        figures=_figures(run),
        examples=_examples(run),
        history=(rows := folder.read_history()),
        overfit=history.overfit(rows),
        number=history.number,
        has=lambda name: (folder.path / name).is_file(),
        picture=lambda name, text: _picture(folder, name, text),
        model_text=_text(folder, "summary.txt"),
        manifest_text=json.dumps(run, indent=2, ensure_ascii=False),
    )
    folder.write_text(REPORT, html)


@functools.cache
def _page() -> Template:
    return Environment(loader=PackageLoader("keraskit.results", "."), autoescape=True).get_template("report.html.jinja")


def _cited(run: dict[str, Any]) -> str:
    """Where in the document the recipe's model stands; of a recipe of one's own, its file."""
    if section := run.get("section"):
        return f"document, section{'s' if ',' in section else ''} {section}"
    return run.get("source") or BEYOND


def _examples(run: dict[str, Any]) -> str:
    """The data: how many examples of what."""
    classes = run.get("classes") or []
    used = (run["data"].get("used") or {}).items()
    counts = ", ".join(f"{count:,} {'training' if part == 'train' else part}" for part, count in used)
    names = ", ".join(classes[:LISTED]) + (f" and {len(classes) - LISTED:,} more" if len(classes) > LISTED else "")
    of_classes = f" of {len(classes):,} classes: {names}" if classes else ""
    return f"{run['data'].get('name')}: {counts} examples{of_classes}."


def _headline(run: dict[str, Any]) -> str:
    test = run.get("test") or {}
    name = next((n for n in test if n != "loss"), "loss")
    return f"test {name} {history.number(test[name])}" if name in test else ""


def _figures(run: dict[str, Any]) -> list[tuple[str, str]]:
    figures = [
        (f"test {name.replace('_', ' ')}", history.number(value)) for name, value in (run.get("test") or {}).items()
    ]
    figures.sort(key=lambda figure: figure[0] == "test loss")
    if run.get("best_epoch"):
        figures.append(("best epoch", f"{run['best_epoch']} of {run['config']['epochs']}"))
    figures.append(("parameters", f"{run['parameters']:,}"))
    if "fit" in (timings := run.get("timings") or {}):
        figures.append(("training", training_time(timings)))
    return figures


def training_time(seconds: dict[str, float]) -> str:
    """Of the seconds of a run's stages, those of training and all."""
    return f"{history.number(seconds['fit'], 0)} s of {history.number(sum(seconds.values()), 0)} s in all"


def _found(folder: RunFolder, name: str) -> bytes | None:
    """The bytes of a file that may be missing."""
    try:
        return folder.read_bytes(name)
    except FileNotFoundError:
        return None


def _picture(folder: RunFolder, name: str, text: str) -> Markup:
    """A picture of the folder; an SVG as an image too, in which a browser runs no script, unlike in inline markup."""
    if (found := _found(folder, name)) is None:
        return Markup('<p class="quiet">{} is not there.</p>').format(name)
    kind, data = "svg+xml" if name.endswith(".svg") else "png", base64.b64encode(found).decode()
    return Markup('<img alt="{}" src="data:image/{};base64,{}">').format(text, kind, data)


def _text(folder: RunFolder, name: str) -> str:
    return (_found(folder, name) or b"").decode("utf-8", "replace")
