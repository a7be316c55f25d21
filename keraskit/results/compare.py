"""`keraskit compare` and `keraskit runs`: several runs side by side, and whether their difference means anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keraskit import files
from keraskit.errors import UserError
from keraskit.files import atomic, write_text
from keraskit.results import history, plots, scores, split_predictions, templates
from keraskit.results.run_folder import REPORT
from keraskit.results.runs import Row, Run, find, read, rows

SURE = 0.05  # p-value from which a difference may be chance
HEAD = ["run", "data", "examples", "seed", "parameters", "epochs", "best epoch", "validation", "gap", "test", "seconds"]


def compared(paths: Sequence[Path]) -> list[Row]:
    """The rows of runs and folders of runs. Raises UserError where fewer than two can be compared."""
    runs = [read(path) for path in find(paths)]
    if unfinished := [run for run in runs if not run.history]:
        raise UserError(f"{unfinished[0].folder.path} has no finished epoch to compare.", "Leave it out.")
    if len(runs) < 2:
        raise UserError(f"{len(runs)} run{'s' * (len(runs) != 1)} cannot be compared.", "Name two at least.")
    return sorted(rows(runs), key=lambda row: repr(row.runs[0].task))


def table(known: Sequence[Row]) -> list[list[str]]:
    """A line for each row, as `HEAD` has it."""
    lines = []
    for row in known:
        run, metric = row.runs[0], row.runs[0].metric
        validation = [r.best.get(f"val_{metric}", float("nan")) for r in row.runs]
        gaps = [history.gap(r.history, metric) for r in row.runs]
        seconds = [sum(epoch.get("seconds", 0) for epoch in r.history) for r in row.runs]
        lines.append(
            [
                row.label,
                run.facts["data"]["name"] + (" (quick)" if run.task[2] else ""),
                "/".join(f"{count:,}" for count in run.examples.values()),
                ", ".join(str(r.facts.get("seed", "")) for r in row.runs),
                f"{run.facts['parameters']:,}",
                ", ".join(dict.fromkeys(str(len(r.history)) for r in row.runs)),
                ", ".join(dict.fromkeys(str(r.facts.get("best_epoch") or "") for r in row.runs)),
                history.number(float(np.mean(validation))),
                ("+" if (gap := float(np.mean(gaps))) >= 0 else "") + history.number(gap),
                row.test,
                history.number(float(np.mean(seconds)), 0),
            ]
        )
    return lines


def verdicts(known: Sequence[Row]) -> list[str]:
    """Each row against the best of those on the same task, in words; and what is not compared, and why."""
    tasks: dict[Any, list[Row]] = {}
    for row in known:
        tasks.setdefault(row.runs[0].task, []).append(row)
    said = []
    for several in tasks.values():
        able = [(row, answers) for row in several if (answers := _answers(row.typical)) is not None]
        able.sort(key=lambda each: -each[1][1].mean())
        for row, (labels, right) in able[1:]:
            best, (known_labels, best_right) = able[0]
            if np.array_equal(labels, known_labels):
                said.append(_verdict(best.label, row.label, best_right, right))
    if len(tasks) > 1:
        said.append("Runs on other data, of other numbers of examples, or quick ones are not compared with the others.")
    return said


def _answers(run: Run) -> tuple[np.ndarray, np.ndarray] | None:
    """The true classes of the test examples, and which of them the run had right; None without classes."""
    test = split_predictions.read(run.folder)
    known = test.of_classes(run.facts) if test else None
    return (known[0], known[1].argmax(axis=1) == known[0]) if known else None


def _verdict(best: str, other: str, one: np.ndarray, two: np.ndarray) -> str:
    points, low, high = (100 * share for share in scores.difference(one, two))
    p = scores.mcnemar(one, two)
    measured = f"{points:+.2f} points, 95% interval {low:+.2f} to {high:+.2f}, McNemar's p = {p:.2g}"
    if p < SURE:
        return f"{best} is better than {other}: {measured}."
    return f"No difference between {best} and {other} that {len(one):,} test examples can show: {measured}."


def as_csv(known: Sequence[Row]) -> str:
    """The table, and each row's folders."""
    lines: list[list[Any]] = [[*HEAD, "folders"]]
    for row, line in zip(known, table(known), strict=True):
        cells = [float(cell) if name == "gap" else cell for name, cell in zip(HEAD, line, strict=True)]  # has a sign
        lines.append([*cells, " ".join(str(run.folder.path) for run in row.runs)])
    return files.as_csv(lines)


def draw(known: Sequence[Row], path: Path) -> None:
    """All validation curves, and the training curves behind them, in one picture."""
    lines, metrics = [], []
    for row in known:
        run = row.typical
        metrics.append(run.metric)
        lines.append((row.label, run.history, run.metric, run.best[f"val_{run.metric}"]))
    name = " or ".join(dict.fromkeys(each.replace("_", " ") for each in metrics))
    with atomic(path) as beside:
        plots.comparison(lines, name, beside)


def listed(place: Path) -> list[tuple[str, str, str, str, Run]]:
    """Each run below a folder, the newest last: when it began, what it is, its status, its result."""
    runs = [read(path) for path in find([place])]
    runs.sort(key=lambda run: run.facts.get("started") or "")
    found = []
    for run in runs:
        command = (run.facts.get("command") or run.facts["recipe"]).removeprefix("keraskit run ")
        result = f"{run.metric} {Row('', [run]).test}" if run.test is not None else ""
        found.append((run.facts.get("started") or "", command, run.facts.get("status") or "", result, run))
    return found


def write_page(target: Path, title: str, runs: Sequence[Run], known: Sequence[Row] = ()) -> None:
    """One page of runs: sortable, with small curves and links to the reports.

    Args:
        target: the file; links are relative to its folder.
        title: of the page.
        runs: each has a line.
        known: compared rows, whose verdicts are said below.
    """
    names = {run.folder.path: row.label for row in known for run in row.runs}
    lines = []
    for run in runs:
        report = run.folder.path / REPORT
        link = os.path.relpath(report, target.absolute().parent) if report.is_file() else ""
        curve = [row.get(f"val_{run.metric}", 0.0) for row in run.history]
        lines.append(
            {
                "label": names.get(run.folder.path) or run.facts.get("command") or run.facts["recipe"],
                "link": Path(link).as_posix() if link else "",
                "facts": run.facts,
                "data": run.facts["data"]["name"] + (" (quick)" if run.task[2] else ""),
                "examples": "/".join(f"{count:,}" for count in run.examples.values()),
                "metric": run.metric.replace("_", " "),
                "test": Row("", [run]).test if run.test is not None else "",
                "value": run.test if run.test is not None else "",
                "epochs": len(run.history),
                "seconds": round(sum(each.get("seconds", 0) for each in run.history)),
                "curve": _sparkline(curve),
            }
        )
    write_text(target, templates.render("runs.html", title=title, lines=lines, verdicts=verdicts(known)))


def _sparkline(values: Sequence[float], width: int = 90, height: int = 22) -> list[tuple[float, float]]:
    """Points of a small curve in a box, the first value at its left."""
    if not values or not np.isfinite(values).all():
        return []
    low, span = min(values), (max(values) - min(values)) or 1.0
    steps = max(len(values) - 1, 1)
    return [
        (round(3 + i * (width - 6) / steps, 1), round(height - 3 - (v - low) / span * (height - 6), 1))
        for i, v in enumerate(values)
    ]
