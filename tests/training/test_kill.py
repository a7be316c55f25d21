"""Runs killed by SIGKILL, in the middle of writes too, end as if they had not been; benchmarks/kill.py kills many."""

import json

from conftest import ROOT


def test_killed_runs_go_on_to_the_same_bits(preforked, tmp_path):
    words = ["--kills", 6, "--only", "mlp", "--seed", 1, "--json", tmp_path / "kill.json"]
    done = preforked.run(ROOT / "benchmarks" / "kill.py", words, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "kill.json").read_text())
    assert record["kills"] == 6 and record["equal"] == record["runs"] and not record["wrong"]
    hit = set(record["recipes"]["mlp"]["where"])
    assert "any moment" in hit and len(hit) >= 3, hit
