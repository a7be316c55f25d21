"""Fixtures shared by all tests: a working folder, the command as a real process, one tiny real run, and a browser."""

import gc
import os
import shutil
import signal
from pathlib import Path

import prefork
import pytest

from keraskit import start

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FIRST = ("test_kill", "test_cluster", "test_placement", "test_package", "test_verify")  # few tests, and long ones
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync", "extensions", "default-apps")


def pytest_configure():
    """Ctrl-C's signal reaches what tests start, also where a shell began the suite in the background and ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Long tests first: were they last, one process would wait for the other."""
    items.sort(key=lambda item: item.path.stem not in FIRST)


@pytest.fixture(scope="session", autouse=True)
def tensorflow():
    """TensorFlow, started once and quietly; MNIST's arrays stay in memory."""
    start.start_tensorflow()
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


@pytest.fixture
def command(tmp_path, preforked):
    """Run `keraskit ...` as a user would, from another folder. Returns the finished process."""

    def call(*words, module="keraskit", **env):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("KERASKIT_")} | env
        return preforked.run(module, words, tmp_path, environment)

    return call


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A finished quick run of mlp."""
    import keraskit

    return keraskit.run("mlp", quick=True, output_dir=tmp_path_factory.mktemp("runs"))


def draw_nothing(patch):
    """Pictures and reports without curves, diagrams and sheets, which take longer to draw than all else of them."""
    from keraskit.runs import plots

    for name in ("curves", "reliability", "confusion", "sheet", "as_svg"):
        patch.setattr(plots, name, lambda *_, **__: b"")
    patch.setattr(plots, "save", lambda _, path: path.touch())


@pytest.fixture(scope="module")
def undrawn(tiny_run):
    """Runs without pictures, in their folders and pages, for tests that look at something else: half of a tiny run.

    The shared run comes first, so that it is drawn.
    """
    from keraskit.runs import figures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "draw_model", lambda *_: None)
        draw_nothing(patch)
        yield


@pytest.fixture
def uncompiled(monkeypatch):
    """No XLA unless it is asked for: to compile a tiny model of dense layers takes longer than the rest of its run."""
    from keraskit.training import hardware

    monkeypatch.setattr(hardware, "_xla", lambda *_: hardware.Choice("off", "not in this test"))


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium that fetches nothing of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install keraskit[dev]")
    if not CHROMIUM:
        pytest.skip("no Chromium here: apt install chromium")
    with playwright.sync_playwright() as running:
        words = ["--no-sandbox", "--no-first-run", *(f"--disable-{word}" for word in QUIET)]
        opened = running.chromium.launch(executable_path=CHROMIUM, args=words)
        yield opened
        opened.close()


@pytest.fixture
def generator():
    """Make Keras's own ImageDataGenerator with an augmentation's parameters; docs/ERRATA.md says where it is wrong."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator  # no public name is left for it

    return lambda augmentation: ImageDataGenerator(**dict(augmentation))
