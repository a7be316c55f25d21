"""The command line as a real process: quiet, fast where it can be, one line and an exit code for what goes wrong."""

import json
import os
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import own
import pytest
from conftest import ROOT, command

import keraskit
from keraskit.errors import duration
from keraskit.runs import listing
from keraskit.runs.folder import RunFolder
from keraskit.tools import compare

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
    done = subprocess.run(line, capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_program_of_ones_own_says_one_line_each_and_nothing_on_stderr_and_its_seconds_are_a_clocks(tmp_path):
    (tmp_path / "mymodel.py").write_text(own.SOURCE.replace("import keras\n", "import keraskit\nimport keras\n", 1))
    line = [sys.executable, "mymodel.py", "--quick", "--units", "3", "--depth", "1"]
    begun, lines, pipes = time.time(), [], {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(line, cwd=tmp_path, **pipes) as process:
        for line in process.stdout:
            ended = time.time()
            lines.append(line)
        assert (process.wait(), process.stderr.read()) == (0, "")
    starts = "recipe data device threads precision xla steps micro devices run Epoch 8/8 Epoch 8/8 test test mean a"
    assert [line.split()[0] for line in lines] == [*starts.split(), "time", "report"] and "\b" not in "".join(lines)
    (path,) = (tmp_path / "runs" / "mymodel").iterdir()
    folder, took = RunFolder(path), ended - begun
    slack = max(1, took / 10)  # what is not measured, such as the report, takes longer too on a busy machine
    run = folder.read_json("run.json")
    assert run["command"] == "keraskit run mymodel.py --quick --units 3 --depth 1" and run["parameters"] == 16
    assert sum(run["timings"].values()) == pytest.approx(took, abs=slack)
    assert run["timings"]["before"] > 0.5, "TensorFlow takes longer to load"
    started, finished = (datetime.fromisoformat(run[name]).timestamp() for name in ("started", "ended"))
    assert started == pytest.approx(begun, abs=slack + 0.1)  # whole seconds
    assert finished == pytest.approx(ended, abs=slack + 0.1)
    said = f"{duration(run['timings']['fit'])} of {duration(sum(run['timings'].values()))} in all"
    assert f"training {said}\n" in lines[-2] and f"<dd>{said}</dd>" in (path / "report.html").read_text()
    (row,) = map(compare.cells, listing.rows([listing.read(path)]))
    epochs = sum(row["seconds"] for row in folder.read_history())
    assert row[compare.HEAD.index("seconds")] == f"{epochs:.0f}" and epochs <= run["timings"]["fit"]


def test_what_matters_of_tensorflows_start_is_passed_on():
    code = """
import os
from keraskit import start
with start.quietly():
    os.write(2, b"W what matters\\nI cpu_feature_guard.cc: optimized\\nhalf a line")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "W what matters\nhalf a line")


def test_show_prints_the_summary_and_draws_the_graph(here):
    code, out, _ = command("show", "cnn", "--as-printed", "--graph", "graph.svg")
    assert code == 0 and "138,122" in out and "(tutorial, section 3.3.2" in out
    assert "<svg" in (here / "graph.svg").read_text()


def test_doctor_looks_at_what_matters():
    code, out, _ = command("doctor")
    assert code == 0 and str(ROOT / "data" / "mnist.npz") in out
    for word in ("tensorflow", "keras", "cpu", "gpu", "graph layout", "mnist", "free disk"):
        assert f"\n{word}" in out


# In odd surroundings: names, links, homes, locales, closed outputs; and two runs at once

LONG = "é雪 -rf 'x' " + "n" * 180
QUICK = ["run", "mlp", "--quick", "--limit", 32, "--hidden", 8, "--xla", "off"]
PLAIN = ("-m", "keraskit")
CLOSE = "import os, sys; [os.close(n) for n in (0, 1, 2)]; "
CLOSED = "-c", CLOSE + "os.execv(sys.executable, [sys.executable, '-m', 'keraskit', *sys.argv[1:]])"


def started(words, cwd, way=PLAIN, **environment):
    """A process of `keraskit ...` in these surroundings alone."""
    keep = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
    line, pipes = [sys.executable, *way, *map(str, words)], {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(line, cwd=cwd, env=keep | environment, stdin=subprocess.DEVNULL, **pipes)


def ended(process):
    out, err = process.communicate(timeout=600)
    return process.returncode, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape")


def test_two_runs_at_once_one_in_odd_surroundings_with_all_closed(tmp_path, preforked):
    """A locale without letters beyond ASCII, another time zone, through a link, relative and long names."""
    (tmp_path / LONG).mkdir()
    (tmp_path / "link").symlink_to(LONG)
    odd = {"HOME": "/proc/none", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "TZ": "Pacific/Kiritimati"}
    closed = started([*QUICK, "--output-dir", "../link/runs ü"], tmp_path / "link", CLOSED, **odd)
    done = preforked.run("keraskit", [*QUICK, "--output-dir", tmp_path / LONG / "runs ü"], tmp_path)
    assert ended(closed) == (0, "", "") and (done.returncode, done.stderr) == (0, "")
    code, out, err = ended(started(["runs", "../link/runs ü"], tmp_path / "link", **odd))
    assert (code, err) == (0, "") and out.isascii() and "runs" in out
    folders = list((tmp_path / LONG / "runs ü" / "mlp").iterdir())
    runs = [json.loads((folder / "run.json").read_text("utf-8")) for folder in folders]
    assert [(run["status"], run["started"][-6:]) for run in runs] == [("finished", "+00:00")] * 2
    assert len({run["weights_sha256"] for run in runs}) == 1 and all((f / "report.html").is_file() for f in folders)


@pytest.mark.parametrize("words", [QUICK, ["run", "mlp", "--help"]], ids=["run", "help"])
def test_a_reader_that_goes_away_ends_a_command_quietly(words, tmp_path, preforked):
    out, err = tmp_path / "out", tmp_path / "err"
    os.mkfifo(out)
    process = preforked.start("keraskit", words, tmp_path, dict(os.environ), [out, err])
    out.open().close()
    assert process.wait(120) == 141 and err.read_text() == ""
    assert all((folder / "run.json").exists() for folder in tmp_path.glob("runs/*/*"))  # it can go on


@pytest.mark.parametrize(("line", "code"), [
    ("from keraskit.cli import app; app.command_line(['run', 'mlp', '--epochs', 'ten'])", 2),
    ("import os; from keraskit import start\nwith start.quietly(): os.write(2, b'kept')", 0),
])  # fmt: skip
def test_a_full_disk_below_stderr_changes_no_exit_code(line, code):
    with Path("/dev/full").open("w") as full:
        assert subprocess.run([sys.executable, "-c", line], stderr=full, check=False).returncode == code


# --seeds: each seed in a process of its own, finished ones not again

INPUTS = "    inputs = hidden = keras.Input((3,))\n"
BUILT = """    with open(__import__("os").environ["BUILT"], "a") as file:
        print(__import__("os").getpid(), file=file)
"""


NAMED = '**PARTS, name="".join("other")'  # no name that can be read without importing it
LINE = ["run", "mine/mine.py", "--epochs", "1", "--seed", "5", "--xla", "off"]


def losses(folder):
    runs = [json.loads(file.read_text()) for file in folder.glob("*/run.json")]
    assert all(run["status"] == "finished" for run in runs)
    return {run["seed"]: run["test"]["loss"] for run in runs}


def mean(values):
    error = statistics.stdev(values) / len(values) ** 0.5
    return f"mean loss             {statistics.mean(values):.4f} ± {error:.4f}, of {len(values)} seeds"


def test_finished_seeds_are_not_trained_again(here, preforked, monkeypatch):
    for name in ("numpy", "json", "keras"):  # nobody's working folder is a place of our modules
        (here / f"{name}.py").write_text(f"open({str(here / 'mark')!r}, 'w')")
    (here / "mine").mkdir()
    (here / "mine" / "mine.py").write_text(own.SOURCE.replace(INPUTS, BUILT + INPUTS).replace("**PARTS", NAMED))
    monkeypatch.setenv("BUILT", str(here / "built"))

    def run(*words):
        done = preforked.run("keraskit", [*LINE, *words], here)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    run()
    first = losses(here / "runs" / "other")
    said = run("--seeds=2", "--resume")
    both = losses(here / "runs" / "other")
    assert sorted(both) == [5, 6] and both.items() > first.items() and mean([both[i] for i in (5, 6)]) in said
    assert said.count("finished in runs/other/") == 2
    builders = (here / "built").read_text().split()
    assert len(builders) == len(set(builders)) == 2 and str(os.getpid()) not in builders
    assert not (here / "mark").exists()
    folder = RunFolder(next((here / "runs" / "other").iterdir()))
    folder.update_manifest(data={**folder.read_json("run.json")["data"], "sha256": "0" * 64})
    done = preforked.run("keraskit", [*LINE, "--seeds=2", "--resume"], here)
    assert done.returncode == 2 and "The seeds were trained on different data." in done.stderr


def test_a_seed_that_fails_ends_them_with_its_line_and_code(here, monkeypatch, capfd):
    (here / "fails").write_text("#!/bin/sh\necho its line >&2\nexit 2\n")
    (here / "fails").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(here / "fails"))
    code, out, err = command("run", "mlp", "--seeds", "3", "--quick")
    assert (code, out.count("seed "), capfd.readouterr().err) == (2, 1, "its line\n")
    assert err == "keraskit: The run of seed 0 ended with code 2. See above; --resume goes on.\n"
    with pytest.raises(keraskit.UserError, match="runs of the command line"):
        keraskit.run("mlp", seeds=2)
