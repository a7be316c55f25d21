"""Runs side by side, and the gap between training and validation wherever it is shown."""

import json

import pytest
from PIL import Image

from keraskit.errors import UserError
from keraskit.results import compare, history, plots
from keraskit.results.run_folder import RunFolder

HEART = [
    {"epoch": e, "accuracy": 0.6 + 0.04 * e, "val_accuracy": 0.6 + 0.01 * e, "loss": 1.0, "val_loss": 1.1}
    for e in range(10)
]


@pytest.fixture
def runs(tmp_path):
    """Folders of two runs of one recipe and one of another."""
    paths = []
    for name, best in (("cats_dogs", 3), ("cats_dogs", 9), ("mlp", 10)):
        folder = RunFolder.create(tmp_path, name)
        test = {"loss": 1.0, "accuracy": 0.5 + best / 100}
        folder.write_json(
            "run.json",
            {"recipe": name, "parameters": 1_234_567, "best_epoch": best, "test": test, "data": {"name": "x"}},
        )
        folder.write_history([row | {"seconds": 2.0} for row in HEART])
        paths.append(folder.path)
    return paths


def test_the_table_holds_what_the_folders_say(runs):
    head, rows = compare.columns(compare.read(runs))
    table = [dict(zip(head, row, strict=True)) for row in rows]
    assert [row["test"] for row in table] == ["0.5300", "0.5900", "0.6000"]
    assert [row["validation"] for row in table] == ["0.6200", "0.6800", "0.6900"]
    assert {row["gap"] for row in table} == {"+0.2700"} and {row["seconds in epochs"] for row in table} == {"20"}
    assert table[2]["run"] == "mlp" and table[0]["run"] != table[1]["run"]


def test_it_is_a_command_and_draws(runs, command, tmp_path):
    done = command("compare", *runs, "--output", "curves.png")
    assert done.returncode == 0 and done.stdout.count("1,234,567") == 3
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 600
    for words, message in (([runs[0]], "1 runs cannot be compared"), ([tmp_path, runs[0]], "has no run.json")):
        failed = command("compare", *words)
        assert failed.returncode == 2 and message in failed.stderr


def test_the_axis_names_every_metric_that_is_drawn(runs, tmp_path, monkeypatch):
    RunFolder(runs[2]).write_history([{"epoch": 1, "loss": 1.0, "val_loss": 1.1, "mae": 0.5, "val_mae": 0.6}])
    drawn = []
    monkeypatch.setattr(plots, "comparison", lambda lines, metric, path: drawn.append(metric) or path.touch())
    compare.draw(compare.read(runs), tmp_path / "c.png")
    compare.draw(compare.read(runs[:2]), tmp_path / "c.png")
    assert drawn == ["accuracy, mae", "accuracy"]


def test_a_run_without_an_epoch_is_refused(runs):
    (runs[0] / "history.csv").unlink()
    with pytest.raises(UserError, match="no finished epoch"):
        compare.read(runs)


def test_the_gap_is_named_where_it_is_wide_alone(tmp_path):
    assert history.gap(HEART, "accuracy") == pytest.approx(0.27)
    assert "gap of 0.27 is over-fitting" in history.overfit(HEART)
    assert history.overfit([row | {"val_accuracy": row["accuracy"]} for row in HEART]) == ""
    assert history.overfit([{"loss": 1.0, "val_loss": 1.1}]) == history.overfit([]) == ""
    plots.curves(HEART, 3, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_the_report_says_so(runs, tiny_run):
    from keraskit.results import report

    run = json.loads((tiny_run.folder / "run.json").read_text())
    folder = RunFolder(runs[0])
    folder.write_json("run.json", run)
    report.write_report(folder)
    assert "gap of 0.27 is over-fitting" in (folder.path / report.REPORT).read_text()
