"""`keraskit explain`: a run's answers and its mistakes, as a user asks for them."""

import keras
import numpy as np
import pytest
from conftest import command
from PIL import Image

import keraskit
from keraskit.runs import figures, predictions
from keraskit.runs.folder import RunFolder
from keraskit.runs.opening import open_run
from keraskit.runs.pictures import network
from keraskit.tools import explain


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small convolutional network that has learned a little."""
    place = tmp_path_factory.mktemp("runs")
    return keraskit.run("cnn", quick=True, epochs=2, filters=(8, 8), output_dir=place).folder


def test_mistakes_and_right_answers_are_explained_in_a_sheet_and_in_the_page(run, here):
    before = (run / "report.html").read_text()
    assert "Where the network saw" not in before
    done = command("explain", run, "--mistakes", "--output", "sheet.png")
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "") and lines[-1] == "sheet: sheet.png"
    assert [line.split(": ")[0] for line in lines[:-1]] == ["wrong"] * 8 + ["right"] * 8
    assert all(("Grad-CAM of conv2 passes" in line) != ("NO EXPLANATION" in line) for line in lines[:16])
    page = (run / "report.html").read_text()
    passed = sum("passes its test" in line for line in lines)
    assert "Where the network saw" in page and f"{passed} of 16 maps pass their test" in page
    assert page.count("<img") == before.count("<img") + 32
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 1_000


def test_large_pictures_are_explained_as_they_were_tested(tmp_path):
    """What the page shows is what the model saw, to the last bit: its answer to each is the one in predictions.npz."""
    noise = np.random.default_rng(0).integers(0, 256, (90, 170, 170, 3)).astype("uint8")  # JPEG would spoil these
    labels = np.arange(90) % 2

    def build() -> keras.Model:
        inputs = keras.Input((170, 170, 3))
        return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(keras.layers.Flatten()(inputs)))

    def compile_model(model):
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"])

    data = keraskit.from_arrays(noise[:60], labels[:60], noise[60:], labels[60:], scale="unit")
    recipe = keraskit.Recipe(build=build, compile=compile_model, data=data, epochs=1, batch_size=20)
    folder = RunFolder(keraskit.run(recipe, output_dir=tmp_path).folder)
    asked = open_run(folder.path)
    kept = explain.kept(asked)
    tested = predictions.read(folder).of_classes(folder.read_json("run.json"))[1]
    wrong = np.flatnonzero(tested.argmax(axis=1) != labels[60:])
    worst = wrong[np.argsort(-tested[wrong].max(axis=1), kind="stable")][: figures.WHOLE]
    good = np.flatnonzero(tested.argmax(axis=1) == labels[60:])[: figures.WHOLE]
    assert len(kept) == len(worst) + len(good)
    for (_, picture), i in zip(kept, [*worst, *good], strict=True):
        assert np.array_equal(picture, noise[60 + i])
        np.testing.assert_allclose(network(asked).probabilities(picture[None])[0], tested[i], atol=1e-4)
    figures.pack(folder, {})
    with pytest.raises(keraskit.UserError, match="kept no pictures"):
        explain.kept(asked)


def test_a_file_is_explained(run, here):
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save("plain.png")
    code, _, err = command("explain", run, "plain.png")
    assert (code, err) == (0, "") and (here / "explained.png").is_file()
