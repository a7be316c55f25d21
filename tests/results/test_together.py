"""Readers of a folder that is being written see whole files."""

import threading
import time

import numpy as np
import pytest

from keraskit.runs import listing, report
from keraskit.runs.folder import RunFolder
from keraskit.tools import compare


@pytest.fixture
def written(tmp_path, tiny_run):
    """A run's folder that a thread rewrites all the time, in two versions in turn."""
    folder = RunFolder(tmp_path)
    run = RunFolder(tiny_run.folder).read_json("run.json")
    stop, rounds = threading.Event(), []

    def write():
        while not stop.is_set():
            for i in (1, 2):
                values = dict.fromkeys(("loss", "val_loss", "accuracy", "val_accuracy", "seconds"), i)
                folder.write_json("run.json", run | {"parameters": i, "best_epoch": i})
                folder.write_history([{"epoch": epoch, **values} for epoch in range(i)])
                folder.write_text("summary.txt", str(i) * 50_000)
                with folder.atomic("weights.npy") as beside:
                    np.save(beside, np.full(10_000, i))
            rounds.append(1)

    thread = threading.Thread(target=write)
    thread.start()
    while not rounds:
        time.sleep(0.01)
    yield folder
    stop.set()
    thread.join()
    assert len(rounds) > 5, "the writer hardly wrote"


def test_readers_of_a_folder_that_is_being_written_see_whole_files(written):
    begun, seen = time.monotonic(), set()
    while time.monotonic() < begun + 1.5 or (len(seen) < 2 and time.monotonic() < begun + 30):
        for _ in range(20):
            (row,) = compare.table(listing.rows([listing.read(written.path)]))
            seen.add(row[4])
            assert {row[4], row[5]} <= {"1", "2"}
        report.write_report(written)
        page = (written.path / report.REPORT).read_text()
        assert page.endswith("</html>") and ("1" * 50_000 in page or "2" * 50_000 in page)
        assert len(np.unique(np.load(written.file("weights.npy")))) == 1
    assert seen == {"1", "2"}
    assert not [path.name for path in written.path.iterdir() if path.name.startswith(".") and path.suffix == ".html"]
