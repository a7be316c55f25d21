"""The chapters: each runs from a new kernel, offline and in quick form, and says the same in both languages."""

import os
import signal
import tempfile

import jupytext
import pytest
from conftest import ROOT
from jupyter_client.provisioning import local_provisioner
from nbclient import NotebookClient
from traitlets.config import Config

CHAPTERS = sorted(path for path in (ROOT / "docs" / "chapters").glob("*.md") if ".zh-CN" not in path.name)
NOWHERE = "http://127.0.0.1:9"  # the port that throws all away


def cells(path, kind="code"):
    return [cell.source for cell in jupytext.read(path).cells if cell.cell_type == kind]


@pytest.fixture
def short():
    """A folder for sockets, whose paths may have 107 characters."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def test_there_is_one_for_each_section():
    assert [path.name[0] for path in CHAPTERS] == list("123456")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs(path, tmp_path, short, monkeypatch, preforked):
    kernels = []

    def start(line, cwd, env, **_):
        """A kernel, for which TensorFlow need not be imported anew."""
        module, *words = line[line.index("-m") + 1 :]
        kernels.append(preforked.start(module, words, cwd, env, [os.devnull]))
        return kernels[0]

    if path.stem != "5-pretrained":  # where Keras itself looks into KERAS_HOME, which it reads when it is imported
        monkeypatch.setattr(local_provisioner, "launch_kernel", start)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", short)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = jupytext.read(path)
    config = Config({"KernelManager": {"transport": "ipc", "ip": f"{short}/kernel"}})  # no port
    # Asked to end, some kernels wait for ever for a thread of their own that has ended before.
    asked = {"timeout": 600, "kernel_name": "python3", "shutdown_kernel": "immediate", "config": config}
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}, **asked).execute()
    assert [kernel.wait() for kernel in kernels] == [-signal.SIGKILL] * len(kernels)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert len(outputs) > 5 and not [output for output in outputs if output.output_type == "error"]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_both_languages_have_the_same_code(path):
    chinese = path.with_suffix(".zh-CN.md")
    assert cells(path) == cells(chinese)
    kinds = [[cell.cell_type for cell in jupytext.read(each).cells] for each in (path, chinese)]
    assert kinds[0] == kinds[1]
    assert all(any("\u4e00" <= letter <= "\u9fff" for letter in text) for text in cells(chinese, "markdown"))
