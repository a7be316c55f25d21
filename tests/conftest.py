"""Shared by all tests: the command, a working folder, one tiny real run, a browser, and which tests go first."""

import contextlib
import gc
import io
import os
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import prefork
import pytest

from keraskit import start
from keraskit.cli import app

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FIRST = (  # modules that take longest, the longest first
    *("test_readme", "test_chapters", "test_cluster", "test_demo", "test_export", "test_resume"),
    *("test_callbacks", "test_verify", "test_user_code", "test_package", "test_classify"),
)


def pytest_configure():
    """Ctrl-C's signal reaches what tests start, also where a shell began the suite in the background and ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Were long modules last, one process would wait for the other."""
    items.sort(key=lambda item: FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST))


@pytest.fixture(scope="session", autouse=True)
def tensorflow():
    """TensorFlow, started once and quietly; MNIST's arrays stay in memory.

    Graphs stay as they are traced: to optimise them takes longer than tiny steps. Commands in other processes do.
    """
    start.start_tensorflow()
    start.tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    gc.freeze()  # as a command does
    with pytest.MonkeyPatch.context() as patch:
        prefork.keep_mnist(patch.setattr)
        yield


@pytest.fixture(scope="module", autouse=True)
def memory():
    """A module's models are gone after it: each is a circle of objects, and a suite's would be ten gigabytes."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def preforked():
    """What runs commands without importing TensorFlow for each."""
    process = prefork.Prefork()
    yield process
    process.end()


def shared(name):
    """Data that tests may read and the repository may not hold; a test without it skips and says why."""
    path = Path(os.environ.get("KERASKIT_SHARED_DATA") or ROOT.parent / "shared" / "data") / name
    if not path.exists():
        pytest.skip(f"there is no {path}; KERASKIT_SHARED_DATA names another folder")
    return path


class Said(NamedTuple):
    code: int
    out: str
    err: str


def command(*words):
    """Run `keraskit WORDS` in this process."""
    said = [io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2)]
    with contextlib.redirect_stdout(said[0]), contextlib.redirect_stderr(said[1]), pytest.raises(SystemExit) as end:
        app.command_line([str(word) for word in words])
    for stream in said:
        stream.seek(0)
    return Said(end.value.code, *(stream.read() for stream in said))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A finished quick run of mlp."""
    import keraskit

    return keraskit.run("mlp", quick=True, output_dir=tmp_path_factory.mktemp("runs"))


@pytest.fixture
def run(tmp_path, tiny_run):
    """The folder of a copy of it."""
    from keraskit.runs.folder import RunFolder

    return RunFolder(shutil.copytree(tiny_run.folder, tmp_path / "runs" / "mlp" / tiny_run.folder.name))


def draw_nothing(patch):
    """Pictures and reports without curves, diagrams and sheets, which take longer to draw than all else of them."""
    from keraskit.runs import plots

    for name in ("curves", "reliability", "confusion", "sheet", "as_svg"):
        patch.setattr(plots, name, lambda *_, **__: b"")
    patch.setattr(plots, "save", lambda _, path, **__: path.touch())


@pytest.fixture(scope="module")
def undrawn(tiny_run):
    """Runs without pictures, in their folders and pages, for tests that look at something else: half of a tiny run.

    The shared run comes first, so that it is drawn.
    """
    from keraskit.models import graph

    with pytest.MonkeyPatch.context() as patch:
        draw = graph.draw  # in blocks for a run's folder; `show` draws
        patch.setattr(graph, "draw", lambda *given, blocks=False: None if blocks else draw(*given))
        draw_nothing(patch)
        yield


@pytest.fixture
def uncompiled(monkeypatch):
    """No XLA unless it is asked for: to compile a tiny model of dense layers takes longer than the rest of its run."""
    from keraskit.training import hardware

    monkeypatch.setattr(hardware, "_xla", lambda *_: hardware.Choice("off", "not in this test"))


@pytest.fixture
def tiny_vgg16(monkeypatch):
    """A network of one convolution in VGG16's place, for tests of what is done with a pretrained base."""

    def build(weights, input_shape, **_):
        inputs = keras.Input(input_shape)
        return keras.Model(inputs, keras.layers.Conv2D(4, 3, strides=4)(inputs), name="vgg16")

    import keras

    build.__module__ = keras.applications.VGG16.__module__
    monkeypatch.setattr(keras.applications, "VGG16", build)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install keraskit[dev]")
    if not CHROMIUM:
        pytest.skip("no Chromium here: apt install chromium")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def tab_of(browser, page, **settings):
    """A tab with a page in a window of its own, and what the page says on its console and asks of others."""
    tab = browser.new_context(**settings).new_page()
    said, asked = [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page.as_uri())
    return tab, said, asked


def barriers(tab):
    """What axe finds that keeps somebody from reading a page."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-playwright-python here")
    return axe.Axe().run(tab).response["violations"]


@pytest.fixture
def generator():
    """Make Keras's own ImageDataGenerator with an augmentation's parameters; docs/ERRATA.md says where it is wrong."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator  # no public name is left for it

    return lambda augmentation: ImageDataGenerator(**dict(augmentation))
