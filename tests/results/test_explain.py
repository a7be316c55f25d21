"""`keraskit explain`: a run's answers, its mistakes and its layers' channels, as a user asks for them."""

import numpy as np
import pytest
from PIL import Image

import keraskit
from keraskit.cli import app
from keraskit.results import explain, figures, plots
from keraskit.results.predict import Predictor, load_model
from keraskit.results.run_folder import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small convolutional network that has learned a little."""
    place = tmp_path_factory.mktemp("runs")
    return keraskit.run("cnn", quick=True, epochs=2, filters=(8, 8), output_dir=place).folder


def test_mistakes_and_right_answers_are_explained_in_a_sheet_and_in_the_page(run, command, tmp_path):
    before = (run / "report.html").read_text()
    assert "Where it looked" not in before
    done = command("explain", run, "--mistakes", "--output", "sheet.png")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == "" and lines[-1] == "sheet: sheet.png"
    assert (
        sum(line.startswith("wrong: true ") for line in lines) == sum(line.startswith("right: ") for line in lines) == 8
    )
    assert all(("Grad-CAM of conv2 passes" in line) != ("NO EXPLANATION" in line) for line in lines[:16])
    page = (run / "report.html").read_text()
    passed = sum("passes its tests" in line for line in lines)
    assert "Where it looked" in page and f"{passed} of 16 maps pass both of their tests" in page
    assert page.count("<img") == before.count("<img") + 32
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1_000


def test_what_is_explained_is_what_the_run_predicts(run):
    """The pictures in the page are those of the test, and the answer to each is the one that the run recorded."""
    asked = Predictor.of(run)
    kept = figures.read(RunFolder(run))["mistakes"]
    network = asked.network()
    found = explain.of_pictures(network, explain.kept(asked)[:8], asked.classes)
    for each, caption in zip(found, kept.captions, strict=False):
        assert f"predicted {each.answer}, {each.probability:.2f}" in caption
        assert each.explanation.map.shape == each.picture.shape == (28, 28)


def test_files_and_channels(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(tmp_path / "plain.png")

    drawn, draw = [], plots.sheet

    def noting(pictures, captions, *rest, **named):
        drawn.append((pictures, captions))
        draw(pictures, captions, *rest, **named)

    monkeypatch.setattr(plots, "sheet", noting)

    def call(*words):
        with pytest.raises(SystemExit) as end:
            app.command_line(["explain", *map(str, words)])
        return (end.value.code, *capsys.readouterr())

    code, out, err = call(run, "plain.png", "--layer", "pool1")
    assert (code, err) == (0, "") and out.startswith("plain.png: ") and (tmp_path / "explained.png").is_file()
    code, out, err = call(run, "plain.png", "--maps", "--layer", "conv1", "--output", "maps.png")
    with Image.open(tmp_path / "maps.png") as maps:
        assert (code, err) == (0, "") and maps.width > 500
    maps, _ = drawn[-1]
    kernels = np.asarray(load_model(RunFolder(run)).get_layer("conv1").kernel)
    assert len(maps) == 1 + 2 * kernels.shape[-1]
    for i, filter in enumerate(maps[1 + kernels.shape[-1] :]):  # one for each channel, linear in the weights
        assert abs(np.corrcoef(filter.ravel(), kernels[..., 0, i].ravel())[0, 1]) > 0.999
    for words, says in (
        ([run], "No pictures are named"),
        ([run, "plain.png", "--layer", "flatten"], "no rows and columns"),
        ([run, "plain.png", "--layer", "conv9"], "Did you mean conv"),
        ([tmp_path, "plain.png"], "has no run.json"),
        ([run, "gone.png"], "gone.png does not exist"),
    ):
        code, _, err = call(*words)
        assert code == 2 and says in err and err.count("\n") == 1
