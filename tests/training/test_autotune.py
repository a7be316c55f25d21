"""`keraskit autotune`: every way is measured, and its flags are printed, the fastest first."""

from keraskit.config import RunConfig
from keraskit.registry import load_recipe
from keraskit.training import autotune


def test_the_flags_of_the_fastest_are_printed(capsys, monkeypatch):
    monkeypatch.setattr(autotune, "LONG_ENOUGH", 0.02)
    monkeypatch.setattr(autotune.hardware, "bfloat16_feature", lambda: None)
    table = autotune.autotune(load_recipe("quickstart"), RunConfig(limit=64, batch_size=16), {})
    out = capsys.readouterr().out
    assert [row[2] for row in table] == sorted(row[2] for row in table)
    assert out.count(" ms a step with --precision ") == len(table)
    assert {row[:2] for row in table} == {("float32", "on"), ("float32", "off")}
