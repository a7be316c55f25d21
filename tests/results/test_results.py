"""Run folders and pictures: whole or absent, read back as written, and a report that needs nothing else."""

import base64
import json
import os
import re
import resource
import signal

import keras
import pytest
from conftest import ROOT

from keraskit import files
from keraskit.models import graph
from keraskit.runs import report
from keraskit.runs.folder import Manifest, RunFolder

WRITTEN = "run.json history.csv metrics.json model.keras summary.txt architecture.svg architecture.png curves.png \
samples.png confusion.png mistakes.png pictures.npz predictions.npz report.html checkpoint.npz"
FILES, KEYS = (ROOT / "docs" / "run-folder.md").read_text().split("## run.json")


def test_a_name_may_have_255_letters_and_a_full_disk_names_the_file(tmp_path):
    for name in (f"{'x' * 251}.csv", f"a.{'b' * 253}"):
        files.write_text(tmp_path / name, "text")
        assert (tmp_path / name).read_text() == "text"
    before, limits = set(tmp_path.iterdir()), resource.getrlimit(resource.RLIMIT_FSIZE)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))  # the system itself refuses larger files
    try:
        for name, write in (
            ("a.csv", lambda path: files.write_text(path, "text" * 50)),
            ("a.dot", lambda path: graph.draw(model, path)),
        ):
            with pytest.raises(OSError, match=rf"File too large: '.*/{name}'"):
                write(tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert set(tmp_path.iterdir()) == before


def test_a_folder_that_a_killed_process_left_is_removed_by_the_next(tmp_path):
    if not (child := os.fork()):
        with files.new_folder(tmp_path / "onnx"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert [path.name[0] for path in tmp_path.iterdir()] == ["."]
    (tmp_path / ".keraskit-mine").mkdir()  # nobody's
    with files.new_folder(tmp_path / "onnx") as one, files.new_folder(tmp_path / "litert"):  # not that of a live one
        (one / "model").touch()
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert found == {".keraskit-mine", "onnx", "onnx/model", "litert"}


def test_report_is_self_contained_and_is_made_from_files_alone(tiny_run):
    folder = RunFolder(tiny_run.folder)
    before = (folder.path / "report.html").read_text()
    report.write_report(folder)
    assert (folder.path / "report.html").read_text() == before
    links = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)([^"']*)""", before)
    charts = [base64.b64decode(each).decode() for each in re.findall(r"svg\+xml;base64,([^\"]+)", before)]
    leads = [lead for chart in charts for lead in re.findall(r"""(?:xlink:href="|url\()(.)""", chart)]
    assert not links and "url(" not in before and len(charts) == 5 and len(leads) > 20 and set(leads) == {"#"}
    assert before.count("<script") == 0 and "http" not in before.replace("http://www.w3.org/", "")
    assert f"{tiny_run.metrics['accuracy']:.4f}" in before and "keraskit run mlp --quick" in before


def test_a_run_writes_these_files_and_no_other_and_they_are_described(tiny_run):
    written = {path.name for path in tiny_run.folder.iterdir()}
    named = re.findall(r"[\w.*]+\.\w+", " ".join(re.findall(r"^\| ([^|]+) \|", FILES, re.MULTILINE)))
    assert written == set(WRITTEN.split()) and written <= set(named)


def test_every_key_of_run_json_and_metrics_json_is_described(tiny_run):
    first = re.findall(r"^\| ([a-z_0-9, ]+) \|", KEYS, re.MULTILINE)
    keys = {name for cell in first for name in cell.split(", ")} - {"key"}
    run = json.loads((tiny_run.folder / "run.json").read_text())
    assert keys == set(Manifest.model_fields) and set(run) <= keys
    words = set(re.findall(r"\w+", KEYS))
    for part in ("asked", "data", "inputs", "training_pictures", "hardware"):
        assert set(run[part]) <= words, part
    assert set(json.loads((tiny_run.folder / "metrics.json").read_text())) <= set(re.findall(r"\w+", FILES))
