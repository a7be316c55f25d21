"""`make results`: each recipe measured once, recorded at once, and written into the page's table."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import cyclopts
import pytest
import scipy.stats
from conftest import ROOT

from keraskit.errors import UserError
from keraskit.registry import Card, find_card

sys.path.insert(0, str(ROOT / "benchmarks"))  # programs, which find each other so

import results
import table


@pytest.fixture
def launched(monkeypatch, tiny_run, tmp_path):
    """Which recipes were launched. Instead of a training, a finished run folder is put in place."""
    names = []

    def launch(line, check):
        name = line[line.index("run") + 1]
        names.append(name)
        if name == "cnn":
            return subprocess.CompletedProcess(line, 1)
        shutil.copytree(tiny_run.folder, tmp_path / "runs" / name / f"run{len(names)}")
        return subprocess.CompletedProcess(line, 0)

    monkeypatch.setattr(results.subprocess, "run", launch)
    return names


def test_results_are_recorded_resumed_and_written_into_the_page(launched, tmp_path, tiny_run, capsys):
    to, page = tmp_path / "results.json", tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    results.measure("mlp", to=to, output_dir=tmp_path / "runs", readme=page)
    entry = json.loads(to.read_text())["mlp"]
    assert entry["test"] == tiny_run.metrics and entry["source_sha256"] == find_card("mlp").sha256
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert f"accuracy {tiny_run.metrics['accuracy']:.4f}" in text and "541,794" in text
    results.measure("mlp", to=to, output_dir=tmp_path / "runs", readme=page)
    assert launched == ["mlp"] * 3 and page.read_text() == text and "has not changed" in capsys.readouterr().out
    results.measure("mlp", to=to, output_dir=tmp_path / "runs", readme=page, again=True, seeds=1)
    assert launched == ["mlp"] * 4 and list(json.loads(to.read_text())["mlp"]["runs"]) == ["0"]
    results.measure("mlp", to=to, output_dir=tmp_path / "runs", readme=page)
    assert launched == ["mlp"] * 6 and list(json.loads(to.read_text())["mlp"]["runs"]) == ["0", "1", "2"]


def test_several_seeds_become_a_mean_with_its_standard_error():
    about = {"parameters": 7, "data": "9 of made", "flags": "", "epochs": 2, "hardware": {}, "versions": {}}
    entry = None
    for seed, (accuracy, seconds) in enumerate([(0.90, 30), (0.92, 10), (0.97, 20)]):
        timed = {"seconds_per_epoch": seconds / 10, "total_seconds": seconds}
        entry = table.entry(about | timed | {"test": {"accuracy": accuracy}}, str(seed), entry)
    assert entry["test"]["accuracy"] == pytest.approx(0.93) and entry["total_seconds"] == 20
    assert entry["seconds_per_epoch"] == 2
    error = scipy.stats.sem([0.90, 0.92, 0.97])
    assert table._measured(entry, "accuracy") == f"accuracy 0.9300 ± {error:.4f}"


def test_flags_for_the_runs_are_given_as_the_docstring_has_it():
    app = cyclopts.App()
    app.default(results.measure)
    _, bound, _ = app.parse_args(shlex.split(results.__doc__.splitlines()[3])[2:])
    assert bound.arguments == {"names": ("cats_dogs",), "flags": "--data-dir train.zip", "again": True}


def test_what_was_measured_before_a_failure_is_kept(launched, tmp_path):
    to = tmp_path / "results.json"
    with pytest.raises(UserError, match="cnn ended with code 1"):
        results.measure("mlp", "cnn", "lstm", to=to, output_dir=tmp_path / "runs")
    assert list(json.loads(to.read_text())) == ["mlp"] and launched == ["mlp"] * 3 + ["cnn"]


def test_other_words_do_not_make_a_measurement_old_and_other_code_does(tmp_path):
    source = find_card("mlp").source.read_text()

    def hashed(text):
        (tmp_path / "mlp.py").write_text(text)
        return Card(tmp_path / "mlp.py").sha256

    for word, other in (
        ("Multilayer", "A multilayer"),
        ("0.982}", "0.9}"),
        ('section="3.3.1"', 'section=""'),
        ("Number of classes", "How many classes"),
    ):
        assert source.count(word) >= 1 and hashed(source.replace(word, other)) == hashed(source)
    assert hashed(source.replace("epochs=10", "epochs=11")) != hashed(source)


def test_a_damaged_file_or_a_page_without_marks_is_one_clear_error(tmp_path):
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        table.read(tmp_path / "results.json")
    with pytest.raises(UserError, match="no place for the table"):
        table.insert("no marks", {})


def test_what_cannot_serve_is_one_line_before_anything_is_run(launched, tmp_path):
    with pytest.raises(UserError, match=r"--flags .* cannot be split into words"):
        results.measure("mlp", to=tmp_path / "x", flags="--epochs '3")
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        with pytest.raises(UserError, match="no file that could be replaced"):
            results.measure("mlp", to=place)
    assert not launched and (tmp_path / "pipe").is_fifo()
