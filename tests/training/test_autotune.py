"""`keraskit autotune`: every way is measured, and the flags of one that pays are printed."""

from keraskit.config import RunConfig
from keraskit.registry import load_recipe
from keraskit.training import autotune


def test_the_flags_of_the_fastest_are_printed(capsys, monkeypatch):
    monkeypatch.setattr(autotune, "LONG_ENOUGH", 0.02)
    table = autotune.autotune(load_recipe("quickstart"), RunConfig(limit=64, batch_size=16), {})
    out = capsys.readouterr().out
    assert [row[2] for row in table] == sorted(row[2] for row in table) and out.count("  <- --precision") == 1
    assert {row[:2] for row in table} >= {("float32", "on"), ("float32", "off")}
