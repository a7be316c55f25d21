"""Runs killed by SIGKILL at random moments, in the middle of writes too, end as if they had not been."""

import json
import subprocess
import sys

from conftest import ROOT


def test_killed_runs_go_on_to_the_same_bits(tmp_path):
    line = [sys.executable, ROOT / "benchmarks" / "kill.py", "--kills", "21", "--json", tmp_path / "kill.json"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "kill.json").read_text())
    assert record["kills"] >= 21 and record["equal"] == record["runs"] and not record["wrong"]
    assert set(record["recipes"]) == {"mlp", "cnn", "cats_dogs_augmented"}
    hit = {place for row in record["recipes"].values() for place in row["where"]}
    assert "any moment" in hit and len(hit) >= 4, hit
    assert any(word in place for place in hit for word in ("rename", "disk", "checkpoint", "model")), hit
