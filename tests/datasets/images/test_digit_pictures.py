"""Pictures of digits unlike the training pictures: MNIST itself, photographed and inverted, is the oracle."""

import numpy as np
import pytest
from PIL import Image

import keraskit
from keraskit.datasets import mnist
from keraskit.datasets.images import digit_pictures
from keraskit.results.predict import predict

COUNT = 150  # test digits that are looked at


@pytest.fixture(scope="module", autouse=True)
def quickly(undrawn):
    """No figures are looked at here."""


@pytest.fixture(scope="module")
def arrays():
    return mnist.load()[0]


@pytest.fixture(scope="module")
def trained(arrays, tmp_path_factory):
    """Runs on MNIST, bright on dark, and on the same inverted, and the test accuracy on the first digits of each."""
    runs = {}
    for name, change in (("bright", lambda x: x), ("dark", lambda x: 255 - x)):
        folder = tmp_path_factory.mktemp(name)
        few = {"x_train": change(arrays["x_train"][:9_000]), "y_train": arrays["y_train"][:9_000]}
        few |= {"x_test": change(arrays["x_test"][:COUNT]), "y_test": arrays["y_test"][:COUNT]}
        np.savez(folder / "own.npz", **few)
        given = {"dataset": str(folder / "own.npz"), "epochs": 4, "output_dir": folder, "learning_rate": 0.002}
        runs[name] = keraskit.run("mlp", **given)
    return runs


def files(pictures, folder):
    folder.mkdir()
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{i:03d}.png")
    return sorted(folder.iterdir())


def accuracy(run, paths, labels, **how):
    rows = list(predict(run.folder, paths, 1, **how))
    right = np.mean([row.best[0][0] == str(label) for row, label in zip(rows, labels, strict=True)])
    return right, {row.note for row in rows}


@pytest.mark.parametrize("ink", ["bright", "dark"])
def test_the_runs_own_test_pictures_get_its_test_accuracy_and_inverted_ones_too(ink, trained, arrays, tmp_path):
    run, labels = trained[ink], arrays["y_test"][:COUNT]
    own = arrays["x_test"][:COUNT] if ink == "bright" else 255 - arrays["x_test"][:COUNT]
    as_they_are, notes = accuracy(run, files(own, tmp_path / "own"), labels)
    assert as_they_are == pytest.approx(run.metrics["accuracy"], abs=2 / COUNT) and notes == {""}
    inverted = files(255 - own, tmp_path / "inverted")
    turned, notes = accuracy(run, inverted, labels)
    assert turned == as_they_are and len(notes) == 1 and "inverted: " in notes.pop()
    assert accuracy(run, inverted, labels, invert="no")[0] < 0.5
    assert accuracy(run, inverted, labels, invert="yes") == (as_they_are, {"inverted"})


def photographs(digits, seed):
    """Digits drawn large, anywhere on unevenly lit paper, with dark ink."""
    random = np.random.default_rng(seed)
    for digit in digits:
        side = int(random.integers(160, 320))
        height, width = (int(side * factor) for factor in random.uniform(1.1, 2.0, 2))
        ink = np.zeros((height, width))
        top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
        ink[top : top + side, left : left + side] = np.asarray(Image.fromarray(digit).resize((side, side))) / 255
        rows, columns = np.mgrid[:height, :width]
        light = 1 - random.uniform(0.1, 0.4) * (rows / height * random.random() + columns / width * random.random())
        paper = random.uniform(190, 245) * light * (1 - random.uniform(0.55, 0.9) * ink)
        yield (paper + random.normal(0, 3, ink.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("ink", ["bright", "dark"])
def test_photographs_of_digits_are_nearly_as_good_as_the_digits_themselves(ink, trained, arrays, tmp_path):
    labels = arrays["y_test"][:COUNT]
    paths = files(photographs(arrays["x_test"][:COUNT], 1), tmp_path / "photographs")
    prepared, notes = accuracy(trained[ink], paths, labels)
    assert prepared > trained[ink].metrics["accuracy"] - 0.03
    assert all("cut out, scaled to 20x20 and centred" in note for note in notes)
    assert accuracy(trained[ink], paths, labels, prepare="no")[0] < prepared - 0.1


def test_mnists_own_digits_are_a_fixed_point(arrays):
    """Of a digit of MNIST, pasted anywhere on a larger field, the same picture comes back."""
    random = np.random.default_rng(0)
    for digit in arrays["x_test"][:30]:
        field = np.zeros((80, 90), np.uint8)
        top, left = random.integers(0, 50, 2)
        field[top : top + 28, left : left + 28] = digit
        found, dark_ink = digit_pictures.cut_out(Image.fromarray(field))
        assert found.shape == (28, 28) and not dark_ink
        assert np.abs(found.astype(int) - digit).mean() < 12
        centre = [(found.sum(axis=axis) @ np.arange(28)) / found.sum() for axis in (1, 0)]
        assert np.allclose(centre, 14, atol=0.6)


def test_blank_paper_has_no_digit():
    assert digit_pictures.cut_out(Image.new("L", (200, 150), 230)) is None


def test_what_is_prepared_as_mnist_is_told_from_what_is_not(arrays):
    digits = arrays["x_train"][:500]
    for pictures in (digits, 255 - digits):
        assert digit_pictures.measure(pictures)["as_mnist"] > 0.95
    assert digit_pictures.measure(255 - digits)["darkest_border"] > 200
    filled = np.random.default_rng(0).integers(0, 256, (200, 28, 28)).astype(np.uint8)
    assert digit_pictures.measure(filled)["as_mnist"] < 0.05
