"""Runs side by side, and the gap between training and validation wherever it is shown."""

import csv
import json

import numpy as np
import pytest
import scipy.stats
from PIL import Image

from keraskit.errors import UserError
from keraskit.results import compare, history, plots, split_predictions
from keraskit.results.run_folder import RunFolder
from keraskit.results.runs import Row, read

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
    table = [dict(zip(compare.HEAD, line, strict=True)) for line in compare.table(compare.compared(runs))]
    assert [row["test"] for row in table] == ["0.5300", "0.5900", "0.6000"]
    assert [row["validation"] for row in table] == ["0.6200", "0.6800", "0.6900"]
    assert {row["gap"] for row in table} == {"+0.2700"} and {row["seconds"] for row in table} == {"20"}
    assert table[2]["run"] == "mlp" and table[0]["run"] != table[1]["run"]


def test_a_spreadsheet_finds_numbers_and_no_formulas(runs):
    (row,) = csv.DictReader(compare.as_csv([Row("=HYPERLINK(1)", [read(runs[0])])]).splitlines())
    assert row["run"] == "'=HYPERLINK(1)" and float(row["gap"]) == 0.27


def test_it_is_a_command_and_draws(runs, command, tmp_path):
    done = command("compare", *runs, "--output", "curves.png", "--csv", "runs.csv", "--html", "runs.html")
    assert done.returncode == 0 and done.stdout.count("1,234,567") == 3
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 600
    lines = list(csv.DictReader((tmp_path / "runs.csv").open()))
    assert [line["folders"] for line in lines] == list(map(str, runs)) and lines[2]["test"] == "0.6000"
    assert (tmp_path / "runs.html").read_text().count("<polyline") == 3
    (tmp_path / "empty").mkdir()
    for words, message in (([runs[0]], "1 run cannot be compared"), ([tmp_path / "empty", runs[0]], "has no run.json")):
        failed = command("compare", *words)
        assert failed.returncode == 2 and message in failed.stderr


def test_the_axis_names_every_metric_that_is_drawn(runs, tmp_path, monkeypatch):
    RunFolder(runs[2]).write_history([{"epoch": 1, "loss": 1.0, "val_loss": 1.1, "mae": 0.5, "val_mae": 0.6}])
    drawn = []
    monkeypatch.setattr(plots, "comparison", lambda lines, metric, path: drawn.append(metric) or path.touch())
    compare.draw(compare.compared(runs), tmp_path / "c.png")
    compare.draw(compare.compared(runs[:2]), tmp_path / "c.png")
    assert drawn == ["accuracy or mae", "accuracy"]


def test_a_run_without_an_epoch_is_refused(runs):
    (runs[0] / "history.csv").unlink()
    with pytest.raises(UserError, match="no finished epoch"):
        compare.compared(runs)


def run_of(place, right, flags=None, seed=0, status="finished", **facts):
    """A folder of a run on ten classes that has these test examples right."""
    folder = RunFolder.create(place, "cnn")
    labels = np.arange(len(right)) % 10
    predicted = np.where(right, labels, (labels + 1) % 10)
    found = split_predictions.SplitPredictions(labels, {"": labels}, {"": np.eye(10, dtype=np.float32)[predicted]})
    split_predictions.write(folder, {"test": found})
    data = {"name": "MNIST", "sha256": "a" * 64, "used": {"train": 100, "validation": 20, "test": len(right)}}
    known = {
        "recipe": "cnn", "parameters": 9, "best_epoch": 1, "data": data, "classes": list("0123456789"), "seed": seed,
        "test": {"loss": 1.0, "accuracy": float(np.mean(right))}, "asked": {"knobs": flags or {}, "options": {}},
        "status": status, "started": f"2026-01-0{seed + 1}T00:00:00+00:00",
    }  # fmt: skip
    folder.write_json("run.json", known | facts)
    folder.write_history([{"epoch": 1, "accuracy": 0.9, "val_accuracy": 0.8, "loss": 1, "val_loss": 1, "seconds": 2}])
    return folder.path


def test_a_difference_is_believed_where_the_same_examples_show_it(tmp_path):
    random = np.random.default_rng(0)
    good = random.random(874) < 0.90
    same = good.copy()
    same[np.flatnonzero(good)[:8]], same[np.flatnonzero(~good)[:7]] = False, True
    bad = np.where(random.random(874) < 0.10, False, good)
    place = tmp_path / "runs"
    run_of(place, good), run_of(place, same, {"epochs": 3}), run_of(place, bad, {"dropout": 0.9})
    known = compare.compared([place])
    said = compare.verdicts(known)
    assert len(said) == 2 and {row.label for row in known} == {"cnn", "cnn --epochs 3", "cnn --dropout 0.9"}
    better = next(each for each in said if "better" in each)
    assert "is better than cnn --dropout 0.9" in better
    table = [[(good & bad).sum(), (good & ~bad).sum()], [(~good & bad).sum(), (~good & ~bad).sum()]]
    p = scipy.stats.binomtest(int(table[1][0]), int(table[0][1] + table[1][0])).pvalue
    assert f"p = {p:.2g}" in better
    assert any("No difference" in each and "874 test examples can show" in each for each in said)


def test_seeds_are_one_row_and_other_tasks_are_not_ranked_together(tmp_path):
    place = tmp_path / "runs"
    for seed in range(3):
        run_of(place, np.arange(100) < 90 + seed, seed=seed)
    run_of(place, np.arange(50) < 50, {"quick": True}, config={"quick": True})
    known = compare.compared([place])
    one, quick = sorted(known, key=lambda row: -len(row.runs))
    assert one.test == "0.9100 ± 0.0058" and one.typical.facts["seed"] == 1  # deviation 0.01, divided by sqrt(3)
    assert quick.test.startswith("1.0000 (0.9") and len(known) == 2
    assert compare.verdicts(known) == [
        "Runs on other data, of other numbers of examples, or quick ones are not compared with the others."
    ]
    assert "MNIST (quick)" in str(compare.table(known))


def test_the_hand_ins_of_a_class_are_told_apart_by_who_handed_them_in(tmp_path):
    for who in ("ada", "grace"):
        run_of(tmp_path / who / "runs", np.arange(40) < 30)
    assert {row.label for row in compare.compared([tmp_path])} == {"cnn ada", "cnn grace"}


def test_files_are_called_by_their_names_where_these_tell_them_apart(tmp_path):
    def called(*weights):
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        for i, each in enumerate(weights):
            run_of(place / str(i), np.ones(10), {"weights": each})
        return {row.label for row in compare.compared([place])}

    assert called("/far/away/a.h5", "b.h5") == {"cnn --weights a.h5", "cnn --weights b.h5"}
    assert called("one/a.h5", "two/a.h5") == {"cnn --weights one/a.h5", "cnn --weights two/a.h5"}
    assert called("one/a.h5", "a.h5") == {"cnn --weights one/a.h5", "cnn --weights a.h5"}


def test_many_runs_of_one_epoch_are_drawn_and_listed(tmp_path, command):
    for i in range(9):
        run_of(tmp_path / "runs", np.arange(40) < 20 + i, {"epochs": i + 1}, status="failed" if i == 8 else "finished")
    compare.draw(compare.compared([tmp_path / "runs"]), tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.width > 1_200
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}
    assert {(0, 114, 178), (213, 94, 0), (86, 180, 233)} <= colours  # each run's mark, of its one epoch
    done = command("runs", "--html")
    lines = done.stdout.splitlines()
    assert (
        done.returncode == 0 and len(lines) == 11 and "accuracy 0.7000 (0.5" in done.stdout and "failed" in done.stdout
    )
    page = (tmp_path / "runs" / "index.html").read_text()
    assert page.count("<circle") == 9 and "9 runs in runs" in page
    assert command("runs", "nowhere").returncode == 2


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
