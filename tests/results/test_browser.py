"""The report in a real browser: nothing fetched, nothing wider than its window, readable by all, light and dark."""

import io
import re
import shutil

import numpy as np
from conftest import barriers, tab_of
from PIL import Image

from keraskit.runs import report
from keraskit.runs.folder import RunFolder

CHINESE = ["零", "一号", "二", "三", "四", "五", "六", "七", "八", "非常长的九号类别名称"]


def named(folder):
    with np.load(folder.path / "pictures.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays["samples/captions"] = np.array([CHINESE[i % 10] for i in range(len(arrays["samples/captions"]))])
    np.savez(folder.path / "pictures.npz", **arrays)
    folder.update_manifest(classes=CHINESE)


def regression(folder):
    (folder.path / "pictures.npz").unlink()
    values = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    np.savez(folder.path / "predictions.npz", **{"test/targets/": values, "test/predictions/": values * 0.9})
    folder.update_manifest(classes=[], test={"loss": 0.2, "mae": 0.4}, regression=["mean absolute error 0.4"])


def several_labels(folder):
    """Yes or no to each of three labels; the table is too wide for a phone."""
    (folder.path / "pictures.npz").unlink()
    yes, sure = np.eye(3, dtype=np.float32)[[0, 1, 2] * 9], np.random.default_rng(0).random((27, 3), np.float32)
    kept = {"targets/": yes, "predictions/": sure}
    splits = {f"{split}/{key}": each for split in ("validation", "test") for key, each in kept.items()}
    np.savez(folder.path / "predictions.npz", **splits)
    folder.update_manifest(classes=[], test={"loss": 0.2, "binary_accuracy": 0.4})


def interrupted(folder):
    for name in ("pictures.npz", "predictions.npz"):
        (folder.path / name).unlink()
    folder.update_manifest(status="interrupted", test=None, verdict=None)


def test_it_opens_alone_fits_every_window_and_has_no_barrier(browser, tiny_run, tmp_path):
    looks = ((named, "light"), (named, "dark"), (regression, "dark"), (interrupted, "light"), (several_labels, "light"))
    for make, scheme in looks:
        folder = RunFolder(shutil.copytree(tiny_run.folder, tmp_path / f"{make.__name__} {scheme}"))
        make(folder)
        report.write_report(folder)
        window = {"color_scheme": scheme, "viewport": {"width": 800, "height": 900}}
        tab, said, asked = tab_of(browser, folder.path / report.REPORT, **window)
        tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert not barriers(tab)
        for width in (360, 800, 1400):
            tab.set_viewport_size({"width": width, "height": 900})
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            curves = [each.bounding_box() for each in tab.locator("img[alt*='epochs']").all()]
            assert (len({box["x"] for box in curves}) == 1) == (width == 360) and curves[0]["width"] > 300
        chart = tab.locator("img[alt*='epochs'], img[alt*='true values']").first
        pixels = np.asarray(Image.open(io.BytesIO(chart.screenshot())).convert("L"))
        paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")[4:-1].split(",")
        assert (np.median(pixels) < 128) == (sum(map(int, paper)) < 384) == (scheme == "dark")
        assert np.ptp(pixels[-len(pixels) // 8 :]) > 180  # the letters at its foot stand out
        assert not said and {url[:5] for url in asked} <= {"file:", "data:"} and len(asked) > 0
        tab.context.close()


def test_it_is_whole_without_script_and_on_paper(browser, tiny_run, tmp_path):
    tab = browser.new_page(java_script_enabled=False)
    tab.goto((tiny_run.folder / "report.html").as_uri())
    text = tab.locator("body").inner_text()
    assert f"{tiny_run.metrics['accuracy']:.4f}" in text and "How sure it is" in text
    tab.close()
    tab = browser.new_page()
    tab.goto((tiny_run.folder / "report.html").as_uri())
    tab.emulate_media(media="print")
    assert "Layer (type)" in tab.locator("body").inner_text()  # the summary is printed, run.json is not
    assert not tab.get_by_text("Everything that was recorded").is_visible()
    assert len(re.findall(rb"/Type\s*/Page\b", tab.pdf(path=tmp_path / "page.pdf", format="A4"))) == 2
    tab.close()
