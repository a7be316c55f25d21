"""Photographs as splits: bad ones left out, a cache that changes nothing but time, pets that say they are drawn."""

import hashlib

import numpy as np
import pytest
from PIL import Image
from shared_data import shared

from keraskit import system
from keraskit.datasets.images import cats_and_dogs, decode, drawn_pets, folder
from keraskit.datasets.images.labels import arrange
from keraskit.datasets.images.sources import open_files
from keraskit.datasets.preprocessing import IMAGENET_MEAN
from keraskit.datasets.splitting import SPLITS
from keraskit.errors import UserError


@pytest.fixture(autouse=True)
def own_memory(tmp_path_factory, monkeypatch):
    """What was checked is remembered in a folder of this test; nobody's downloaded archive is used."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))


@pytest.fixture
def photographs(tmp_path):
    """Sixteen red and twelve blue pictures of different sizes."""
    for name, colour, count in (("red", (200, 10, 10), 16), ("blue", (10, 10, 200), 12)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.new("RGB", (30 + i, 50 - i), colour).save(tmp_path / name / f"{i}.{'jpg' if i % 2 else 'png'}")
    (tmp_path / "red" / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_class_is_split_in_its_shares_without_overlap(photographs):
    for shares, sizes in ((None, (20, 4, 4)), ((50, 25, 25), (14, 7, 7))):
        splits = cats_and_dogs.caffe(data_dir=photographs, shares=shares)
        assert splits.classes == ("blue", "red") and tuple(splits.sizes().values()) == sizes
        for split in (splits.train, splits.validation, splits.test):
            assert np.abs(np.bincount(split.labels) - split.size * np.array([12, 16]) / 28).max() <= 1
    assert splits.source["notes"] == [
        "split: 50/25/25 of each class at random, seed 0",
        "skipped 1 of the type .txt",
    ]
    assert splits.source["split_seed"] == 0 and not splits.source["reference"]


def test_a_limit_leaves_every_class(photographs):
    splits = cats_and_dogs.caffe(data_dir=photographs, limit=6)
    assert splits.sizes() == {"train": 6, "validation": 4, "test": 4}
    assert all(len(set(split.labels)) == 2 for split in (splits.train, splits.validation, splits.test))
    train = splits.reshape((20, 24, 3)).train
    pixels = train.pictures(np.arange(6)).mean((1, 2))
    assert np.array_equal(pixels[:, 0] > 100, train.labels == 1)  # pictures and labels still belong together


@pytest.mark.parametrize("cache", ["on", "off"])
def test_pictures_follow_the_models_size_and_are_scaled_as_vgg_wants(photographs, cache):
    splits = cats_and_dogs.caffe(data_dir=photographs, cache=cache).reshape((20, 24, 3))
    x, y = splits.train.take(np.arange(14))
    assert x.shape == (14, 20, 24, 3)
    red = x[y == 1] + np.array(IMAGENET_MEAN, np.float32)
    assert np.abs(red - [10, 10, 200]).max() < 4  # blue first; JPEG is off by a little
    assert splits.train.pictures(np.array([0])).dtype == np.uint8


def test_the_cache_changes_nothing(photographs):
    one, two = (cats_and_dogs.unit(data_dir=photographs, cache=cache).reshape((20, 24, 3)) for cache in ("on", "off"))
    assert np.array_equal(one.train.take(np.arange(14))[0], two.train.take(np.arange(14))[0])


def test_a_cache_that_does_not_fit_is_not_attempted_and_the_reason_is_given(photographs, monkeypatch):
    monkeypatch.setattr(system, "available_memory", lambda: 10_000)
    splits = cats_and_dogs.unit(data_dir=photographs).reshape((20, 24, 3))
    assert splits.source["cache"].startswith("none, decoding every epoch: 0.00 GB")
    monkeypatch.setattr(system, "available_memory", lambda: 10**9)
    splits = cats_and_dogs.unit(data_dir=photographs).reshape((20, 24, 3))
    assert splits.source["cache"].startswith("in memory")


def test_a_bad_picture_is_left_out_of_its_split_and_the_others_stay_where_they_were(photographs):
    for i in range(16, 40):  # so that one bad one is less than 5 %
        Image.new("RGB", (9, i)).save(photographs / "red" / f"{i}.png")
    clean = cats_and_dogs.unit(data_dir=photographs)
    (photographs / "red" / "3.jpg").write_bytes(b"")
    splits = cats_and_dogs.unit(data_dir=photographs)
    for one, other in ((clean.train, splits.train), (clean.validation, splits.validation), (clean.test, splits.test)):
        assert set(other.names) == set(one.names) - {"red/3.jpg"}
    assert splits.source["left_out"] == {"red/3.jpg": "is empty"}
    assert "left out 1 that cannot be used: red/3.jpg is empty" in splits.source["notes"]


def test_drawn_pets_are_called_drawn_repeat_and_do_not_overlap():
    few, more = (cats_and_dogs.unit(limit=limit) for limit in (6, 12))
    assert few.source["name"] == "drawn pets" and "--download" in few.source["found"]
    assert few.sizes() == {"train": 6, "validation": 6, "test": 6}
    index = np.arange(6)
    assert np.array_equal(few.train.pictures(index), more.train.pictures(index))
    assert not (few.train.pictures(index) == few.test.pictures(index)).all()
    assert drawn_pets.draw("cat", 3).shape == (150, 150, 3)
    as_file = decode.read(cats_and_dogs.DrawnPets().read("validation/dog/403.bmp"))
    assert np.array_equal(np.asarray(as_file), drawn_pets.draw("dog", 403))


def test_the_public_archive_is_fetched_only_when_asked_for_and_used_when_it_is_whole(photographs, monkeypatch):
    import keras

    archive = system.keras_home() / "datasets" / cats_and_dogs.ARCHIVE
    archive.parent.mkdir(parents=True)

    asked = []

    def get_file(name, url, file_hash, hash_algorithm):
        asked.append((name, url, file_hash, hash_algorithm))
        if photographs is None:
            raise Exception("URL fetch failure")
        return str(photographs)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    for part in (0, 700):
        archive.write_bytes(bytes(part))
        place, found = cats_and_dogs.photographs(None, False)
        assert place is None and not asked and archive.read_bytes() == bytes(part)
        assert f"has {part} of 824,887,076 bytes" in found or not part
    assert cats_and_dogs.unit(download=True).classes == ("blue", "red")
    assert asked == [("kagglecatsanddogs_5340.zip", cats_and_dogs.URL, cats_and_dogs.SHA256, "sha256")]
    with archive.open("ab") as file:
        file.truncate(824_887_076)  # takes no room on the disk
    for download in (False, True):
        assert cats_and_dogs.photographs(None, download) == (
            archive,
            "Microsoft's public archive in Keras's cache, known by its size",
        )
    archive.unlink()
    assert len(asked) == 1
    photographs = None
    with pytest.raises(UserError, match=r"could not be downloaded: URL .* name it with --data-dir"):
        cats_and_dogs.unit(download=True)


def test_folders_that_cannot_serve_are_one_clear_error(tmp_path, photographs):
    with pytest.raises(UserError, match="does not exist"):
        cats_and_dogs.caffe(data_dir=tmp_path / "nowhere")
    with pytest.raises(UserError, match="has 0 classes"):
        cats_and_dogs.caffe(data_dir=photographs / "red")
    with pytest.raises(UserError, match="the model's input is"):
        cats_and_dogs.caffe(limit=4).reshape((28, 28))


def test_the_documents_order_of_kaggles_photographs_is_as_it_was_measured():
    """Of 1,750 of each, by number; stored in the order of NumPy's permutation with the seed 0."""
    files = open_files(shared("cats_and_dogs/train.zip"))
    layout = arrange(files.names, files.root, 2_000, others=files.others)
    for split, first, end in (("train", 0, 876), ("validation", 876, 1_313), ("test", 1_313, 1_750)):
        expected = [(f"train/{kind}.{i}.jpg", k) for k, kind in enumerate(("cat", "dog")) for i in range(first, end)]
        assert layout.splits[split] == expected
        mixed = [expected[i] for i in np.random.default_rng(0).permutation(len(expected))]
        assert folder._mixed(expected, None) == mixed
    assert layout.document and "the document's order" in layout.how


def test_copies_in_two_splits_are_left_out_of_training_and_said_first(photographs):
    """Every picture is there twice: what is trained on has no copy in what is tested on."""
    for path in sorted(photographs.glob("*/*.*")):
        if path.suffix != ".txt":
            path.with_name(f"copy_{path.name}").write_bytes(path.read_bytes())
    (photographs / "blue" / "wrong.jpg").write_bytes((photographs / "red" / "1.jpg").read_bytes())
    splits = cats_and_dogs.unit(data_dir=photographs)
    read = {name: [(photographs / n).read_bytes() for n in getattr(splits, name).names] for name in SPLITS}
    assert not set(read["train"]) & {*read["validation"], *read["test"]}
    dropped = 57 - sum(map(len, read.values()))
    notes = splits.source["notes"]
    assert dropped and notes[0] == (f"left out of training: {dropped} exact copies of examples in validation or test")
    assert any(n.startswith("the same bytes in two classes: blue/wrong.jpg (blue) and red/") for n in notes)
    assert splits.train.prints.tolist() == [int(hashlib.sha256(data).hexdigest()[:16], 16) for data in read["train"]]


def test_the_real_photographs_are_found_whole_and_quickly():
    splits = cats_and_dogs.unit(data_dir=shared("cats_and_dogs/train.zip"), limit=300)
    assert splits.classes == ("cat", "dog") and not splits.source["left_out"]
    assert splits.sizes() == {"train": 300, "validation": 300, "test": 300}
    x, _ = splits.reshape((150, 150, 3)).train.take(np.arange(8))
    assert 0.2 < x.mean() < 0.7 and x.std() > 0.1


def test_strangers_are_named_in_a_note(photographs):
    for name in ("preview.png", "docs/1.png", "docs/2.png", "extra/a/1.png"):
        (photographs / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (7, len(name))).save(photographs / name)
    for split, numbers in (("train", range(12)), ("test", range(12, 16))):
        for kind in ("red", "blue"):
            (photographs / split / kind).mkdir(parents=True)
            for i in numbers:
                Image.new("RGB", (i + 1, 60), kind).save(photographs / split / kind / f"{i}.png")
    splits = cats_and_dogs.unit(data_dir=photographs)
    assert splits.classes == ("blue", "red") and splits.sizes() == {"train": 20, "validation": 4, "test": 8}
    assert splits.source["notes"][1].startswith(
        "left out 32 pictures of no class or split: blue/, docs/, extra/a/1.png,"
    )
