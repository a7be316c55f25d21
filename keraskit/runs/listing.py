"""Find, label, group and list runs."""

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from keraskit.errors import UserError, flags, sentence
from keraskit.files import write_text
from keraskit.runs import metrics
from keraskit.runs.folder import MANIFEST, REPORT, RunFolder, check_folder, reason

HEAD = ["run", "status", "result", "started", "folder"]
MADE = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")  # a run folder's name, unless it was renamed
OUTPUT_DIR = re.compile(r""" --output-dir[ =]('[^']*'|"[^"]*"|[^\s'"])+""")  # as quoted for a shell


class Run(NamedTuple):
    """A run: folder, manifest and history, which is empty if no epoch has ended."""

    folder: RunFolder
    facts: dict[str, Any]
    history: list[dict[str, float]]

    @property
    def metric(self) -> str:
        """Headline metric."""
        row = self.history[0] if self.history else {}
        names = [name for name in row if f"val_{name}" in row]
        return metrics.headline(names) or min(names, key="loss".__ne__, default="loss")

    @property
    def best(self) -> dict[str, float]:
        """History row of the best epoch; of the last in folders that do not name it."""
        best = self.facts.get("best_epoch") or 0
        return self.history[best - 1 if 0 < best <= len(self.history) else -1]

    @property
    def test(self) -> float | None:
        """Headline metric of the test split."""
        return (self.facts.get("test") or {}).get(self.metric)

    @property
    def home(self) -> Path:
        """The folder above the run's and the recipe's own, if these have their default names."""
        path = self.folder.path.resolve()
        path = path.parent if MADE.fullmatch(path.name) else path
        return path.parent if path.name == self.facts["recipe"] else path

    @property
    def weights(self) -> str:
        """Hash of the weights; the folder's path if the run is unfinished."""
        return self.facts.get("weights_sha256") or str(self.folder.path.resolve())

    @property
    def flags(self) -> dict[str, Any]:
        """Flags as given, without the seed."""
        asked = self.facts.get("asked") or {}
        return {k: v for k, v in {**(asked.get("knobs") or {}), **(asked.get("options") or {})}.items() if k != "seed"}

    @property
    def task(self) -> tuple[Any, ...]:
        """Data, number of examples by split, and `quick`: equal for comparable runs."""
        data = self.facts["data"]
        quick = bool((self.facts.get("config") or {}).get("quick"))
        return data.get("sha256") or data["name"], tuple(sorted(data["used"].items())), quick


class Row(NamedTuple):
    """One run, or runs that differ only in their seed, sorted by seed; the label distinguishes rows."""

    label: str
    runs: list[Run]

    def named(self, run: Run) -> str:
        """The label, and the seed where there are several."""
        return f"{self.label} seed {run.facts['seed']}" if len(self.runs) > 1 else self.label

    @property
    def weights(self) -> set[str]:
        """Hashes of the runs' weights."""
        return {run.weights for run in self.runs}

    @property
    def test(self) -> str:
        """Test metric with its interval, or mean over seeds with standard error; the status if not tested."""
        run, tests = self.runs[0], [run.test for run in self.runs if run.test is not None]
        if not tests:
            return run.facts.get("status") or ""
        if len(tests) > 1:
            return metrics.mean_and_error(tests)
        count, output = run.facts["data"]["used"].get("test"), run.facts.get("class_output") or ""
        of_examples = run.facts.get("classes") and run.metric.startswith(output) and "balanced" not in run.metric
        if count and of_examples and run.metric.endswith("accuracy") and 0 <= tests[0] <= 1:  # a share of examples
            low, high = metrics.interval(round(tests[0] * count), count)
            return f"{tests[0]:.4f} ({low:.3f} to {high:.3f})"
        return metrics.number(tests[0])


def find(paths: Sequence[Path]) -> list[Path]:
    """Find run folders in and below each path, oldest first. Raises UserError if a path has none."""
    found: dict[Path, None] = {}
    for path in paths:
        check_folder(path)
        inside = [path] if (path / MANIFEST).exists() else [file.parent for file in path.glob(f"**/{MANIFEST}")]
        if not inside:
            error = f"{path} has no {MANIFEST}, nor is there any below it."
            raise UserError(error, "Name a run's folder, or a folder of runs: they lie in runs/<recipe>/.")
        found |= dict.fromkeys(sorted(inside, key=lambda each: each.name))
    return list(found)


def read(path: Path) -> Run:
    """Read a run. Raises UserError if its files are damaged."""
    folder = RunFolder(path)
    facts = folder.read_manifest("recipe", "seed", "parameters", "data.name", "data.used")
    return Run(folder, facts, folder.read_history())


def rows(runs: Sequence[Run]) -> list[Row]:
    """Group runs of one folder and program that differ only in their seed. Of equal labels each gets a run's id too."""
    differing = {k for run in runs for k in run.flags if any(run.flags.get(k) != each.flags.get(k) for each in runs)}
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run, place in zip(runs, places(runs), strict=True):
        own = flags({name: value for name, value in run.flags.items() if name in differing})
        label = " ".join(f"{run.facts['recipe']} {own} {place}".split())
        asked = run.facts.get("asked") or {}
        program = json.dumps([asked.get(name) for name in ("recipe", "code", "built")], sort_keys=True)
        same = label, run.task, run.home, program, run.facts["parameters"]
        repeated = any(run.facts["seed"] == other.facts["seed"] for other in groups.get(same, []))
        groups.setdefault((*same, run.folder.path) if repeated or run.test is None else same, []).append(run)
    counts = Counter(label for label, *_ in groups)
    made = []
    for (label, *_), group in groups.items():
        told = f"{label} {group[0].folder.path.name[-6:]}" if counts[label] > 1 else label
        made.append(Row(told, sorted(group, key=lambda run: run.facts["seed"])))
    return made


def places(runs: Sequence[Run]) -> list[str]:
    """Return what differs in the paths of the runs' homes, such as students' names."""
    parts = [run.home.parts for run in runs]
    shared = {i for i in range(min(map(len, parts), default=0)) if len({each[i] for each in parts}) == 1}
    return ["/".join(name for i, name in enumerate(each) if i not in shared) for each in parts]


def copies(known: Sequence[tuple[str, Run]]) -> list[str]:
    """Return sentences on labelled runs with equal weights."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label, run in known:
        groups[run.weights].append(label)
    alike = [" and ".join(sorted(labels)) for labels in groups.values() if len(labels) > 1]
    return [f"{labels} are the same model: their weights are equal." for labels in alike]


def table(paths: Sequence[Path]) -> tuple[list[list[str]], list[str]]:
    """Return table cells of the runs in and below folders, columns as in `HEAD`, newest last; and which are copies."""
    runs, lines = [], []
    for path in find(paths):
        try:
            runs.append(read(path))
        except UserError as error:
            lines.append([path.name, "unreadable", str(error), "", str(path)])
    runs.sort(key=lambda run: run.facts.get("started") or "")
    for run, place in zip(runs, places(runs), strict=True):
        command = (run.facts.get("command") or run.facts["recipe"]).removeprefix("keraskit run ")
        command = OUTPUT_DIR.sub("", command)  # the last column says where
        why = reason(run.facts)
        result = f"{run.metric} {Row('', [run]).test}" if run.test is not None else why and sentence(why)
        status, started = (run.facts.get(name) or "" for name in ("status", "started"))
        started = f"{started[:16].replace('T', ' ')} UTC" if started else ""
        lines.append([f"{command} {place}".strip(), status, result, started, str(run.folder.path)])
    return lines, copies([(str(run.folder.path), run) for run in runs])


def write_page(
    target: Path, title: str, head: Sequence[str], lines: Sequence[tuple[Sequence[Any], Path]],
    numbers: Collection[str] = (), sentences: Sequence[str] = (), charts: Sequence[bytes] = (),
) -> None:  # fmt: skip
    """Write an HTML table of runs. Each of `lines` has the cells of a row, and the folder whose report it links to.

    `numbers` are right-aligned columns, `sentences` the result of a comparison, `charts` SVGs of the curves.
    """
    from keraskit.runs.report import image, render, write_report  # imports Matplotlib

    rows = []
    for cells, folder in lines:
        report = folder / REPORT
        if not report.is_file():  # the run still goes on, or was killed
            with suppress(Exception):  # whatever one folder holds, the others are listed
                write_report(RunFolder(folder))
        link = quote(os.fsencode(os.path.relpath(report, target.absolute().parent))) if report.is_file() else ""
        rows.append((link, cells))
    drawn = [image(chart, "Learning curves; the table has their best values.") for chart in charts]
    shown = {"title": title, "head": head, "rows": rows, "numbers": numbers, "sentences": sentences, "charts": drawn}
    write_text(target, render("runs/table_page.html", **shown))
