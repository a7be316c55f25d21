"""docs/run-folder.md names every file and key of a run's folder."""

import json
import re

from conftest import ROOT

from keraskit.runs.manifest import Manifest

FILES, KEYS = (ROOT / "docs" / "run-folder.md").read_text().split("## run.json")


def test_every_file_that_a_run_writes_is_described(tiny_run):
    named = re.findall(r"[\w.*]+\.\w+", " ".join(re.findall(r"^\| ([^|]+) \|", FILES, re.MULTILINE)))
    assert {path.name for path in tiny_run.folder.iterdir()} <= set(named)


def test_every_key_of_run_json_and_metrics_json_is_described(tiny_run):
    first = re.findall(r"^\| ([a-z_0-9, ]+) \|", KEYS, re.MULTILINE)
    keys = {name for cell in first for name in cell.split(", ")} - {"key"}
    run = json.loads((tiny_run.folder / "run.json").read_text())
    assert keys == set(Manifest.model_fields) and set(run) <= keys
    words = set(re.findall(r"\w+", KEYS))
    for part in ("asked", "data", "inputs", "training_pictures", "hardware"):
        assert set(run[part]) <= words, part
    assert set(json.loads((tiny_run.folder / "metrics.json").read_text())) <= set(re.findall(r"\w+", FILES))
