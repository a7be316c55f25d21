"""Run folders and pictures: whole or absent, read back as written, and a report that needs nothing else."""

import re
import threading

import numpy as np
import pytest
from PIL import Image

from keraskit.errors import UserError
from keraskit.results import plots, report
from keraskit.results.run_folder import RunFolder


def test_folders_made_in_the_same_second_differ(tmp_path):
    made, threads = [], []
    for _ in range(16):
        threads.append(threading.Thread(target=lambda: made.append(RunFolder.create(tmp_path, "mlp").path)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 16 and all(path.is_dir() for path in made)


def test_a_file_is_whole_or_absent(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_text("a.txt", "old")
    with pytest.raises(RuntimeError), folder.atomic("a.txt") as path:
        path.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_how_a_run_ended_is_recorded(tmp_path):
    for error, status in ((None, "finished"), (KeyboardInterrupt, "interrupted"), (RuntimeError, "failed")):
        try:
            with RunFolder(tmp_path).recorded():
                assert RunFolder(tmp_path).read_json("run.json")["status"] == "running"
                if error:
                    raise error("why")
        except (KeyboardInterrupt, RuntimeError):
            assert "why" in RunFolder(tmp_path).read_json("run.json")["error"]
        assert RunFolder(tmp_path).read_json("run.json")["status"] == status


def test_history_comes_back_as_written(tmp_path):
    rows = [
        {"epoch": 1, "loss": 0.1234567890123, "val_loss": float("nan")},
        {"epoch": 2, "loss": 1e-9, "val_loss": 2.0},
    ]
    RunFolder(tmp_path).write_history(rows)
    back = RunFolder(tmp_path).read_history()
    assert np.array_equal([list(r.values()) for r in back], [list(r.values()) for r in rows], equal_nan=True)


def test_reading_what_is_no_run_folder_is_one_clear_error(tmp_path):
    with pytest.raises(UserError, match=r"no run\.json"):
        RunFolder(tmp_path).read_json("run.json")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        RunFolder(tmp_path).read_json("run.json")


def test_report_is_self_contained_and_is_made_from_files_alone(tiny_run):
    folder = RunFolder(tiny_run.folder)
    before = (folder.path / "report.html").read_text()
    report.write_report(folder)
    assert (folder.path / "report.html").read_text() == before
    links = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)([^"']*)""", before)
    assert links == [] and "<script" not in before and "url(" not in before
    assert f"{tiny_run.metrics['accuracy']:.4f}" in before and "keraskit run mlp --quick" in before


def test_report_escapes_what_comes_from_data(tmp_path, tiny_run):
    folder = RunFolder(tmp_path)
    run = RunFolder(tiny_run.folder).read_json("run.json")
    folder.write_json("run.json", run | {"summary": "<script>alert(1)</script>", "command": "<b>&"})
    report.write_report(folder)
    page = (tmp_path / "report.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page and "&lt;b&gt;&amp;" in page


def test_pictures_are_written_for_odd_inputs(tmp_path):
    grey, colour = np.zeros((3, 28, 28), np.uint8), np.full((3, 8, 12, 3), 200, np.uint8)
    plots.sheet(grey[:0], [], tmp_path / "none.png", "none")
    plots.sheet(colour, ["$x", "a\nb", "é"], tmp_path / "colour.png")
    plots.confusion(np.zeros((2, 2), int), ["a", "b"], tmp_path / "empty.png")
    plots.confusion(np.eye(40, dtype=int), [f"class {i}" for i in range(40)], tmp_path / "many.png")
    plots.curves([{"epoch": 1, "loss": 1.0, "val_loss": 2.0}], 1, tmp_path / "one.png")
    for name in ("none", "colour", "empty", "many", "one"):
        assert min(Image.open(tmp_path / f"{name}.png").size) > 100


def test_confusion_colours_grow_with_the_count(tmp_path):
    """The picture itself: the diagonal of a good model is darker than its errors, and cells without any are white."""
    plots.confusion(np.array([[900, 3], [0, 900]]), ["a", "b"], tmp_path / "c.png")
    image = np.asarray(Image.open(tmp_path / "c.png").convert("L")).astype(int)
    values, counts = np.unique(image, return_counts=True)
    large = {int(v) for v, c in zip(values, counts, strict=True) if c > 5_000}
    assert any(v < 60 for v in large) and any(120 < v < 240 for v in large) and 255 in large
