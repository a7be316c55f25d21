"""The command line as a real process: quiet, fast where it can be, one line and an exit code for what goes wrong."""

import json
import os
import signal
import subprocess
import sys

import pytest
from conftest import ROOT
from hostile import command

from keraskit.cli.app import command_line

FAST = """
    list; --help; run --help; doctor --help; run mlp --help; show cnn --help; run mpl; rum; resume nowhere;
    run mlp --epoch 3; run mlp --hidden x; predict nowhere nowhere.jpg; augment --preview nowhere.jpg
"""
ALL_IN_ONE = """
import contextlib, io, json, sys
from keraskit.cli.app import command_line
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        try: command_line(words)
        except SystemExit as end: code = end.code
    assert code == (0 if "--help" in words or words == ["list"] else 2), (words, code)
    assert said.getvalue().count("\\n") == bool(code), said.getvalue()
    assert not {"tensorflow", "keras", "matplotlib"} & set(sys.modules), words
    assert "numpy" not in sys.modules or words[0] in ("augment", "predict"), words
"""


def test_help_lists_and_refusals_import_no_tensorflow(tmp_path):
    line = [sys.executable, "-c", ALL_IN_ONE, json.dumps([words.split() for words in FAST.split(";")])]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_bad_input_that_only_a_run_can_find(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "mnist.npz").write_bytes(b"damaged")
    for words, says in [
        (["--output-dir", "file"], "file"),
        (["--data-dir", tmp_path], "cannot be read"),
        (["--hidden", "-4"], "cannot be built"),
        (["--device", "gpu"], "sees 0 GPUs"),
    ]:
        code, err = command(["run", "mlp", *words], capsys)
        assert code == 2 and err.count("\n") == 1 and says in err, err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "mnist.npz"]


def test_a_quick_run_as_a_program_says_one_line_each_and_nothing_on_stderr(tmp_path):
    line = [sys.executable, "-m", "keraskit.recipes.mlp", "--quick", "--hidden", "32", "16"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    starts = (
        "recipe data device threads precision xla steps micro devices run Epoch 4/4 Epoch 4/4 test test a time report"
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == starts.split()
    assert "\b" not in done.stdout
    (folder,) = (tmp_path / "runs" / "mlp").iterdir()
    run = json.loads((folder / "run.json").read_text())
    assert run["command"] == "keraskit run mlp --quick --hidden 32 16" and run["parameters"] == 25_818


def test_a_recipe_of_ones_own_starts_quietly_and_ends_soon(tmp_path):
    """A copy of a recipe, run as a file: the collector does not look through TensorFlow at the end."""
    text = (ROOT / "recipes" / "mlp.py").read_text().replace("if __name__", "import atexit, gc\n\n"
        "atexit.register(lambda: print(gc.get_freeze_count()))\n\nif __name__")  # fmt: skip
    (tmp_path / "mymodel.py").write_text(f"import keraskit\n{text}")
    line = [sys.executable, "mymodel.py", "--epochs", "0"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and int(done.stdout) > 100_000
    assert done.stderr == "keraskit: --epochs 0 makes no sense: input should be at least 1.\n"


def test_what_matters_of_tensorflows_start_is_passed_on():
    code = """
import os
from keraskit import start
with start.quietly():
    os.write(2, b"F cpu_feature_guard.cc:38] compiled to use what this processor lacks\\nhalf a line")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "half a line")


def test_show_prints_the_summary_and_draws_the_graph(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        command_line(["show", "cnn", "--as-printed", "--graph", "graph.svg"])
    out = capsys.readouterr().out
    assert end.value.code == 0 and "138,122" in out and "(document, section 3.3.2" in out
    assert "<svg" in (tmp_path / "graph.svg").read_text()
    code, err = command(["show", "cnn", "--graph", "graph.xyz"], capsys)
    assert code == 2 and "does not end in" in err


def test_doctor_looks_at_what_matters(capsys):
    with pytest.raises(SystemExit) as end:
        command_line(["doctor"])
    out = capsys.readouterr().out
    assert end.value.code == 0 and str(ROOT / "data" / "mnist.npz") in out
    for word in ("tensorflow", "keras", "cpu", "gpu", "graph layout", "mnist", "free disk"):
        assert f"\n{word}" in out


def test_interrupt_ends_with_130_and_one_line(tmp_path, preforked):
    out, err = tmp_path / "out", tmp_path / "err"
    os.mkfifo(out)
    process = preforked.start("keraskit", ["run", "mlp", "--epochs", 500], tmp_path, dict(os.environ), [out, err])
    try:
        with out.open() as reader:
            while not reader.readline().startswith("Epoch 2"):
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            reader.read()
        code = process.wait(60)
    finally:
        process.kill()
    stderr = err.read_text()
    assert code == 130 and stderr.count("\n") == 1 and "Interrupted" in stderr
    (folder,) = (tmp_path / "runs" / "mlp").iterdir()
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    assert (folder / "model.keras").is_file()
