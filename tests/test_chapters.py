"""The chapters: the code of each runs, offline and quick, and is the same in both languages."""

import os
import runpy
import subprocess
import sys

import jupytext
import pytest
from conftest import ROOT

CHAPTERS = sorted(path for path in (ROOT / "docs" / "chapters").glob("*.md") if ".zh-CN" not in path.name)


def cells(path, kind="code"):
    return [cell.source for cell in jupytext.read(path).cells if cell.cell_type == kind]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs(path, here, monkeypatch, capsys):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the port that throws all away
    (here / "chapter.py").write_text("\n".join(cells(path)))
    if path.stem == "5-pretrained":  # where Keras itself looks into KERAS_HOME, which it reads when it is imported
        environment = os.environ | {"KERAS_HOME": str(here / "keras")}
        said = subprocess.run([sys.executable, "chapter.py"], env=environment, check=True, capture_output=True).stdout
    else:
        runpy.run_path("chapter.py")
        said = capsys.readouterr().out
    assert len(said.splitlines()) > 5


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_both_languages_have_the_same_code(path):
    assert [each.name[0] for each in CHAPTERS] == list("123456")
    chinese = path.with_suffix(".zh-CN.md")
    assert cells(path) == cells(chinese)
    kinds = [[cell.cell_type for cell in jupytext.read(each).cells] for each in (path, chinese)]
    assert kinds[0] == kinds[1]
    assert all(any("\u4e00" <= letter <= "\u9fff" for letter in text) for text in cells(chinese, "markdown"))
