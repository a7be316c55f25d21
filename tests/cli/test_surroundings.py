"""The real command in odd surroundings: names, links, homes, locales, closed outputs; and two runs at once."""

import json
import os
import subprocess
import sys

import pytest

LONG = "é雪 -rf 'x' " + "n" * 180
QUICK = ["run", "mlp", "--quick", "--limit", 32, "--hidden", 8, "--xla", "off"]


PLAIN = ("-m", "keraskit")
CLOSED = (
    "-c",
    """import os, sys
for n in (0, 1, 2): os.close(n)
os.execv(sys.executable, [sys.executable, "-m", "keraskit", *sys.argv[1:]])""",
)


def started(words, cwd, way=PLAIN, **environment):
    """A process of `keraskit ...` in these surroundings alone."""
    keep = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
    line = [sys.executable, *way, *map(str, words)]
    return subprocess.Popen(
        line, cwd=cwd, env=keep | environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def ended(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape")


@pytest.fixture
def place(tmp_path):
    """A folder with a long name of spaces and letters of many kinds, and a link to it."""
    (tmp_path / LONG).mkdir()
    (tmp_path / "link").symlink_to(LONG)
    return tmp_path


def test_two_runs_at_once_one_in_odd_surroundings_the_other_with_all_closed(place):
    """A locale without letters beyond ASCII, another time zone, through a link, relative and long names."""
    odd = {"HOME": "/proc/none", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "TZ": "Pacific/Kiritimati"}
    plain = {"HOME": str(place), "LC_ALL": "C.UTF-8"}
    processes = [
        started([*QUICK, "--output-dir", "../link/runs ü"], place / "link", **odd),
        started([*QUICK, "--output-dir", place / LONG / "runs ü"], place, CLOSED, **plain),
    ]
    results = [ended(process) for process in processes]
    assert [(code, err) for code, _, err in results] == [(0, ""), (0, "")]
    assert results[0][1].isascii() and "runs" in results[0][1] and not results[1][1]
    folders = list((place / LONG / "runs ü" / "mlp").iterdir())
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
