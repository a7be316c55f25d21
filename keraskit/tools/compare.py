"""`keraskit compare`: compare runs, and test whether differences are more than chance."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from keraskit import files
from keraskit.errors import UserError
from keraskit.runs import metrics, plots, predictions
from keraskit.runs.listing import Row, copies, find, read, rows

HEAD = ["run", "data", "examples", "seed", "parameters", "epochs", "best epoch", "validation", "gap", "test", "seconds"]
NOT_COMPARED = "Only runs on the same data and test examples, of one seed each or several each, are compared."
Right = dict[int, np.ndarray]  # by seed: whether each test example is right, bool, shape (n,)


def compared(paths: Sequence[Path]) -> list[Row]:
    """Read runs, and folders of runs, into rows. Raises UserError if a run has no finished epoch."""
    runs = [read(path) for path in find(paths)]
    if unfinished := [run for run in runs if not run.history]:
        raise UserError(f"{unfinished[0].folder.path} has no finished epoch to compare.", "Leave it out.")
    return sorted(rows(runs), key=lambda row: repr(row.runs[0].task))


def cells(row: Row) -> list[str]:
    """Return table cells of a row, columns as in `HEAD`; means over several seeds."""
    run, runs, metric = row.runs[0], row.runs, row.runs[0].metric
    pairs = [[each.history[-1].get(name, np.nan) for name in (metric, f"val_{metric}")] for each in runs]
    gap = float(np.mean([trained - held_out for trained, held_out in pairs]))
    best = float(np.mean([each.best.get(f"val_{metric}", np.nan) for each in runs]))
    seconds = float(np.mean([sum(epoch.get("seconds", 0) for epoch in each.history) for each in runs]))
    return [
        row.label,
        run.facts["data"]["name"] + (" (quick)" if run.task[2] else ""),
        "/".join(f"{count:,}" for count in run.facts["data"]["used"].values()),
        ", ".join(str(each.facts["seed"]) for each in runs),
        f"{run.facts['parameters']:,}",
        ", ".join(dict.fromkeys(str(len(each.history)) for each in runs)),
        ", ".join(dict.fromkeys(str(each.facts.get("best_epoch") or "") for each in runs)),
        *(metrics.number(best), ("+" if gap >= 0 else "") + metrics.number(gap, like=best), row.test, f"{seconds:.0f}"),
    ]


def verdicts(known: Sequence[Row]) -> list[str]:
    """Return sentences: warnings, equal models, and paired tests of each task's best row against the others."""
    lines = [f"{row.label}: {each}" for row in known for run in row.runs for each in run.facts.get("warnings") or []]
    tasks: dict[Any, list[tuple[Row, Right]]] = {}
    for row in known:
        task, right = answers(row)
        tasks.setdefault(task, []).extend([(row, right)] if right else [])
    lines += copies([(each.named(run), run) for each in known for run in each.runs])
    for group in tasks.values():
        different = {frozenset(row.weights): (row, right) for row, right in reversed(group)}.values()  # no copies
        ranked = sorted(different, key=lambda each: -_shares(each[1]).mean())
        pairs = [(a, b) for a, b in combinations(ranked, 2) if not a[0].weights & b[0].weights]
        tests = [_test(a[1], b[1]) for a, b in pairs]
        corrected = metrics.holm([p for p, *_ in tests])  # over all pairs, since the best was chosen among them
        for (a, b), (p, above, words), least in zip(pairs, tests, corrected, strict=True):
            if a is ranked[0]:
                words += f", {least:.2g} by Holm's correction over {len(pairs)} pairs" if len(pairs) > 1 else ""
                lines.append(f"{_verdict(a[0].label, b[0].label, p, least, above)}: {words}.")
    return [*dict.fromkeys(lines), *([NOT_COMPARED] if len(tasks) > 1 else [])]


def answers(row: Row) -> tuple[Any, Right]:
    """Return a key that comparable rows share, and whether each test example is right, by seed; {} without classes."""
    targets, right = set[tuple[Any, ...]](), Right()
    for run in row.runs:
        test = predictions.read(run.folder)
        if not test or not (classified := test.of_classes(run.facts)):
            return (row.runs[0].task, len(row.runs) > 1), {}
        targets.add((classified[0].tobytes(), *(test.names or ())))
        right[run.facts["seed"]] = classified[1].argmax(axis=1) == classified[0]
    return (row.runs[0].task, len(row.runs) > 1, *targets), right if len(targets) == 1 else {}


def _shares(right: Right) -> np.ndarray:
    """Share of seeds that have each example right, shape (n,)."""
    return np.mean(list(right.values()), axis=0)


def _test(one: Right, two: Right) -> tuple[float, bool, str]:
    """Return the p-value, whether all 95% intervals are above 0, and a description of both."""
    apart, low, high = metrics.difference(_shares(one), _shares(two))
    examples = f"95% interval {100 * low:+.3g} to {100 * high:+.3g}"
    if len(one) == 1:
        p = metrics.mcnemar(*one.values(), *two.values())
        words = f"{100 * apart:+.3g} points of {len(_shares(one)):,} test examples, {examples}"
        return p, low > 0, f"{words}, McNemar's mid-p = {p:.2g}"
    means = [{seed: float(right.mean()) for seed, right in each.items()} for each in (one, two)]
    apart, least, most, p, test = metrics.over_seeds(means[0], means[1], 1 / len(_shares(one)))
    seeds = f"95% interval {100 * least:+.3g} to {100 * most:+.3g} over seeds"
    words = f"{100 * apart:+.3g} points in the mean, {seeds}, {examples} over examples, {test} p = {p:.2g}"
    return p, min(low, least) > 0, words


def _verdict(best: str, other: str, p: float, corrected: float, above: bool) -> str:
    """Say "better" only if the interval and the corrected p-value agree."""
    if above and corrected < metrics.SURE:
        return f"{best} is better than {other}"
    if above or p < metrics.SURE:
        return f"{best} may be better than {other}, and more test examples or seeds would tell"
    return f"No difference between {best} and {other} that these test examples can show"


def as_csv(known: Sequence[Row]) -> str:
    """Format the table as CSV, with run folders. The gap is a number: as text its sign would begin a formula."""
    lines: list[list[Any]] = [[*cells(row), " ".join(str(run.folder.path) for run in row.runs)] for row in known]
    for line in lines:
        line[HEAD.index("gap")] = float(line[HEAD.index("gap")])
    return files.as_csv([[*HEAD, "folders"], *lines])


def draw(known: Sequence[Row], path: Path) -> list[bytes]:
    """Draw the curves of each row's first run as a PNG file; return an SVG for each metric."""
    runs = [(row.label, row.runs[0]) for row in known]
    lines = [(label, run.history, run.metric, run.best.get(f"val_{run.metric}", np.nan)) for label, run in runs]
    plots.save(plots.comparison(lines), path, dpi=320)
    names = dict.fromkeys(run.metric for _, run in runs)
    return [plots.as_svg(plots.comparison([line for line in lines if line[2] == name])) for name in names]
