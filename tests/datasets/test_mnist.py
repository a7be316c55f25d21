"""MNIST: the published class counts, the fixed split, and files that are not it."""

import shutil

import numpy as np
import pytest
from conftest import ROOT

from keraskit.datasets import digits, mnist
from keraskit.errors import UserError

TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_class_counts_are_the_published_ones_and_validation_is_the_last_5000():
    arrays, source = mnist.load()
    assert np.bincount(arrays["y_train"]).tolist() == TRAIN_COUNTS
    assert np.bincount(arrays["y_test"]).tolist() == TEST_COUNTS
    assert source["sha256"] in (ROOT / "data" / "README.md").read_text()
    splits = digits.flat()
    assert splits.sizes() == {"train": 55_000, "validation": 5_000, "test": 10_000}
    x, y = splits.validation.take(np.array([0, 4_999]))
    assert np.allclose(x * 255, arrays["x_train"][[55_000, 59_999]].reshape(2, 784), atol=1e-4)
    assert y.tolist() == arrays["y_train"][[55_000, 59_999]].tolist()


def test_the_same_pixels_in_any_shape_of_as_many_values():
    index, pictures = np.arange(10), mnist.load()[0]["x_train"][:10]
    for data in (digits.flat, digits.images):
        for shape in ((784,), (28, 28, 1), (28, 28)):
            train = data().load(shape).limited(10).train
            x = train.take(index)[0]
            assert x.shape == (10, *shape) and np.array_equal(x.reshape(10, 28, 28), pictures / np.float32(255))
            assert np.array_equal(train.pictures(index), pictures)
    assert digits.pixels().load((28, 28)).train.take(index)[0].shape == (10, 28, 28)  # rows as steps
    with pytest.raises(UserError, match=r"MNIST have the shape \(784, 1\), the model's input \(27, 29\)"):
        digits.pixels().load((27, 29))


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"y_test": None}, "lacks 'y_test"), ({"y_test": np.zeros(10_000, np.uint8)}, "is not MNIST")],
)
def test_a_file_that_is_not_mnist_is_refused(tmp_path, changed, words):
    arrays = {name: array for name, array in (mnist.load()[0] | changed).items() if array is not None}
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(UserError, match=words):
        mnist.load(tmp_path)


def test_another_packing_is_accepted_and_half_a_file_refused(tmp_path):
    np.savez(tmp_path / "mnist.npz", **mnist.load()[0])
    assert mnist.load(tmp_path)[1]["found"] == "--data-dir"
    whole = (ROOT / "data" / "mnist.npz").read_bytes()
    for content in (whole[:100_000], b"", b"PK\x05\x06" + bytes(18), b"not a zip"):
        (tmp_path / "mnist.npz").write_bytes(content)
        with pytest.raises(UserError, match="cannot be read"):
            mnist.load(tmp_path)
    with pytest.raises(UserError, match=r"elsewhere/mnist\.npz is no file"):
        mnist.load(tmp_path / "elsewhere")


def test_order_of_search(tmp_path, monkeypatch):
    assert mnist.load()[1]["found"] == "the repository's data/"
    shutil.copy(ROOT / "data" / "mnist.npz", tmp_path)
    monkeypatch.setenv("KERASKIT_DATA", str(tmp_path))
    assert mnist.load()[1]["found"] == "$KERASKIT_DATA"


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
