"""The real command in odd surroundings: names, links, homes, locales, closed outputs; and two runs at once."""

import json
import os
import shutil
import subprocess
import sys

import pytest

LONG = "é雪 -rf 'x' " + "n" * 180
QUICK = ["run", "mlp", "--quick", "--limit", 32, "--hidden", 8, "--xla", "off"]


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
    """A locale without letters beyond ASCII, another time zone, through a link, relative and long names."""
    odd = {"HOME": "/proc/none", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "TZ": "Pacific/Kiritimati"}
    plain = {"HOME": str(place), "LC_ALL": "C.UTF-8"}
    processes = [
        started([*QUICK, "--output-dir", "../link/runs ü"], place / "link", **odd),
        started([*QUICK, "--output-dir", place / LONG / "runs ü"], place, **plain),
    ]
    results = [ended(process) for process in processes]
    assert [(code, err) for code, _, err in results] == [(0, ""), (0, "")]
    assert results[0][1].isascii() and "runs" in results[0][1]
    folders = list((place / LONG / "runs ü" / "mlp").iterdir())
    runs = [json.loads((folder / "run.json").read_text("utf-8")) for folder in folders]
    assert [run["status"] for run in runs] == ["finished"] * 2 and all(
        run["started"].endswith("+00:00") for run in runs
    )
    assert len({run["weights_sha256"] for run in runs}) == 1


def test_commands_without_tensorflow_in_odd_surroundings(place, tiny_run):
    (place / "link" / "run").symlink_to(tiny_run.folder)
    shutil.copytree(tiny_run.folder, place / "link" / "other")
    cwd = place / "link"
    odd = {"LANG": "tr_TR.ISO-8859-9", "PYTHONUTF8": "0", "HOME": "/proc", "TZ": "Not/AZone", "TERM": "dumb"}
    code, out, err = ended(started(["compare", "run", "./other/", "--output", "ü\n.png"], cwd, **odd))
    assert (code, err) == (0, "") and "mlp" in out and (cwd / "ü\n.png").is_file()
    code, out, err = ended(started(["list"], cwd, PYTHONIOENCODING="ascii"))
    assert code == 0 and out.isascii() and out.count("\n") > 10
    for words, says in (
        (["compare", "run", "run", "--output", "n" * 300 + ".png"], "File name too long"),
        (["predict", "run", os.fsdecode(b"\xff.png")], "does not exist"),
        (["show", "é"], "no recipe"),
    ):
        code, out, err = ended(started(words, cwd, LC_ALL="C", PYTHONIOENCODING="ascii"))
        assert (code, out) == (2, "") and says in err and err.count("\n") == 1 and err.isascii()


def test_a_run_ends_well_whatever_is_closed(tmp_path):
    line = [sys.executable, "-m", "keraskit", *map(str, QUICK)]
    code = f"import os, sys\nfor n in (0, 1, 2): os.close(n)\nos.execv(sys.executable, {line})"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    assert len(list(tmp_path.glob("runs/mlp/*/report.html"))) == 1


def test_a_reader_that_goes_away_ends_a_command_quietly(tmp_path, preforked):
    out, err = tmp_path / "out", tmp_path / "err"
    os.mkfifo(out)
    process = preforked.start("keraskit", QUICK, tmp_path, dict(os.environ), [out, err])
    with out.open() as reader:
        assert reader.readline()
    assert process.wait(120) == 141 and err.read_text() == ""
