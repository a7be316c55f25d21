"""`make results`: each recipe measured once, recorded at once, and written into the page's table."""

import json
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
    where = {"to": to, "output_dir": tmp_path / "runs", "readme": page}
    results.measure("mlp", **where)
    entry, text = json.loads(to.read_text())["mlp"], page.read_text()
    assert entry["test"] == tiny_run.metrics and entry["source_sha256"] == find_card("mlp").sha256
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert f"accuracy {tiny_run.metrics['accuracy']:.4f}" in text and "541,794" in text
    results.measure("mlp", **where)
    assert launched == ["mlp"] * 3 and page.read_text() == text and "has not changed" in capsys.readouterr().out
    results.measure("mlp", **where, again=True, seeds=1)
    assert launched == ["mlp"] * 4 and list(json.loads(to.read_text())["mlp"]["runs"]) == ["0"]
    with pytest.raises(UserError, match="cnn ended with code 1"):
        results.measure("mlp", "cnn", "lstm", **where)
    assert launched == ["mlp"] * 6 + ["cnn"] and list(json.loads(to.read_text())["mlp"]["runs"]) == ["0", "1", "2"]


def test_several_seeds_become_a_mean_with_its_standard_error():
    entry = None
    for seed, (accuracy, seconds) in enumerate([(0.90, 30), (0.92, 10), (0.97, 20)]):
        run = {"seconds_per_epoch": seconds / 10, "total_seconds": seconds, "test": {"accuracy": accuracy}}
        entry = table.entry(run, str(seed), entry)
    assert entry["test"]["accuracy"] == pytest.approx(0.93)
    assert (entry["total_seconds"], entry["seconds_per_epoch"]) == (20, 2)
    error = scipy.stats.sem([0.90, 0.92, 0.97])
    assert table._measured(entry, "accuracy") == f"accuracy 0.9300 ± {error:.4f}"


def test_flags_for_the_runs_are_given_as_the_docstring_has_it():
    app = cyclopts.App()
    app.default(results.measure)
    _, bound, _ = app.parse_args(shlex.split(results.__doc__.splitlines()[3])[2:])
    assert bound.arguments == {"names": ("cats_dogs",), "flags": "--data-dir train.zip", "again": True}


def test_other_words_do_not_make_a_measurement_old_and_other_code_does(tmp_path):
    source, hashes = find_card("mlp").source.read_text(), []
    changes = (("", ""), ("Multilayer", "A"), ("0.9843", "0.9"), ('"3.3.1"', '""'), ("epochs=10", "epochs=9"))
    for word, other in changes:
        assert word in source
        (tmp_path / "mlp.py").write_text(source.replace(word, other))
        hashes.append(Card(tmp_path / "mlp.py").sha256)
    assert len(set(hashes[:4])) == 1 and hashes[4] != hashes[0]
