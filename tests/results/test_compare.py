"""Runs side by side, and the gap between training and validation wherever it is shown."""

import csv
import html
import re
import shutil
from urllib.parse import unquote

import numpy as np
import pytest
import scipy.stats
from conftest import command
from PIL import Image

from keraskit.errors import UserError
from keraskit.runs import listing, predictions
from keraskit.runs.folder import RunFolder
from keraskit.runs.listing import Row, read, rows
from keraskit.tools import compare


def run_of(place, right, flags=None, seed=0, status="finished", **facts):
    folder = RunFolder.create(place, "cnn")
    labels = np.arange(len(right)) % 10
    predicted = np.where(right, labels, (labels + 1) % 10)
    found = predictions.SplitPredictions(labels, {"": labels}, {"": np.eye(10, dtype=np.float32)[predicted]})
    predictions.write(folder, {"test": found})
    data = {"name": "MNIST", "sha256": "a" * 64, "used": {"train": 100, "validation": 20, "test": len(right)}}
    known = {
        "recipe": "cnn", "parameters": 9, "best_epoch": 1, "data": data, "classes": list("0123456789"), "seed": seed,
        "test": {"loss": 1.0, "accuracy": float(np.mean(right))}, "asked": {"knobs": flags or {}, "options": {}},
        "status": status, "started": f"2026-01-0{seed + 1}T00:00:00+00:00",
    }  # fmt: skip
    folder.write_json("run.json", known | facts)
    folder.write_history([{"epoch": 1, "accuracy": 0.9, "val_accuracy": 0.8, "loss": 1, "val_loss": 1, "seconds": 2}])
    return folder.path


def test_the_table_holds_what_the_folders_say_and_is_drawn(here):
    for i in range(9):
        run_of(here / "runs", np.arange(40) < 20 + i, {"epochs": i + 1}, status="failed" if i == 8 else "finished")
    done = command("compare", "runs", "--output", "curves.png", "--csv", "runs.csv")
    assert done.code == 0 and done.out.count(" +0.1000 ") == 9
    with Image.open(here / "curves.png") as picture:
        assert picture.width > 1_000
    lines = list(csv.DictReader((here / "runs.csv").open()))
    assert {line["run"]: line["test"].split()[0] for line in lines}["cnn --epochs 9"] == "0.7000"
    assert {(float(line["gap"]), line["validation"], line["seconds"]) for line in lines} == {(0.1, "0.8000", "2")}
    (line,) = csv.DictReader(compare.as_csv([Row("=HYPERLINK(1)", [read(here / lines[0]["folders"])])]).splitlines())
    assert line["run"] == "'=HYPERLINK(1)"  # no formula of a spreadsheet's
    listed = command("runs").out.splitlines()
    assert len(listed) == 10 and sum("failed" in each for each in listed) == 1
    assert any("accuracy 0.7000 (0.5" in each for each in listed) and command("runs", "nowhere").code == 2
    (here / lines[0]["folders"] / "history.csv").unlink()
    for place, message in ((here, "no finished epoch"), (here / "nowhere", "There is no")):
        with pytest.raises(UserError, match=message):
            compare.compared([place])


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
    only, alone = int((good & ~bad).sum()), int((bad & ~good).sum())
    law = scipy.stats.binom(only + alone, 0.5)
    assert f"mid-p = {2 * law.cdf(alone) - law.pmf(alone):.2g}, " in better
    assert "Holm's correction over 3 pairs" in better
    assert any("No difference" in each and " points of 874 test examples" in each for each in said)


def test_seeds_are_one_row_and_other_tasks_are_not_ranked_together(tmp_path):
    place = tmp_path / "runs"
    for seed in range(3):
        run_of(place, np.arange(100) < 90 + seed, seed=seed)
    run_of(place, np.arange(50) < 50, {"quick": True}, config={"quick": True})
    known = compare.compared([place])
    one, quick = sorted(known, key=lambda row: -len(row.runs))
    assert one.test == "0.9100 ± 0.0058"  # deviation 0.01, divided by sqrt(3)
    assert quick.test.startswith("1.0000 (0.9") and len(known) == 2
    assert compare.verdicts(known) == [compare.NOT_COMPARED]
    assert "MNIST (quick)" in compare.cells(quick)


def test_a_run_of_other_code_or_size_or_without_a_test_is_no_seed_of_another(tmp_path):
    asked = {"knobs": {}, "options": {}, "code": "edited"}
    for seed, facts in enumerate(({}, {"parameters": 8}, {"asked": asked}, {"status": "interrupted", "test": None})):
        run_of(tmp_path, np.arange(100) < 90, seed=seed, **facts)
    assert [len(row.runs) for row in compare.compared([tmp_path])] == [1] * 4


def said(*paths):
    return compare.verdicts(compare.compared(paths))


def ran(place, *rights, flags=None):
    for seed, right in enumerate(rights):
        run_of(place, right, flags, seed)


def wrong(*where, count=10_000):
    return ~np.isin(np.arange(count), np.concatenate([np.atleast_1d(each) for each in where or [[]]]))


def test_several_seeds_are_ranked_and_tested_by_their_means(tmp_path):
    """The middle run of "high" is the better one, its mean is the lower one."""
    ran(tmp_path / "high", wrong(np.arange(100)), wrong(np.arange(100)), wrong(np.arange(4_000)))
    ran(tmp_path / "mean", *(wrong(np.arange(start, start + 300)) for start in (0, 10, 20)))
    (sentence,) = said(tmp_path)
    assert sentence.startswith("No difference between cnn mean and cnn high that these test examples can show: +11 ")
    p = scipy.stats.ttest_rel([0.97] * 3, [0.99, 0.99, 0.6]).pvalue
    assert f"paired t-test p = {p:.2g}" in sentence
    ran(tmp_path / "low", *(wrong(np.arange(start, start + 3_000)) for start in (0, 5, 10, 30)))
    assert any(each.startswith("cnn mean is better than cnn low: +27 points in the mean") for each in said(tmp_path))


def test_equal_weights_are_told_and_every_student_is_named(here):
    """Weights are compared by the hash in run.json, which a hand can change."""
    for who, sha in (("ada", "a"), ("grace", "a"), ("alan", "b"), ("kurt", "c")):
        run_of(here / who, np.arange(40) < (31 if who == "kurt" else 30), weights_sha256=sha * 64)
    known = compare.compared([here])
    assert {row.label for row in known} == {"cnn ada", "cnn grace", "cnn alan", "cnn kurt"}
    told = "cnn ada and cnn grace are the same model: their weights are equal."
    assert [each for each in compare.verdicts(known) if "same model" in each] == [told]
    assert not any("cnn ada" in each and "cnn grace" in each and "difference" in each for each in said(here))
    assert any("over 3 pairs" in each for each in said(here))  # of three models
    for words in (["compare", "."], ["runs", "."]):
        (same,) = [each for each in command(*words).out.splitlines() if "are equal" in each]
        assert same.endswith(" are the same model: their weights are equal.") and "ada" in same and "grace" in same
        assert "alan" not in same and "kurt" not in same
    (here / "ada" / "cnn").rename(here / "ada" / "mine")
    next(here.glob("alan/cnn/*/run.json")).write_text("{}")
    for place in (here, here / "alan"):
        assert [line[1] for line in listing.table([place])[0]].count("unreadable") == 1
    assert listing.Run(None, {}, [{"d_loss": 1.0, "val_d_loss": 1.0}]).metric == "d_loss"  # as of a GAN
    assert listing.OUTPUT_DIR.sub("", """mlp --output-dir 'a '"'"'b c' --seed 1""") == "mlp --seed 1"


def test_an_interval_counts_examples_not_labels(tmp_path):
    """Of several labels or pixels an example, the accuracy's count is not the examples'."""
    folder = run_of(tmp_path, np.arange(100) < 90)
    for facts, known in (({}, True), ({"classes": []}, False), ({"class_output": "digit"}, False)):
        RunFolder(folder).update_manifest(**{"classes": list("0123456789"), **facts})
        (row,) = rows([read(folder)])
        assert (row.test == "0.9000 (0.826 to 0.945)") == known and row.test.startswith("0.9000")


def test_pages_of_a_class_name_every_student_and_link_every_report(tiny_run, here):
    students = ("ada", "<b>grace</b>", "猫 & co \udcfc")  # the last in part not UTF-8
    for student in students:
        shutil.copytree(tiny_run.folder, here / "handins" / student / "mlp" / tiny_run.folder.name)
    killed = here / "handins" / "ada" / "mlp" / tiny_run.folder.name
    (killed / "report.html").unlink()
    RunFolder(killed).update_manifest(status="running", test=None)
    for words, page, title in (
        (["runs", "handins", "--html"], here / "handins" / "index.html", "3 runs in handins"),
        (["compare", "handins", "--html", "class.html"], here / "class.html", "Compared runs"),
    ):
        assert command(*words).code == 0
        text = page.read_text("utf-8")
        names = re.findall(r'<th scope="row"><a href="([^"]+)">([^<]+)</a>', text)
        links = [page.parent / unquote(link, errors="surrogateescape") for link, _ in names]
        assert len(names) == 3 and all(link.is_file() for link in links)
        written = [student.encode(errors="backslashreplace").decode() for student in students]
        assert all(any(name.endswith(html.escape(student)) for _, name in names) for student in written)
        assert title in text
        assert ("data:image/svg+xml" in text) == (words[0] == "compare")
    assert "It was killed, or still runs." in (killed / "report.html").read_text("utf-8")
    code, _, err = command("compare", "handins", "--html", "class.csv")
    assert code == 2 and "class.csv" in err
    (here / "mine.html").write_text("my thesis")
    assert command("compare", "handins", "--html", "mine.html").code == 2
    assert (here / "mine.html").read_text() == "my thesis"
