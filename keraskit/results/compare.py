"""`keraskit compare`: several runs side by side, as a table and as one picture, from their folders alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keraskit.errors import UserError, printable
from keraskit.files import atomic
from keraskit.results import history, manifest, plots
from keraskit.results.run_folder import RunFolder


@dataclass(frozen=True)
class Run:
    """What is compared of one run."""

    label: str
    manifest: dict[str, Any]
    history: list[dict[str, float]]

    @property
    def best(self) -> dict[str, float]:
        """The history's row of the epoch whose weights were kept, else of the last."""
        best = self.manifest.get("best_epoch") or 0
        return self.history[best - 1] if 0 < best <= len(self.history) else self.history[-1]


def read(paths: Sequence[Path]) -> list[Run]:
    """The runs, labelled by recipe, and by folder where one recipe comes twice. Raises UserError for a run without."""
    folders = [RunFolder(path) for path in paths]
    facts = [manifest.read(folder, "recipe", "parameters", "data.name") for folder in folders]
    names = [run["recipe"] for run in facts]
    runs = []
    for folder, run in zip(folders, facts, strict=True):
        rows = folder.read_history()
        if not rows:
            raise UserError(f"{folder.path} has no finished epoch to compare.", "Leave it out.")
        twice = names.count(run["recipe"]) > 1
        runs.append(Run(run["recipe"] + (f" {folder.path.name[-6:]}" if twice else ""), run, rows))
    return runs


def columns(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """The table: its head, and a row per run."""
    head = ["run", "parameters", "epochs", "best epoch", "validation", "gap", "test", "seconds in epochs", "data"]
    rows = []
    for run in runs:
        facts = run.manifest
        metric, number = history.metric(run.history), history.number
        test = (facts.get("test") or {}).get(metric)
        rows.append(
            [
                printable(run.label),
                f"{facts['parameters']:,}",
                str(len(run.history)),
                str(facts.get("best_epoch") or ""),
                number(run.best[f"val_{metric}"]),
                f"{'+' * ((gap := history.gap(run.history, metric)) >= 0)}{number(gap)}",
                facts.get("status") or "" if test is None else number(test),
                number(sum(row.get("seconds", 0) for row in run.history), 0),
                printable(facts["data"]["name"]),
            ]
        )
    return head, rows


def draw(runs: Sequence[Run], path: Path) -> None:
    """All validation curves, and the training curves behind them, in one picture."""
    lines = []
    for run in runs:
        metric = history.metric(run.history)
        lines.append((run.label, run.history, metric, run.best[f"val_{metric}"]))
    metrics = dict.fromkeys(history.metric(run.history).replace("_", " ") for run in runs)
    with atomic(path) as beside:
        plots.comparison(lines, ", ".join(metrics), beside)
