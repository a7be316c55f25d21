"""Pictures in folders and archives: which are found, their class and split, and what `load` makes of them."""

import hashlib
import io
import os
import shutil
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from keraskit import system
from keraskit.augment.augmentation import Augmentation
from keraskit.datasets.images import cats_and_dogs, decode, drawn_pets
from keraskit.datasets.images.layout import Labels, arrange, group_of
from keraskit.datasets.images.sources import EMPTY, NO_PICTURE, Archive, Folder, find, open_files
from keraskit.datasets.preprocessing import IMAGENET_MEAN
from keraskit.datasets.splitting import SPLITS
from keraskit.errors import UserError

SHAPE = (20, 24, 3)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    """Nobody's downloaded archive is used."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))


def picture(colour=(200, 10, 10)):
    file = io.BytesIO()
    Image.new("RGB", (12, 10), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def photographs(tmp_path):
    for name, colour, count in (("red", (200, 10, 10), 40), ("blue", (10, 10, 200), 12)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.new("RGB", (30 + i, 50 - i), colour).save(tmp_path / name / f"{i}.{'jpg' if i % 2 else 'png'}")
    (tmp_path / "red" / "notes.txt").write_text("no picture")
    return tmp_path


# Where pictures lie


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_is_read_in_place_and_no_path_leaves_it(tmp_path):
    names = ["train/cat.0.jpg", "../../escape.jpg", "/absolute.jpg", "C:/drive.jpg", "train/notes.txt", "train/犬.jpg"]
    mixed = [*names, "./dot/1.jpg", "./", "__MACOSX/train/cat.0.jpg", "train/.hidden.jpg", "é\\1.jpg"]
    mixed += ["runs/1/run.json", "runs/1/curves.png", "train/cat.0.jpg"]
    for names in (mixed, ["old\\windows.jpg"]):  # of Windows; beside slashes a backslash is half of a character
        with zipfile.ZipFile(tmp_path / "pets.zip", "w") as file:
            for name in names:
                file.writestr(name, picture())
        found = Archive(tmp_path / "pets.zip")
        wanted = ["train/cat.0.jpg", "absolute.jpg", "drive.jpg", "train/犬.jpg", "dot/1.jpg", "é\\1.jpg"]
        assert found.names == (wanted if len(names) > 1 else ["old/windows.jpg"]) and "" not in found.skipped
        assert found.read(found.names[-1]) == picture()
        told = {"runs/1/": "is a run's folder", "train/cat.0.jpg": "is there twice; one is read"}
        assert len(names) == 1 or found.skipped.items() >= told.items()
    assert [path.name for path in tmp_path.iterdir()] == ["pets.zip"]


@pytest.mark.parametrize("encoding", ["utf-8", "gb2312", "cp437"])
def test_names_in_an_archive_need_no_flag_of_their_encoding(tmp_path, encoding):
    name = "é/1.png" if encoding == "cp437" else "猫和狗/1.png"
    raw, plain = name.encode(encoding), "x" * (len(name.encode(encoding)) - 4) + ".png"
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as file:
        file.writestr(plain, picture())
    (tmp_path / "pets.zip").write_bytes((tmp_path / "pets.zip").read_bytes().replace(plain.encode(), raw))
    with warnings.catch_warnings(record=True) as told:
        found = open_files(tmp_path / "pets.zip")
    assert found.names == [name] and found.read(name) == picture()
    assert ["as CP437" in str(each.message) for each in told] == [True] * (encoding == "cp437")


def test_a_member_that_claims_too_much_or_is_damaged_cannot_be_read(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as file:
        file.writestr("cat/0.png", picture())
        file.writestr("cat/bomb.png", bytes(20_000))
    data = bytearray((tmp_path / "pets.zip").read_bytes())
    data[60:64] = b"\0\0\0\0"  # within the first member's data
    (tmp_path / "pets.zip").write_bytes(data)
    monkeypatch.setattr("keraskit.datasets.images.decode.MOST_BYTES", 1_000)
    for name, why in (("cat/bomb.png", "it has 20,000 bytes; 1,000 are"), ("cat/0.png", "encrypted: unpack")):
        with pytest.raises(OSError, match=why):
            open_files(tmp_path / "pets.zip").read(name)
    (tmp_path / "broken.zip").write_bytes(b"PK no zip")
    for name, why in (("broken.zip", "no zip archive"), ("nowhere", "does not exist")):
        with pytest.raises(UserError, match=why):
            open_files(tmp_path / name)


def test_links_are_followed_once_and_figures_of_runs_are_no_data(tmp_path):
    systems = ("cat/@eaDir/1.png/THUMB.jpg", "$RECYCLE.BIN/S-1/$R1.png", "lost+found/1.png")
    for name in ("cat/1.png", "runs/mlp/one/curves.png", "runs/mlp/one/run.json", "dog/1.png", *systems):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture())
    (tmp_path / "cat" / "loop").symlink_to(tmp_path)
    (tmp_path / "a_link").symlink_to(tmp_path / "cat")
    assert sorted(Folder(tmp_path).names) == ["cat/1.png", "dog/1.png"]


def test_a_folder_that_cannot_be_read_is_an_error_unless_it_is_hidden(photographs, monkeypatch):
    def closed(path, scan=os.scandir):
        if str(path).endswith(("/red", "/.Trashes", "/lost+found")):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    (photographs / ".Trashes").mkdir()
    (photographs / "lost+found").mkdir()
    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(PermissionError, match="red"):
        Folder(photographs)
    assert len(Folder((photographs / "red").rename(photographs / "crimson").parent).names) == 52


def test_find_takes_files_folders_and_patterns_once(photographs):
    assert len(find([photographs / "red", photographs / "red" / "1.jpg"])) == 40
    assert find([f"{photographs}/blue/1[01].*"]) == [photographs / "blue" / name for name in ("10.png", "11.jpg")]
    brackets = (photographs / "blue").rename(photographs / "blue [1]")  # which as a pattern would be "blue 1"
    for pattern in ("blue [[]1]/1[01].*", "blue [1]/1[01].*", "blue [1]"):
        assert set(find([photographs / pattern])) >= {brackets / "10.png", brackets / "11.jpg"}
    (photographs / "new").mkdir()
    for word, why in (("nowhere", "does not exist"), (photographs / "new", "holds no pictures")):
        with pytest.raises(UserError, match=why):
            find([word])


def test_where_nothing_is_left_the_message_counts_what_was_left_out_and_why(tmp_path):
    root = tmp_path / "data"
    for name in (*(f"a/{i}.psd" for i in range(9)), ".git/x.jpg", "a/.DS_Store", "lone.jpg", "b/"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).mkdir() if name.endswith("/") else (root / name).write_bytes(b"")
    shutil.make_archive(str(root), "zip", root)
    (root / "run").mkdir()
    (root / "run" / "run.json").touch()
    known = [
        "9 (a/0.psd, a/1.psd, a/2.psd, a/3.psd, a/4.psd, ...): each has no picture's ending",
        "2 (.git/x.jpg, a/.DS_Store): each is hidden",
        "b/ is an empty folder",
        "lone.jpg is of no class or split",
    ]
    for path, more in ((root, "run/ is a run's folder"), (tmp_path / "data.zip", "")):
        with pytest.raises(UserError, match="has 0 classes of pictures") as error:
            cats_and_dogs.unit(data_dir=path)
        assert all(words in str(error.value) for words in (*known, more)), error.value
    (root / "lone.jpg").unlink()
    for read in (find, Labels(["a", "b"], "it").of_pictures, lambda roots: Augmentation().flow_from_directory(*roots)):
        with pytest.raises(UserError) as error:
            read([root])
        assert all(words in str(error.value) for words in known[:3]), error.value


# Classes and splits


def names_of(kinds, count, pattern="{kind}/{i}.jpg"):
    return [pattern.format(kind=kind, i=i) for kind in kinds for i in range(count)]


def sizes(layout):
    return tuple(len(layout.splits[split]) for split in SPLITS)


@pytest.mark.parametrize("pattern", ["{kind}.{i}.jpg", "train/{kind}.{i}.jpg", "PetImages/{kind}/{i}.jpg"])
def test_kaggles_names_and_the_public_archives_give_the_documents_split(pattern):
    layout = arrange(names_of(("cat", "dog"), 2_100, pattern)[::-1], "here", most=2_000)
    assert layout.classes == ("cat", "dog") and "the tutorial's" in layout.how and layout.document
    for split, first, end in (("train", 0, 1_000), ("validation", 1_000, 1_500), ("test", 1_500, 2_000)):
        names = [(kind, i) for kind in layout.classes for i in range(first, end)]
        expected = [(pattern.format(kind=kind, i=i), int(kind == "dog")) for kind, i in names]
        assert layout.splits[split] == expected
    few = arrange(names_of(("cat", "dog"), 10, "{kind}.{i}.jpg"), "here", most=2_000)
    assert sizes(few) == (12, 4, 4) and "first half" in few.how and few.document


@pytest.mark.parametrize("kinds", [("cat", "dog"), tuple("abcde")])
def test_other_folders_are_taken_whole_and_split_at_random_within_each_class(kinds):
    names = names_of(kinds, 2_004)
    layout = arrange(names, "here", most=2_000)
    assert layout.classes == kinds and not layout.document
    assert layout == arrange(sorted(names)[::-1], "here", most=2_000)  # whatever the file system lists first
    for split, share in zip(SPLITS, (0.7, 0.15, 0.15), strict=True):
        for label, kind in enumerate(kinds):
            found = [int(name[len(kind) + 1 : -4]) for name, k in layout.splits[split] if k == label]
            assert abs(len(found) - share * 2_004) <= 1 and 900 < np.mean(found) < 1_100  # neither first nor last
    assert sizes(arrange(names, "here", shares=(50, 25, 25))) == (1_002 * len(kinds), *[501 * len(kinds)] * 2)


def test_a_group_is_the_folder_below_the_class_or_begins_the_name():
    groups = {"person3_001.jpg": "person3", "person3/001.jpg": "person3", "IMG0012.jpg": "IMG", "plain.png": "plain"}
    groups |= {"lion 7 (2).png": "lion 7", "batch-a-left.png": "batch-a", "p3_left_eye.jpg": "p3", "cat12b.a": "cat12"}
    groups |= {"person3_001_flip.jpg": "person3", "IMG_0001_flip.jpg": "IMG_0001", "IMG_0001.jpg": "IMG", "3-1.a": "3"}
    assert {name: group_of(("class", *name.split("/"))) for name in groups} == groups
    layout = arrange(names_of("ab", 8, "{kind}/p{i}_{kind}.jpg"), "here", by="group")
    assert "of whole groups, 'p0', 'p1', 'p2' and 5 more, at random" in layout.how
    forms = ("P{i}_L_CC", "P{i}_L_CC_1", "P{i}_2 (1)", "P{i}_2")  # of which some begin others
    layout = arrange([name for form in forms for name in names_of("ab", 9, f"{{kind}}/{form}.jpg")], "here", by="group")
    persons = [{name.split("/")[1].split("_")[0] for name, _ in part} for part in layout.splits.values()]
    assert sum(map(len, persons)) == len(set.union(*persons)) == 9


@pytest.mark.parametrize("top", ["", "photos/"])
def test_strangers_beside_splits_leave_these_as_they_are_and_are_named(top):
    strangers = ["preview.png", "docs/1.png", "extra/a/1.jpg", "train/loose.jpg"]
    whole = [f"{top}{split}/{name}" for split in ("train", "test") for name in names_of(("a", "b"), 20)]
    layout = arrange([*strangers, *whole], "here")
    assert layout.classes == ("a", "b") and layout.skipped == dict.fromkeys(strangers, "is of no class or split")
    assert layout.splits == arrange(whole, "here").splits


def test_folders_beside_pictures_or_called_train_or_in_either_unicode_form_are_classes():
    layout = arrange([*names_of("ab", 20), "img.1.jpg", "logo.png"], "here")
    assert layout.classes == ("a", "b") and [*layout.skipped] == ["img.1.jpg", "logo.png"]
    layout = arrange([*names_of(("cat", "dog"), 20, "{kind}.{i}.jpg"), "extra/apple/1.jpg"], "here")
    assert layout.classes == ("cat", "dog") and [*layout.skipped] == ["extra/apple/1.jpg"] and layout.document
    others = [*names_of(("train", "bus"), 9), "train/steam/1.jpg", "bus/2020/1.jpg"]
    assert arrange(others, "here").classes == ("bus", "train")  # vehicles
    pairs = (("train", "pe\u0302che"), ("val", "p\u00eache"))
    for rest in ("/{i}.jpg", ".{i}.jpg"):
        names = [f"{split}/{kind}{rest.format(i=i)}" for split, kind in pairs for i in range(9)]
        assert arrange(names + names_of("b", 9, "train/{kind}" + rest), "here").classes == ("b", "p\u00eache")


@pytest.mark.parametrize("above", ["", "train/"])
def test_a_class_folder_without_a_picture_that_can_be_read_stops_the_run(above):
    names = [f"{above}{name}" for name in names_of("ab", 9)]
    names += names_of("ab", 9, "test/{kind}/{i}.jpg") if above else []
    for lost in ({"c/1.psd": NO_PICTURE}, {"c/": EMPTY}):
        with pytest.raises(UserError, match="the folder c has no picture that can be read"):
            arrange(names, "here", skipped={f"{above}{name}": why for name, why in lost.items()})
    others = {f"{above}a/1.txt": NO_PICTURE, f"{above}docs.txt": NO_PICTURE, f"{above}runs/": "is a run's folder"}
    assert arrange(names, "here", skipped=others).skipped == others


def test_ready_made_splits_stay_and_missing_ones_are_cut_off():
    whole = [f"{split}/{name}" for split in ("train", "val", "test") for name in names_of(("a", "b"), 5)]
    layout = arrange(whole, "here")
    for split, word in (("train", "train"), ("validation", "val"), ("test", "test")):
        assert {name.partition("/")[0] for name, _ in layout.splits[split]} == {word}
    for one, two in (("training_set/training_set", "test_set/test_set"), ("seg_train", "seg_val"), ("train", "test"),
                     ("Training Set", "test-set"), ("trainset", "val2017"), ("1_train", "TEST_IMAGES"),
                     ("data_train", "images_test"), ("训练集", "测试集")):  # fmt: skip
        kinds = ("bus", "train")  # as of Kaggle's archives; vehicles
        names = [*names_of(kinds, 9, one + "/{kind}/{i}.jpg"), *names_of(kinds, 6, two + "/{kind}/{i}.jpg")]
        layout = arrange([*names, "seg_pred/seg_pred/1.jpg"], "here")
        assert layout.classes == kinds and [*layout.skipped] == ["seg_pred/seg_pred/1.jpg"]
        assert {name.startswith(f"{one}/") for name, _ in layout.splits["train"]} == {True}
    layout = arrange([f"top/{name}" for name in whole if not name.startswith("test")], "here")
    assert sizes(layout) == (10, 5, 5)
    assert "there is no test, so validation is cut, 15/15 of each class at random, seed 0" in layout.how
    kaggle = [*(f"train/{name}" for name in names_of(("cat", "dog"), 20, "{kind}.{i}.jpg")), "test1/1.jpg"]
    layout = arrange(kaggle, "here")
    assert [*layout.skipped] == ["test1/1.jpg"] and layout.document and sizes(layout) == (20, 10, 10)


@pytest.mark.parametrize(("names", "knobs", "message"), [
    ([], {}, "has 0 classes"),
    (names_of(("cat",), 9), {}, "has 0 classes"),
    (names_of(map(str, range(1_001)), 4), {}, "has 1,001 classes of pictures; from two to 1,000"),
    (["cat/1.jpg", "dog/1.jpg"], {}, "2 examples do not fill 3 splits"),
    (names_of("ab", 9, "{kind}/Train/{i}.jpg") + names_of("ab", 9, "{kind}/val/{i}.jpg"), {}, "within the classes"),
    (names_of("ab", 30, "{kind}/{kind}_{i}.jpg"), {"by": "group"}, "2 groups, such as 'a', do not fill 3 splits"),
    (names_of(("train", "dev"), 9, "{kind}/a/{i}.jpg"), {}, r"look like splits\. Call these train, validation"),
    (names_of(("train/cat", "train/dog", "unlabelled"), 9), {}, "train, unlabelled look like splits"),
    (names_of(("trainning/a", "trainning/b", "val/a", "val/b", "test/a", "test/b"), 9), {}, "but none to train with"),
    (names_of(("train/Apple", "val/apple", "train/c", "val/c"), 9), {}, "train has no example of 'apple'. A class"),
])  # fmt: skip
def test_what_cannot_be_split_is_one_line_before_anything_is_decoded(names, knobs, message):
    with pytest.raises(UserError, match=message):
        arrange(names, "here", **knobs)


# What `load` makes of them


def test_pictures_have_the_models_size_and_are_scaled_as_vgg_wants(photographs):
    splits = cats_and_dogs.caffe(data_dir=photographs).load(SHAPE)
    x, y = splits.train.take(np.arange(20))
    red = x[y == 1] + np.array(IMAGENET_MEAN, np.float32)
    assert x.shape == (20, *SHAPE) and np.abs(red - [10, 10, 200]).max() < 4  # blue first; JPEG is off by a little
    assert splits.train.pictures(np.array([0])).dtype == np.uint8
    split, squeezed, left = splits.source["notes"]
    assert left == "left out: red/notes.txt has no picture's ending"
    assert split == "split: 70/15/15 of each class at random, seed 0"
    wide = sum(not 0.8 < (30 + i) / (50 - i) < 1.8 for count in (12, 40) for i in range(count))
    told = f"squeezed to 24 x 20: {wide} of 52 pictures, such as blue/0.png; --crop takes their centre instead"
    assert squeezed == told
    cropped = cats_and_dogs.caffe(data_dir=photographs, crop=True).load(SHAPE)
    assert cropped.source["notes"] == [split, left] and cropped.train.inputs.crop
    name, pixels = cropped.train.names[0], cropped.train.pictures(np.array([0]))[0]
    assert np.array_equal(pixels, decode.pixels(Image.open(photographs / name), SHAPE[:2], crop=True))
    assert splits.source["split_seed"] == 0 and not splits.source["reference"]
    with pytest.raises(UserError, match="the model's input is"):
        cats_and_dogs.caffe(limit=4).load((28, 28))


def test_pictures_are_read_once(photographs, monkeypatch):
    """Not before the model's shape is known, and never again: what is lost in mid-run ends nothing."""
    read = []
    monkeypatch.setattr(Folder, "read", lambda self, name: read.append(name) or decode.contents(self.root / name))
    source = cats_and_dogs.unit(data_dir=photographs)
    assert source.classes == ("blue", "red") and not read
    splits = source.load(SHAPE)
    for which in SPLITS:
        split, listed = getattr(splits, which), source.layout.splits[which]
        mixed = np.random.default_rng(0).permutation(split.size)  # as it was measured
        assert split.names == [listed[i][0] for i in mixed]
        for name, pixels in zip(split.names, split.pictures(np.arange(split.size)), strict=True):
            decoded = decode.read(decode.contents(photographs / name))
            assert np.array_equal(pixels, decode.pixels(decoded, SHAPE[:2]))
    assert len(read) == len(set(read)) == 52


def test_bad_pictures_are_left_out_and_named_and_the_others_stay_where_they_were(photographs):
    clean = cats_and_dogs.unit(data_dir=photographs).load(SHAPE)
    (photographs / "red" / "3.jpg").write_bytes(picture()[:-25])
    (photographs / "red" / "4.png").write_text("<html>")
    splits = cats_and_dogs.unit(data_dir=photographs).load(SHAPE)
    for split in SPLITS:
        left = [name for name in getattr(clean, split).names if name not in ("red/3.jpg", "red/4.png")]
        assert getattr(splits, split).names == left
    bad = splits.source["left_out"]
    assert bad["red/4.png"] == "is no picture (JPEG, PNG, BMP, GIF, WEBP, TIFF)" and "is damaged" in bad["red/3.jpg"]
    assert any(note.startswith("left out 2 of 52 pictures that cannot be used: r") for note in splits.source["notes"])
    (photographs / "blue" / "new.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(UserError, match=r"3 of 53 pictures .* is no picture .*\. Up to 5% are left out; save these as"):
        cats_and_dogs.unit(data_dir=photographs).load(SHAPE)


def test_the_sha256_is_of_names_and_contents(photographs):
    def digest():
        return cats_and_dogs.unit(data_dir=photographs).load(SHAPE).source["sha256"]

    first, path = digest(), photographs / "red" / "2.png"
    before, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-1] + b"\0")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # size and time as they were
    assert digest() != first
    path.write_bytes(data)
    assert digest() == first
    path.rename(path.with_suffix(".PNG"))  # at its place in the order
    assert digest() != first


def test_copies_in_two_splits_are_left_out_of_training_and_said_first(photographs):
    """Every picture is there twice: what is trained on has no copy in what is tested on."""
    for path in sorted(photographs.glob("*/*.[pj]*")):
        path.with_name(f"copy_{path.name}").write_bytes(path.read_bytes())
    (photographs / "blue" / "wrong.jpg").write_bytes((photographs / "red" / "1.jpg").read_bytes())
    splits = cats_and_dogs.unit(data_dir=photographs).load(SHAPE)
    read = {name: [(photographs / n).read_bytes() for n in getattr(splits, name).names] for name in SPLITS}
    assert not set(read["train"]) & {*read["validation"], *read["test"]}
    dropped = 105 - sum(map(len, read.values()))
    notes = splits.source["notes"]
    assert dropped and notes[0] == f"left out of training: {dropped} exact copies of examples in validation or test"
    assert splits.prints.tolist() == [int(hashlib.sha256(data).hexdigest()[:16], 16) for data in read["train"]]
    pixels = splits.train.pictures(np.arange(splits.train.size)).mean((1, 2))
    right = np.array(["wrong" not in name for name in splits.train.names])
    assert np.array_equal((pixels[:, 0] > 100)[right], (splits.train.labels == 1)[right])


@pytest.mark.parametrize("bits", [12, 16])
def test_pictures_that_use_some_of_16_bits_are_those_of_8(bits, tmp_path):
    """One scale for the data set, so that dark pictures stay darker than bright ones."""
    random = np.random.default_rng(0)
    for kind, most in (("dark", 100), ("light", 256)):
        for i in range(8):
            grey = random.integers(0, most, (30, 40))
            for name, pixels in (("few", grey), ("many", grey << bits - 8), ("dark", 255 - grey)):  # as many
                (tmp_path / name / kind).mkdir(parents=True, exist_ok=True)
                pixels = pixels.astype(np.uint16 if name == "many" else np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / kind / f"{i}.png")
    few, many, dark = (cats_and_dogs.unit(data_dir=tmp_path / name).load(SHAPE) for name in ("few", "many", "dark"))
    for one, other, third in zip(*([getattr(each, s) for s in SPLITS] for each in (few, many, dark)), strict=True):
        one, other, third = (each.pictures(np.arange(each.size)) for each in (one, other, third))
        assert np.array_equal(one, other) and np.allclose(255 - one, third, atol=1)
    assert (few.train.inputs.bits, many.train.inputs.bits) == (None, bits)
    assert any("16-bit pictures" in note for note in many.source["notes"]) == (bits < 16)


# Pets that are drawn, and the public archive


def test_drawn_pets_are_called_drawn_repeat_and_do_not_overlap():
    few, more = (cats_and_dogs.unit(limit=limit).load((150, 150, 3)) for limit in (6, 12))
    assert few.source["name"] == "drawn pets" and "--download" in few.source["found"]
    assert few.sizes() == {"train": 6, "validation": 6, "test": 6}
    index = np.arange(6)
    assert np.array_equal(few.train.pictures(index), more.train.pictures(index))
    counts = drawn_pets.COUNTS.values()
    assert len({i for each in counts for i in each}) == sum(map(len, counts))
    as_file = decode.read(drawn_pets.DrawnPets().read("validation/dog/403.bmp"))
    assert np.array_equal(np.asarray(as_file), drawn_pets.draw("dog", 403))


def test_the_public_archive_is_fetched_only_when_asked_for_and_used_when_it_is_whole(photographs, monkeypatch):
    import keras

    archive = system.keras_home() / "datasets" / cats_and_dogs.ARCHIVE
    archive.parent.mkdir(parents=True)
    asked, answer = [], [str(photographs)]

    def get_file(name, url, file_hash, hash_algorithm):
        asked.append((name, url, file_hash, hash_algorithm))
        if not answer:
            raise Exception("URL fetch failure")
        return answer.pop()

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    archive.write_bytes(bytes(700))
    place, found = cats_and_dogs.photographs(None, False)
    assert place is None and not asked and "--download fetches" in found
    assert cats_and_dogs.unit(download=True).classes == ("blue", "red")
    assert asked == [("kagglecatsanddogs_5340.zip", cats_and_dogs.URL, cats_and_dogs.SHA256, "sha256")]
    with pytest.raises(UserError, match=r"could not be downloaded: URL .* name it with --data-dir"):
        cats_and_dogs.unit(download=True)
    with archive.open("ab") as file:
        file.truncate(824_887_076)  # takes no room on the disk
    found = cats_and_dogs.photographs(None, True)
    assert found == (archive, "Microsoft's public archive in Keras's cache, known by its size")
