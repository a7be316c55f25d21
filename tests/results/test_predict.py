"""A run's folder alone answers for new pictures as the run itself did; odd files are rows, not stops."""

import dataclasses
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from drawn_photographs import photograph
from PIL import Image

import keraskit
from keraskit.datasets.arrays import from_arrays
from keraskit.datasets.digits import load_mnist
from keraskit.datasets.images import digit_pictures
from keraskit.datasets.images.sources import find
from keraskit.errors import UserError
from keraskit.runs import pictures
from keraskit.runs.folder import RunFolder
from keraskit.runs.opening import open_run
from keraskit.tools.predict import predict, predict_arrays
from keraskit.training.setup import reopen

CUT_OUT = "digit cut out, scaled to 20x20 and centred"
pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    x = load_mnist()[0]["x_test"][:12]
    for i, pixels in enumerate(x):
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return folder


def probabilities(rows):
    """Shape (files, classes), of rows that name every class."""
    return np.array([[dict(row.best)[str(k)] for k in range(10)] for row in rows])


def test_files_of_digits_get_what_the_model_says_of_the_arrays(digits, tmp_path):
    """Of the recipe that makes two inputs of a picture, of other sizes and with another number of channels."""
    result = keraskit.run("multi_input", limit=16, epochs=1, batch_size=8, output_dir=tmp_path)
    _, splits, _ = reopen(RunFolder(result.folder))
    said = result.model.predict(splits.test.take(np.arange(12))[0], verbose=0)
    rows = list(predict(result.folder, find([digits]), top=10))
    assert np.allclose(probabilities(rows), said, atol=2e-5)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A run on MNIST in black on white: its result, its test pictures white on black, and their labels."""
    folder = tmp_path_factory.mktemp("own")
    arrays, size = load_mnist()[0], {"train": 6_000, "test": 200}
    arrays = {name: each[: size[name[2:]]] for name, each in arrays.items()}
    np.savez(folder / "own.npz", **arrays | {name: 255 - arrays[name] for name in ("x_train", "x_test")})
    result = keraskit.run("mlp", dataset=str(folder / "own.npz"), epochs=4, batch_size=64, xla="off", output_dir=folder)
    return result, arrays["x_test"], arrays["y_test"]


def accuracy(rows, labels):
    return np.mean([row.best[0][0] == str(label) for row, label in zip(rows, labels, strict=True)])


def saved(pictures, folder):
    paths = [folder / f"{i:03d}.png" for i in range(len(pictures))]
    for picture, path in zip(pictures, paths, strict=True):
        Image.fromarray(np.asarray(picture)).save(path)
    return paths


def test_a_run_reaches_its_own_accuracy_on_files_of_either_shade(own, tmp_path):
    result, x, y = own
    for shown, note in ((255 - x, ""), (x, "inverted")):
        files = saved(shown, tmp_path)
        rows = list(predict(result.folder, files))
        assert accuracy(rows, y) == pytest.approx(result.metrics["accuracy"]) and {row.note for row in rows} == {note}
    deep = list(predict(result.folder, saved(x.astype(np.uint16) * 16, tmp_path)))  # of 12 bits
    assert accuracy(deep, y) == pytest.approx(result.metrics["accuracy"])
    saved(x, tmp_path)
    assert accuracy(predict(result.folder, files, invert="no"), y) < 0.3
    sworn = list(predict(result.folder, files, invert="yes"))
    assert [row.best for row in sworn] == [row.best for row in rows]


def test_pictures_of_both_shades_are_known_also_where_examples_lie_by_class(tmp_path, monkeypatch):
    monkeypatch.setattr(digit_pictures, "SAMPLE", 8)
    x, y = np.full((60, 28, 28), 20, np.uint8), np.repeat([0, 1], 30)
    x[30:] = 230
    recipe = dataclasses.replace(keraskit.load_recipe("mlp"), data=from_arrays(x, y, x, y, scale="unit"))
    result = keraskit.run(recipe, epochs=1, xla="off", output_dir=tmp_path)
    assert [row.note for row in predict(result.folder, saved(x[-1:], tmp_path))] == [""]  # it is not inverted
    RunFolder(result.folder).update_manifest(classes=[])  # as of values
    with pytest.raises(UserError, match="mlp learned no classes"):
        next(predict(result.folder, saved(x[:1], tmp_path)))


def test_whole_numbers_in_arrays_are_pixels_and_floats_the_models_inputs(own, tmp_path, capsys):
    result, x, _ = own
    file, zipped, floats = tmp_path / "x.npy", tmp_path / "x.npz", x.reshape(-1, 784) / np.float32(255)
    said = result.model.predict(floats, verbose=0)
    for given in (x, x[..., None], x.reshape(-1, 784), x.astype(int), x.astype("f4"), floats):
        np.save(file, given)
        np.savez(zipped, given)
        assert np.allclose([predict_arrays(result.folder, each)[1] for each in (file, zipped)], said, atol=1e-6)
        assert ("floats are the model" if given is floats else "pixels, scaled") in capsys.readouterr().out
    for given in (x > 127, (x > 127).astype("i1")):  # as arrays to train on are read
        np.save(file, given)
        said = result.model.predict(given.reshape(-1, 784).astype("f4"), verbose=0)
        assert np.allclose(predict_arrays(result.folder, file)[1], said, atol=1e-6)
    for wrong, words in (([x[:, 1:]], r"; the run learned from pictures of \(28, 28\)\. Give one array"),
                         ([x.astype(int) + 1], "learned from pictures"), ([floats * np.nan], "arr_0 holds NaN"),
                         ([x.astype("U")], "<U3"), ([floats] * 2, "arr_0, arr_1; the model takes")):  # fmt: skip
        np.savez(zipped, *wrong)
        with pytest.raises(UserError, match=words):
            predict_arrays(result.folder, zipped)


def test_photographs_of_digits_are_read_as_well_as_the_run_reads_its_own(own, tmp_path):
    result, x, y = own
    random = np.random.default_rng(0)
    files = saved([photograph(digit, random) for digit in x[:50]], tmp_path)
    rows = list(predict(result.folder, files))
    assert all(row.note.startswith(CUT_OUT) for row in rows)
    assert accuracy(rows, y[:50]) > result.metrics["accuracy"] - 0.04
    assert accuracy(predict(result.folder, files, prepare="no"), y[:50]) < 0.5
    (blank,) = predict(result.folder, saved([np.full((90, 120), 230, np.uint8)], tmp_path))
    assert blank.note.startswith("no digit found")


def test_a_bad_file_is_a_row_and_batches_change_nothing(tiny_run, digits, tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "=cmd.jpg").write_text("text")
    paths = [*find([digits]), tmp_path / "empty.jpg", tmp_path / "gone.jpg", tmp_path / "=cmd.jpg", digits / "03.png"]
    whole = list(predict(tiny_run.folder, paths, top=10))
    parts = list(predict(tiny_run.folder, paths, top=10, batch_size=5))
    good = [row for row in whole if not row.error]
    assert [row.path for row in whole] == paths and len(good) == 13
    says = ["is empty", "cannot be read", "is no picture (JPEG, PNG, BMP, GIF, WEBP, TIFF)"]
    assert [row.error.split(":")[0] for row in whole[12:15]] == says
    assert np.allclose(probabilities(good), probabilities([r for r in parts if not r.error]), atol=1e-6)


def test_a_picture_squeezed_out_of_shape_is_noted_and_a_run_may_crop(tiny_run, tmp_path, capsys):
    wide, place = tmp_path / "wide.png", shutil.copytree(tiny_run.folder, tmp_path / "run")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 90), np.uint8).astype(np.uint8))
    image.save(wide)
    image.crop((30, 0, 60, 30)).save(tmp_path / "middle.png")
    (row,) = rows = list(predict(place, [wide], prepare="no", invert="yes"))
    pictures.show(rows, list("0123456789"), {})
    assert row.note == "inverted; squeezed from 90x30"
    assert capsys.readouterr().out.endswith("1 picture squeezed out of shape: `run` and `classify` take --crop\n")
    folder = RunFolder(place)
    folder.update_manifest(inputs=folder.read_json("run.json")["inputs"] | {"crop": True})
    one, other = predict(place, [wide, tmp_path / "middle.png"], prepare="no")
    assert one.best == other.best and one.note == other.note
    model = SimpleNamespace(predict_on_batch=lambda x: np.full((len(x), 10), np.nan))
    with pytest.raises(UserError, match="The model answers with NaN or infinity"):
        list(pictures.predictions([wide], pictures.network(open_run(place))._replace(model=model), list("0123456789")))
    wide.write_text("text")
    with pytest.raises(UserError, match=r"None of the 1 pictures could be read: .*wide.png is no picture"):
        pictures.show(list(predict(place, [wide])), list("0123456789"), {})
