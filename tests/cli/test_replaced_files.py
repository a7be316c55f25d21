"""Files that a user names for pictures and pages: what keraskit made is replaced, anything else stays."""

import numpy as np
import pytest
from PIL import Image

from keraskit.cli import app
from keraskit.runs import plots


def says(capsys, *words):
    with pytest.raises(SystemExit) as end:
        app.command_line([str(word) for word in words])
    return end.value.code, capsys.readouterr()


def test_a_photograph_named_by_the_shells_star_is_no_sheet(tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((28, 28), np.uint8)).save(name)
    before = (tmp_path / "a.png").read_bytes()
    code, out = says(capsys, "predict", tiny_run.folder, "--sheet", "a.png", "b.png")
    assert code == 2 and "a.png is there already, and was not made by keraskit" in out.err
    assert (tmp_path / "a.png").read_bytes() == before
    plots.sheet(np.zeros((1, 8, 8), np.uint8), ["x"], tmp_path / "ours.png")
    assert says(capsys, "predict", tiny_run.folder, "--sheet", "ours.png", "b.png")[0] == 0


def test_a_page_of_runs_replaces_no_page_of_somebody_elses(tiny_run, capsys):
    page = tiny_run.folder.parent / "index.html"
    page.write_text("<title>my thesis</title>")
    code, out = says(capsys, "runs", tiny_run.folder.parent, "--html")
    assert code == 2 and "was not made by keraskit" in out.err and page.read_text() == "<title>my thesis</title>"
    page.unlink()
    assert [says(capsys, "runs", tiny_run.folder.parent, "--html")[0] for _ in range(2)] == [0, 0]
    page.unlink()
