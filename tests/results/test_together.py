"""Several at once: runs that start in one second, and readers of a folder that is being written."""

import json
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest

from keraskit.runs import listing, report
from keraskit.runs.folder import RunFolder
from keraskit.runs.opening import load_model
from keraskit.tools import compare


def test_eight_processes_in_one_second_get_eight_folders(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom keraskit.runs.folder import RunFolder\n"
        "time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
        "folder = RunFolder.create(Path(sys.argv[1]), 'mlp')\n"
        "for i in range(20): folder.update_manifest(who=sys.argv[3], step=i)\n"
        "print(folder.path)"
    )
    start = str(time.time() + 1.5)
    line = [sys.executable, "-c", code, str(tmp_path), start]
    processes = [subprocess.Popen([*line, str(i)], stdout=subprocess.PIPE, text=True) for i in range(8)]
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * 8 and len(set(said)) == 8
    for i, path in enumerate(said):
        assert json.loads((RunFolder(path).path / "run.json").read_text()) == {"format": 1, "who": str(i), "step": 19}
    assert len(list((tmp_path / "mlp").iterdir())) == 8


@pytest.fixture
def written(tmp_path, tiny_run):
    """A run's folder that a thread rewrites all the time, in two versions in turn; and those versions."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    run = RunFolder(tiny_run.folder).read_json("run.json")
    versions = []
    for i in (1, 2):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(i)])
        model.save(tmp_path / f"{i}.keras")
        rows = [
            {"epoch": e, "loss": i, "val_loss": i, "accuracy": i, "val_accuracy": i, "seconds": i} for e in range(i)
        ]
        text = {"summary.txt": str(i) * 50_000, "model.keras": (tmp_path / f"{i}.keras").read_bytes()}
        versions.append((run | {"parameters": i, "best_epoch": i}, rows, text, model.get_weights()))
    stop, rounds = threading.Event(), []

    def write():
        while not stop.is_set():
            for facts, rows, files, _ in versions:
                folder.write_json("run.json", facts)
                folder.write_history(rows)
                folder.write_text("summary.txt", files["summary.txt"])
                with folder.atomic("model.keras") as beside:
                    beside.write_bytes(files["model.keras"])
            rounds.append(1)

    thread = threading.Thread(target=write)
    thread.start()
    while not rounds:
        time.sleep(0.01)
    yield folder, versions
    stop.set()
    thread.join()
    assert len(rounds) > 5, "the writer hardly wrote"


def test_readers_of_a_folder_that_is_being_written_see_whole_files(written):
    folder, versions = written
    begun = time.monotonic()
    seen = set()
    while time.monotonic() < begun + 2.5 or (len(seen) < 2 and time.monotonic() < begun + 30):
        rows = compare.table(listing.rows([listing.read(folder.path), listing.read(folder.path)]))
        seen |= {row[4] for row in rows}
        assert {row[4] for row in rows} <= {"1", "2"} and {row[5] for row in rows} <= {"1", "2"}
        report.write_report(folder)
        page = (folder.path / report.REPORT).read_text()
        assert page.endswith("</html>") and ("1" * 50_000 in page or "2" * 50_000 in page)
        weights = load_model(folder).get_weights()
        assert any(
            len(weights) == len(known) and all(np.array_equal(a, b) for a, b in zip(weights, known, strict=True))
            for *_, known in versions
        )
    assert seen == {"1", "2"}
    assert not [p.name for p in folder.path.iterdir() if p.name.startswith(".") and p.suffix == ".html"]
