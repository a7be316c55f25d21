"""`keraskit compare` and `keraskit runs`: runs side by side, and whether a difference is more than chance."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from keraskit import files
from keraskit.errors import UserError
from keraskit.files import atomic, write_text
from keraskit.runs import history, plots, predictions, templates
from keraskit.runs.folder import REPORT
from keraskit.runs.listing import Row, Run, find, places, read, rows
from keraskit.runs.metrics import SURE, difference, holm, mcnemar, over_seeds

HEAD = ["run", "data", "examples", "seed", "parameters", "epochs", "best epoch", "validation", "gap", "test", "seconds"]
NOT_COMPARED = (
    "Only runs on the same data and test examples, all quick or none, of one seed each or several each, are compared."
)
Right = dict[int, np.ndarray]  # by seed: which test examples the model has right, bool, shape (n,)


def compared(paths: Sequence[Path]) -> list[Row]:
    """Read runs, and folders of runs, into rows. Raises UserError where fewer than two can be compared."""
    runs = [read(path) for path in find(paths)]
    if unfinished := [run for run in runs if not run.history]:
        raise UserError(f"{unfinished[0].folder.path} has no finished epoch to compare.", "Leave it out.")
    if len(runs) < 2:
        raise UserError(f"{len(runs)} run{'s' * (len(runs) != 1)} cannot be compared.", "Name two at least.")
    return sorted(rows(runs), key=lambda row: repr(row.runs[0].task))


def table(known: Sequence[Row]) -> list[list[str]]:
    """Table cells of each row, in the columns of `HEAD`."""
    return [_cells(row) for row in known]


def _cells(row: Row) -> list[str]:
    run, metric, runs = row.runs[0], row.runs[0].metric, row.runs
    gap = float(np.mean([r.history[-1][metric] - r.history[-1][f"val_{metric}"] for r in runs]))
    return [
        row.label,
        run.facts["data"]["name"] + (" (quick)" if run.task[2] else ""),
        "/".join(f"{count:,}" for count in run.examples.values()),
        ", ".join(str(r.facts.get("seed", "")) for r in runs),
        f"{run.facts['parameters']:,}",
        ", ".join(dict.fromkeys(str(len(r.history)) for r in runs)),
        ", ".join(dict.fromkeys(str(r.facts.get("best_epoch") or "") for r in runs)),
        history.number(float(np.mean([r.best.get(f"val_{metric}", float("nan")) for r in runs]))),
        ("+" if gap >= 0 else "") + history.number(gap),
        row.test,
        history.number(float(np.mean([sum(epoch.get("seconds", 0) for epoch in r.history) for r in runs])), 0),
    ]


def verdicts(known: Sequence[Row]) -> list[str]:
    """Sentences: the best row of each task against the others, by paired tests; equal models; warnings."""
    groups: dict[Any, list[tuple[Row, Right]]] = {}
    for row in known:
        task, right = _answers(row)
        groups.setdefault(task, []).append((row, right))
    loud = [f"{row.label}: {each}" for row in known for run in row.runs for each in run.facts.get("warnings") or []]
    said = [*dict.fromkeys(loud), *_same_models(known)]
    for rows_of in groups.values():
        able = sorted((each for each in rows_of if each[1]), key=lambda each: -_shares(each[1]).mean())
        pairs = [(one, two) for one, two in combinations(able, 2) if not one[0].weights & two[0].weights]
        measured = [_measure(one[1], two[1]) for one, two in pairs]
        corrected = holm([p for p, *_ in measured])  # over all pairs, for the best was chosen among them
        for (one, two), (p, sure, words), least in zip(pairs, measured, corrected, strict=True):
            if one is able[0]:
                words += f", {least:.2g} by Holm's correction over {len(pairs)} pairs" if len(pairs) > 1 else ""
                names = one[0].label, two[0].label
                said.append(f"{_verdict(*names, p < SURE, least < SURE, sure, len(_shares(one[1])))}: {words}.")
    if len(groups) > 1:
        said.append(NOT_COMPARED)
    return said


def _same_models(known: Sequence[Row]) -> list[str]:
    """Name the runs whose weights are equal."""
    found: dict[str, list[str]] = {}
    for row in known:
        for run in row.runs:
            seed = f" (seed {run.facts.get('seed')})" if len(row.runs) > 1 else ""
            found.setdefault(run.weights, []).append(row.label + seed)
    equal = [" and ".join(sorted(names)) for names in found.values() if len(names) > 1]
    return [f"{names} are the same model: their weights are equal." for names in equal]


def _answers(row: Row) -> tuple[Any, Right]:
    """The key that comparable rows share, and which test examples each seed has right; {} without classes."""
    asked: set[tuple[Any, ...]] = set()
    right: Right = {}
    for run in row.runs:
        test = predictions.read(run.folder)
        if not test or not (known := test.of_classes(run.facts)):
            return (row.runs[0].task, len(row.runs) > 1), {}
        asked.add((known[0].tobytes(), *(test.names or ())))
        right[run.facts.get("seed") or 0] = known[1].argmax(axis=1) == known[0]
    return (row.runs[0].task, len(row.runs) > 1, *asked), right if len(asked) == 1 else {}


def _shares(right: Right) -> np.ndarray:
    """Share of seeds that have each example right, shape (n,)."""
    return np.mean(list(right.values()), axis=0)


def _measure(one: Right, two: Right) -> tuple[float, bool, str]:
    """P-value, whether all intervals lie above 0, and both in words."""
    apart, low, high = difference(_shares(one), _shares(two))
    examples = f"95% interval {100 * low:+.3g} to {100 * high:+.3g}"
    if len(one) == 1:
        p = mcnemar(*one.values(), *two.values())
        return p, low > 0, f"{100 * apart:+.3g} points, {examples}, McNemar's mid-p = {p:.2g}"
    means = [{seed: float(right.mean()) for seed, right in each.items()} for each in (one, two)]
    apart, least, most, p, test = over_seeds(means[0], means[1], 1 / len(_shares(one)))
    seeds = f"95% interval {100 * least:+.3g} to {100 * most:+.3g} over seeds"
    words = f"{100 * apart:+.3g} points in the mean, {seeds}, {examples} over examples, {test} p = {p:.2g}"
    return p, min(low, least) > 0, words


def _verdict(best: str, other: str, once: bool, corrected: bool, above: bool, count: int) -> str:
    """Say "better" only where the interval and the corrected p-value do."""
    if corrected and above:
        return f"{best} is better than {other}"
    if once or above:
        return f"{best} may be better than {other}, and more test examples or seeds would show it"
    return f"No difference between {best} and {other} that {count:,} test examples can show"


def as_csv(known: Sequence[Row]) -> str:
    """The table with each row's folders, as CSV."""
    lines: list[list[Any]] = [[*HEAD, "folders"]]
    for row, line in zip(known, table(known), strict=True):
        cells = [float(cell) if name == "gap" else cell for name, cell in zip(HEAD, line, strict=True)]  # has a sign
        lines.append([*cells, " ".join(str(run.folder.path) for run in row.runs)])
    return files.as_csv(lines)


def draw(known: Sequence[Row], path: Path) -> None:
    """Draw all validation curves, with the training curves behind them."""
    lines, metrics = [], []
    for row in known:
        run = row.runs[0]
        metrics.append(run.metric)
        lines.append((row.label, run.history, run.metric, run.best[f"val_{run.metric}"]))
    name = " or ".join(dict.fromkeys(each.replace("_", " ") for each in metrics))
    with atomic(path) as beside:
        plots.save(plots.comparison(lines, name), beside)


def listed(place: Path) -> list[tuple[str, str, str, str, Run]]:
    """List the runs below a folder, the newest last: start, command, status, result, run."""
    runs = [read(path) for path in find([place])]
    runs.sort(key=lambda run: run.facts.get("started") or "")
    found = []
    for run in runs:
        command = (run.facts.get("command") or run.facts["recipe"]).removeprefix("keraskit run ")
        result = f"{run.metric} {Row('', [run]).test}" if run.test is not None else ""
        found.append((run.facts.get("started") or "", command, run.facts.get("status") or "", result, run))
    return found


def write_page(target: Path, title: str, runs: Sequence[Run], known: Sequence[Row] = ()) -> None:
    """Write one sortable page of runs, with links to their reports, and the verdicts on compared rows.

    Args:
        target: the file; links are relative to its folder.
        title: of the page.
        runs: each has a line.
        known: compared rows.
    """
    names, lines = {run.folder.path: row.label for row in known for run in row.runs}, []
    for run, place in zip(runs, places(runs), strict=True):
        label = names.get(run.folder.path) or f"{run.facts.get('command') or run.facts['recipe']} {place}"
        report = run.folder.path / REPORT
        link = Path(os.path.relpath(report, target.absolute().parent)).as_posix() if report.is_file() else ""
        seconds = round(sum(epoch.get("seconds", 0) for epoch in run.history))
        lines.append((label, link, run, seconds, Row("", [run]).test if run.test is not None else ""))
    write_text(target, templates.render("runs.html", title=title, lines=lines, verdicts=verdicts(known)))
