"""Run folders and pictures: whole or absent, read back as written, and a report that needs nothing else."""

import base64
import re
import threading

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from keraskit.runs import plots, report
from keraskit.runs.folder import RunFolder


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


def test_report_is_self_contained_and_is_made_from_files_alone(tiny_run):
    folder = RunFolder(tiny_run.folder)
    before = (folder.path / "report.html").read_text()
    report.write_report(folder)
    assert (folder.path / "report.html").read_text() == before
    links = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)([^"']*)""", before)
    charts = [base64.b64decode(each).decode() for each in re.findall(r"svg\+xml;base64,([^\"]+)", before)]
    leads = [lead for chart in charts for lead in re.findall(r"""(?:xlink:href="|url\()(.)""", chart)]
    assert not links and "url(" not in before and len(charts) == 3 and len(leads) > 20 and set(leads) == {"#"}
    assert before.count("<script") == 1 and "http" not in before.replace("http://www.w3.org/", "")
    assert f"{tiny_run.metrics['accuracy']:.4f}" in before and "keraskit run mlp --quick" in before


def test_confusion_colours_are_shares_of_the_true_class(tmp_path):
    """The picture itself: the colour map's own colours of each row's shares, the same for ten times the examples."""
    counts = np.array([[345, 92], [140, 297]])
    colours = colormaps["cividis_r"]([345 / 437, 92 / 437, 140 / 437, 297 / 437], bytes=True)[:, :3]
    for factors in ([1, 1], [10, 1]):
        plots.save(plots.confusion(counts * np.array(factors)[:, None], ["a", "b"]), tmp_path / "c.png")
        pixels = np.asarray(Image.open(tmp_path / "c.png").convert("RGB")).reshape(-1, 3)
        found, areas = np.unique(pixels, axis=0, return_counts=True)
        large = set(map(tuple, found[areas > 10_000].tolist()))
        assert large - {(255, 255, 255)} == set(map(tuple, colours.tolist()))
    assert np.linalg.norm(np.diff(colours[[0, 3, 2, 1]].astype(float), axis=0), axis=1).min() > 20
