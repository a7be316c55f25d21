"""The real command in odd surroundings: names, links, folders, homes, locales, time zones; and two runs at once."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

LONG = "é雪 -rf 'x' " + "n" * 180


def started(words, cwd, **environment):
    """A process of `keraskit ...` in these surroundings alone."""
    keep = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
    line = [sys.executable, "-m", "keraskit", *map(str, words)]
    return subprocess.Popen(
        line, cwd=cwd, env=keep | environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def ended(process):
    """Its exit code, and what it said, as text."""
    out, err = process.communicate(timeout=120)
    return process.returncode, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape")


@pytest.fixture
def place(tmp_path):
    """A folder with a long name of spaces and letters of many kinds, and a link to it."""
    (tmp_path / LONG).mkdir()
    (tmp_path / "link").symlink_to(LONG)
    return tmp_path


def test_two_runs_at_once_one_of_them_in_odd_surroundings(place):
    """No home, a locale without letters beyond ASCII, another time zone, through a link, relative and long names."""
    odd = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "TZ": "Pacific/Kiritimati", "XDG_CACHE_HOME": "/proc/none"}
    plain = {"HOME": str(place), "LC_ALL": "C.UTF-8"}
    words = ["run", "mlp", "--quick", "--limit", 64, "--hidden", 8, "--xla", "off", "--output-dir"]
    before = time.time()
    processes = [
        started([*words, "../link/runs ü"], place / "link", **odd),
        started([*words, place / LONG / "runs ü"], place, **plain),
    ]
    results = [ended(process) for process in processes]
    assert [(code, err) for code, _, err in results] == [(0, ""), (0, "")]
    assert results[0][1].isascii() and "runs" in results[0][1]
    folders = list((place / LONG / "runs ü" / "mlp").iterdir())
    assert len(folders) == 2 and not (place / "runs").exists()
    for folder in folders:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        from datetime import datetime

        assert run["status"] == "finished" and run["started"].endswith("+00:00")
        assert -1 <= datetime.fromisoformat(run["started"]).timestamp() - before < 120
        assert (folder / "report.html").is_file()
    hashes = {json.loads((folder / "run.json").read_text())["weights_sha256"] for folder in folders}
    assert len(hashes) == 1


def test_commands_without_tensorflow_in_odd_surroundings(place, tiny_run):
    (place / "link" / "run").symlink_to(tiny_run.folder)
    shutil.copytree(tiny_run.folder, place / "link" / "other")
    cwd = place / "link"
    for environment in (
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        {"LANG": "tr_TR.ISO-8859-9", "PYTHONUTF8": "0", "HOME": "/proc", "TZ": "Not/AZone", "TERM": "dumb"},
    ):
        code, out, err = ended(started(["compare", "run", "./other/", "--output", "ü\n.png"], cwd, **environment))
        lines = [line for line in out.splitlines() if not line.startswith("NOTE ")]  # what letters fonts lack
        assert (code, err) == (0, "") and "mlp" in out and len(lines) == 5
        with Image.open(cwd / "ü\n.png") as picture:
            assert picture.width > 100
        (cwd / "ü\n.png").unlink()
    code, out, err = ended(started(["list"], cwd, PYTHONIOENCODING="ascii"))
    assert code == 0 and out.isascii() and out.count("\n") > 10
    for words, says in (
        (["compare", "run", "run", "--output", "n" * 300 + ".png"], "File name too long"),
        (["run", "mlp", "--output-dir", "n" * 300], "File name too long"),
        (["predict", "run", os.fsdecode(b"\xff.png")], "does not exist"),
        (["show", "é"], "no recipe"),
    ):
        code, out, err = ended(started(words, cwd, LC_ALL="C", PYTHONIOENCODING="ascii"))
        assert (code, out) == (2, "") and says in err and err.count("\n") == 1 and err.isascii()


QUICK = ["run", "mlp", "--quick", "--limit", 32, "--hidden", 8, "--xla", "off"]


def finished(folder):
    """Whether the one run below it is whole."""
    (run,) = (folder / "runs" / "mlp").iterdir()
    return json.loads((run / "run.json").read_text())["status"] == "finished" and (run / "report.html").is_file()


@pytest.mark.parametrize("closed", [2, (0, 1, 2)], ids=str)
def test_a_run_ends_well_whatever_is_closed(closed, tmp_path):
    numbers = closed if isinstance(closed, tuple) else (closed,)
    line = [sys.executable, "-m", "keraskit", *map(str, QUICK)]
    code = f"import os, sys\nfor n in {numbers}: os.close(n)\nos.execv(sys.executable, {line})"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "") and finished(tmp_path)
    assert ("report" in done.stdout) == (1 not in numbers)
    refused = subprocess.run(
        [sys.executable, "-c", code.replace("--quick", "--quik")], cwd=tmp_path, capture_output=True, text=True
    )
    assert (refused.returncode, refused.stdout) == (2, "")


def test_without_any_home(monkeypatch):
    """As in a container whose user has no name."""
    import pwd

    from keraskit import system
    from keraskit.datasets import mnist

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda _: {}["nobody"])
    assert system.cache_folder() is None and system.home() is None
    assert system.keras_home() == Path("/tmp/.keras")
    assert mnist.search_path()[-1][1].name == "mnist.npz"


def test_a_reader_that_goes_away_ends_a_command_quietly(tmp_path, preforked):
    out, err = tmp_path / "out", tmp_path / "err"
    os.mkfifo(out)
    process = preforked.start("keraskit", QUICK, tmp_path, dict(os.environ), [out, err])
    with out.open() as reader:
        assert reader.readline()
    assert process.wait(120) == 141 and err.read_text() == ""
