"""What was measured on a machine comes before what is known of others, until a flag or the code says otherwise."""

import keraskit
from keraskit.config import RunConfig
from keraskit.registry import load_recipe
from keraskit.results.run_folder import RunFolder
from keraskit.training import autotune, hardware


def test_what_was_tuned_is_chosen_until_a_flag_or_the_code_says_otherwise(undrawn, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(autotune, "LONG_ENOUGH", 0.02)
    recipe = load_recipe("quickstart")
    table = autotune.autotune(recipe, RunConfig(limit=64, batch_size=16), {})
    out = capsys.readouterr().out
    assert [row[2] for row in table] == sorted(row[2] for row in table) and out.count("<- auto from now on") == 1
    assert {row[:2] for row in table} >= {("float32", "on"), ("float32", "off")}
    config = RunConfig(batch_size=16)
    found = autotune.recall(recipe, config, {})
    assert found and autotune.recall(recipe, RunConfig(batch_size=32), {}) is None
    assert autotune.recall(recipe, config, {"hidden": 3}) is None
    model = recipe.build()
    other = "off" if found.xla == "on" else "on"
    place = hardware.occupy(config)
    assert hardware.choose(model, config, place, 4, found).xla.value == found.xla
    asked = hardware.choose(model, RunConfig(xla=other), place, 4, found)
    assert asked.xla == hardware.Choice(other, "as asked")
    result = keraskit.run("quickstart", limit=64, batch_size=16, epochs=1, output_dir=tmp_path)
    assert "keraskit autotune" in RunFolder(result.folder).read_json("run.json")["choices"]["xla"]["reason"]
    (tmp_path / "cache" / "keraskit" / "autotune.json").write_text("[1, 2")
    assert autotune.recall(recipe, config, {}) is None
