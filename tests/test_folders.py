"""Folders of pictures: the split, the cache that changes nothing but time, and pets that say that they are drawn."""

import numpy as np
import pytest
from PIL import Image

from keraskit import machine
from keraskit.config import RunConfig
from keraskit.datasets import drawn_pets, folders
from keraskit.errors import UserError


@pytest.fixture
def photographs(tmp_path):
    """Sixteen red and twelve blue pictures of different sizes."""
    for name, colour, count in (("red", (200, 10, 10), 16), ("blue", (10, 10, 200), 12)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.new("RGB", (30 + i, 50 - i), colour).save(tmp_path / name / f"{i}.{'jpg' if i % 2 else 'png'}")
    (tmp_path / "red" / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_class_is_split_two_to_one_to_one_without_overlap(photographs):
    splits = folders.caffe(RunConfig(data_dir=photographs))
    assert splits.classes == ("blue", "red")
    assert splits.sizes() == {"train": 14, "validation": 7, "test": 7}
    for split, counts in ((splits.train, [6, 8]), (splits.validation, [3, 4]), (splits.test, [3, 4])):
        assert np.bincount(split.labels).tolist() == counts


def test_a_limit_leaves_every_class(photographs):
    splits = folders.caffe(RunConfig(data_dir=photographs, limit=6))
    assert splits.sizes() == {"train": 6, "validation": 6, "test": 6}
    assert all(len(set(split.labels)) == 2 for split in (splits.train, splits.validation, splits.test))
    blue = folders.caffe(RunConfig(data_dir=photographs, limit=6)).reshape((20, 24, 3)).train
    pixels = blue.pictures(np.arange(6)).mean((1, 2))
    assert np.array_equal(pixels[:, 0] > 100, blue.labels == 1)  # pictures and labels still belong together


@pytest.mark.parametrize("cache", ["on", "off"])
def test_pictures_follow_the_models_size_and_are_scaled_as_vgg_wants(photographs, cache):
    splits = folders.caffe(RunConfig(data_dir=photographs, cache=cache)).reshape((20, 24, 3))
    x, y = splits.train.take(np.arange(14))
    assert x.shape == (14, 20, 24, 3)
    red = x[y == 1] + np.array(folders.IMAGENET_MEAN, np.float32)
    assert np.abs(red - [10, 10, 200]).max() < 4  # blue first; JPEG is off by a little
    assert splits.train.pictures(np.array([0])).dtype == np.uint8


def test_the_cache_changes_nothing(photographs):
    one, two = (folders.caffe(RunConfig(data_dir=photographs, cache=c)).reshape((20, 24, 3)) for c in ("on", "off"))
    assert np.array_equal(one.train.take(np.arange(14))[0], two.train.take(np.arange(14))[0])


def test_a_cache_that_does_not_fit_is_not_attempted_and_the_reason_is_given(photographs, monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 10_000)
    splits = folders.caffe(RunConfig(data_dir=photographs)).reshape((20, 24, 3))
    assert splits.source["cache"].startswith("none, decoding every epoch: 0.00 GB")
    monkeypatch.setattr(machine, "available_memory", lambda: 10**9)
    splits = folders.caffe(RunConfig(data_dir=photographs)).reshape((20, 24, 3))
    assert splits.source["cache"].startswith("in memory")


def test_drawn_pets_are_called_drawn_repeat_and_do_not_overlap():
    few, more = folders.caffe(RunConfig(limit=6)), folders.caffe(RunConfig(limit=12))
    assert few.source["name"] == "drawn pets" and "no --data-dir" in few.source["found"]
    assert few.sizes() == {"train": 6, "validation": 6, "test": 6}
    index = np.arange(6)
    assert np.array_equal(few.train.pictures(index), more.train.pictures(index))
    assert not (few.train.pictures(index) == few.test.pictures(index)).all()
    assert drawn_pets.draw("cat", 3).shape == (150, 150, 3)
    assert (drawn_pets.draw("cat", 3) != drawn_pets.draw("dog", 3)).any()


def test_folders_that_cannot_serve_are_one_clear_error(tmp_path, photographs):
    with pytest.raises(UserError, match="is not a folder"):
        folders.caffe(RunConfig(data_dir=tmp_path / "nowhere"))
    (tmp_path / "green").mkdir()
    with pytest.raises(UserError, match="green has 0 pictures"):
        folders.caffe(RunConfig(data_dir=photographs))
    with pytest.raises(UserError, match="has 0 subfolders"):
        folders.caffe(RunConfig(data_dir=tmp_path / "green"))
    with pytest.raises(UserError, match="the model's input is"):
        folders.caffe(RunConfig(limit=4)).reshape((28, 28))
