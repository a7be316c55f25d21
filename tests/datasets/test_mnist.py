"""MNIST: the published class counts, the fixed split, and files that are not it."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from keraskit.datasets import digits, mnist
from keraskit.datasets.images import cats_and_dogs
from keraskit.errors import UserError

TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_class_counts_are_the_published_ones():
    arrays, source = mnist.load()
    assert np.bincount(arrays["y_train"]).tolist() == TRAIN_COUNTS
    assert np.bincount(arrays["y_test"]).tolist() == TEST_COUNTS
    assert source["sha256"] in (ROOT / "data" / "README.md").read_text()


def test_validation_is_the_last_5000_and_the_splits_do_not_overlap():
    arrays, _ = mnist.load()
    splits = digits.flat()
    assert [splits.train.size, splits.validation.size, splits.test.size] == [55_000, 5_000, 10_000]
    x, y = splits.validation.take(np.array([0, 4_999]))
    assert np.allclose(x * 255, arrays["x_train"][[55_000, 59_999]].reshape(2, 784), atol=1e-4)
    assert y.tolist() == arrays["y_train"][[55_000, 59_999]].tolist()


def test_images_and_flat_hold_the_same_pixels():
    flat, images = digits.flat().limited(10), digits.images().limited(10)
    index = np.arange(10)
    a, b = flat.train.take(index)[0], images.train.take(index)[0]
    assert a.shape == (10, 784) and b.shape == (10, 28, 28, 1)
    assert (a.reshape(10, 28, 28, 1) == b).all() and a.min() >= 0 and a.max() == 1
    assert (flat.train.pictures(index) == mnist.load()[0]["x_train"][:10]).all()


@pytest.fixture
def arrays():
    """The real arrays, to be damaged."""
    return dict(mnist.load()[0])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda a: a.pop("y_test"), "lacks 'y_test"),
        (
            lambda a: a.update(x_train=a["x_train"][:, :27]),
            r"uint8 \(60000, 27, 28\), expected uint8 \(60000, 28, 28\)",
        ),
        (lambda a: a.update(y_train=a["y_train"].astype("int64")), "int64"),
        (lambda a: a.update(y_test=np.roll(a["y_test"], 1)), "not its contents"),
    ],
)
def test_a_file_that_is_not_mnist_is_refused(tmp_path, arrays, damage, words):
    damage(arrays)
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(UserError, match=words):
        mnist.load(tmp_path)


def test_another_packing_of_the_same_digits_is_accepted(tmp_path, arrays):
    np.savez(tmp_path / "mnist.npz", **arrays)
    assert (mnist.load(tmp_path)[0]["x_test"] == arrays["x_test"]).all()


def test_truncated_empty_and_pickled_files_are_refused(tmp_path):
    file = tmp_path / "mnist.npz"
    whole = (ROOT / "data" / "mnist.npz").read_bytes()
    for content in (whole[:100_000], b"", b"PK\x05\x06" + bytes(18), b"not a zip"):
        file.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read"):
            mnist.load(tmp_path)
    np.savez(file, **{name: np.array([{}], dtype=object) for name in mnist.SHAPES})
    with pytest.raises(UserError, match="cannot be read"):
        mnist.load(tmp_path)


def test_order_of_search(tmp_path, monkeypatch):
    shutil.copy(ROOT / "data" / "mnist.npz", tmp_path)
    assert mnist.load()[1]["found"] == "the repository's data/"
    monkeypatch.setenv("KERASKIT_DATA", str(tmp_path))
    assert mnist.load()[1]["found"] == "$KERASKIT_DATA"
    assert mnist.load(tmp_path)[1]["found"] == "--data-dir"
    with pytest.raises(UserError, match="elsewhere does not exist"):
        mnist.load(tmp_path / "elsewhere")


def test_a_home_that_nobody_may_read_is_passed_by(monkeypatch):
    """Root may read everything, so the refusal is made here."""
    real = os.stat

    def stat(path, *given, **named):
        if str(path).startswith("/locked"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *given, **named)

    monkeypatch.setenv("HOME", "/locked")
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(PermissionError):  # what is mended here
        Path("/locked/x").is_file()
    assert mnist.load()[1]["found"] == "the repository's data/"
    assert cats_and_dogs.photographs(None, download=False)[0] is None


def test_without_any_file_keras_is_asked_and_its_failure_is_one_clear_error(tmp_path, monkeypatch):
    import keras

    def no_network():
        raise Exception("URL fetch failure")

    monkeypatch.setattr(mnist, "search_path", lambda: [("Keras's cache", tmp_path / "mnist.npz")])
    monkeypatch.setattr(keras.datasets.mnist, "load_data", no_network)
    with pytest.raises(UserError, match=r"looked for .*URL fetch failure.*--data-dir"):
        mnist.load()
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: shutil.copy(ROOT / "data" / "mnist.npz", tmp_path))
    assert mnist.load()[1]["found"] == "downloaded by Keras"
