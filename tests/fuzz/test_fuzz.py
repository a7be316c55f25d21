"""A short fuzz of every kind of input that a stranger may have made; benchmarks/fuzz.py does the same for longer."""

import cases
import laws
import pytest
from hypothesis import HealthCheck, given, settings
from made import TINY, Box

import keraskit
from keraskit.cli import app

COUNTS = {
    "command lines": 250,
    "config values": 150,
    "pictures": 400,
    "npz files": 150,
    "IDX files": 150,
    "zip archives": 80,
    "weight files": 60,
    "run folders": 60,
}


@pytest.fixture(scope="module")
def box(tmp_path_factory, undrawn):
    """A place to work in, below one that nothing may be written to."""
    root = tmp_path_factory.mktemp("fuzz") / "work"
    finished = keraskit.run("mlp", **TINY, output_dir=root / "runs").folder
    laws.watch()
    with pytest.MonkeyPatch.context() as patch:
        cases.without_training(patch)
        patch.chdir(root)
        patch.setenv("HOME", str(root))
        yield Box.make(root, root.parent / "cache", finished)


@pytest.fixture(scope="module", autouse=True)
def cache(box):
    """What is remembered of pictures goes there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(box.cache))
        yield


@pytest.mark.parametrize("kind", cases.KINDS)
def test_it_ends_in_a_result_or_one_clear_line_and_writes_nowhere_else(kind, box):
    around = set(box.root.parent.iterdir())

    @settings(
        max_examples=COUNTS[kind], deadline=None, database=None, derandomize=True, suppress_health_check=HealthCheck
    )
    @given(cases.KINDS[kind][0])
    def attempt(case):
        cases.attempt(kind, case, box)

    attempt()
    assert set(box.root.parent.iterdir()) - {box.cache} == around - {box.cache}


def test_the_laws_themselves_can_fail(box, monkeypatch):
    """Or the fuzz would prove nothing."""
    with pytest.raises(AssertionError, match="outside"), laws.writing_only(box.root):
        (box.root.parent / "outside").write_text("")
    (box.root.parent / "outside").unlink()
    with pytest.raises(AssertionError, match="Popen"), laws.writing_only(box.root):
        import subprocess

        subprocess.run(["true"], check=True)
    with pytest.raises(laws.Hang), laws.within(0.05):
        while True:
            pass
    with pytest.raises(ZeroDivisionError):
        laws.reads(lambda: 1 / 0)
    assert not laws.clean("\x1b[31m") and laws.clean("é\n")
    monkeypatch.setattr(app, "find_card", lambda _: 1 / 0)
    with pytest.raises(AssertionError, match="Unexpected ZeroDivisionError"):
        laws.command(["run", "mlp"])
