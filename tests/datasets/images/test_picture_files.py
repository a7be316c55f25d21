"""Folders and archives of pictures: which are found, which refused, which class and split they belong to."""

import contextlib
import io
import os
import stat
import zipfile

import numpy as np
import pytest
from PIL import Image

from keraskit.datasets.images import cats_and_dogs, decode, verify
from keraskit.datasets.images.labels import arrange
from keraskit.datasets.images.names import group_of
from keraskit.datasets.images.sources import Archive, Folder, find, open_files
from keraskit.errors import UserError


def picture(colour=(200, 10, 10)):
    file = io.BytesIO()
    Image.new("RGB", (12, 10), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def archive(tmp_path):
    """Write a zip archive from names and contents."""

    def write(members, name="pets.zip"):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as file:
            for member, data in members:
                file.writestr(member, data)
        return tmp_path / name

    return write


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_is_read_in_place_and_what_would_do_harm_is_skipped_and_counted(archive, tmp_path):
    path = archive(
        [
            ("train/cat.0.jpg", picture()),
            ("train/cat.0.jpg", b"again"),
            ("../../escape.jpg", picture()),
            ("/absolute.jpg", picture()),
            ("C:/drive.jpg", picture()),
            ("back\\slash.jpg", picture()),
            (link("train/link.jpg"), b"/etc/passwd"),
            ("train/notes.txt", b"text"),
            ("__MACOSX/train/cat.0.jpg", b""),
            ("train/.hidden.jpg", b""),
            ("train/雪 犬.jpg", picture()),
        ]
    )
    before = sorted(p.name for p in tmp_path.rglob("*"))
    found = Archive(path)
    assert found.names == ["train/cat.0.jpg", "train/雪 犬.jpg"]
    assert found.read("train/cat.0.jpg") == picture()  # the first of that name
    assert dict(found.skipped) == {
        "with a path that leaves the archive": 4,
        "that are links": 1,
        "of the type .txt": 1,
        "with a name that is there already": 1,
    }
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_a_member_that_claims_more_than_a_picture_may_have_is_left_out_unread(archive, monkeypatch):
    monkeypatch.setattr("keraskit.datasets.images.sources.MOST_BYTES", 1_000)
    files = Archive(archive([("cat/bomb.jpg", bytes(20_000)), *((f"cat/{i}.png", picture()) for i in range(30))]))
    bad, *_ = verify.check(files, files.names)
    assert bad == {"cat/bomb.jpg": "cannot be read: it has 20,000 bytes; 1,000 are allowed"}


def test_what_is_no_archive_or_is_damaged_is_one_line(tmp_path, archive):
    (tmp_path / "broken.zip").write_bytes(b"PK no zip")
    with pytest.raises(UserError, match="no zip archive"):
        open_files(tmp_path / "broken.zip")
    with pytest.raises(UserError, match="does not exist"):
        open_files(tmp_path / "nowhere")
    path = archive([(f"cat/{i}.png", picture()) for i in range(30)])
    data = bytearray(path.read_bytes())
    data[60:64] = b"\0\0\0\0"  # within the first member's data
    path.write_bytes(data)
    bad, *_ = verify.check(Archive(path), Archive(path).names)
    assert list(bad) == ["cat/0.png"] and "cannot be read" in bad["cat/0.png"]


def test_links_in_a_folder_are_followed_once(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(picture())
    (tmp_path / "cat" / "loop").symlink_to(tmp_path)
    (tmp_path / "a_link").symlink_to(tmp_path / "cat")
    files = Folder(tmp_path)
    assert files.names == ["cat/1.png"]
    assert dict(files.skipped) == {
        "folder that is read already: the link cat/loop": 1,
        "folder that is read already: the link a_link": 1,
    }


def test_figures_of_runs_are_no_data(tmp_path):
    for name in ("cat/1.png", "runs/mlp/one/curves.png", "runs/mlp/one/run.json", "dog/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture())
    files = Folder(tmp_path)
    assert sorted(files.names) == ["cat/1.png", "dog/1.png"] and not files.skipped


def names_of(kinds, count, pattern="{kind}/{i}.jpg"):
    return [pattern.format(kind=kind, i=i) for kind in kinds for i in range(count)]


@pytest.mark.parametrize("pattern", ["{kind}.{i}.jpg", "train/{kind}.{i}.jpg", "PetImages/{kind}/{i}.jpg"])
def test_kaggles_names_and_the_public_archives_give_the_documents_split(pattern):
    layout = arrange(names_of(("cat", "dog"), 2_100, pattern)[::-1], "here", most=2_000)
    assert layout.classes == ("cat", "dog") and "the document's" in layout.how
    numbers = {
        p: sorted({int(n.split(".")[-2].split("/")[-1]) for n, _ in pairs}) for p, pairs in layout.splits.items()
    }
    assert numbers["train"] == list(range(1_000))
    assert numbers["validation"] == list(range(1_000, 1_500))
    assert numbers["test"] == list(range(1_500, 2_000))
    assert all(label == ("dog" in name.split("/")[-1] or "/dog/" in name) for name, label in layout.splits["test"])


def test_a_smaller_set_keeps_the_proportions_and_says_so():
    layout = arrange(names_of(("cat", "dog"), 10, "{kind}.{i}.jpg"), "here", most=2_000)
    assert {split: len(pairs) for split, pairs in layout.splits.items()} == {"train": 12, "validation": 4, "test": 4}
    assert "first half" in layout.how and layout.document


def numbers(pairs, label):
    return {int(name.rpartition("/")[2].partition(".")[0]) for name, k in pairs if k == label}


@pytest.mark.parametrize("kinds", [("cat", "dog"), tuple("abcde")])
def test_other_folders_are_taken_whole_and_split_at_random_within_each_class(kinds):
    names = names_of(kinds, 2_004)
    layout = arrange(names, "here", most=2_000)
    assert layout.classes == kinds and not layout.document
    assert layout == arrange(sorted(names)[::-1], "here", most=2_000)  # whatever the file system lists first
    for split, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
        for label in range(len(kinds)):
            found = numbers(layout.splits[split], label)
            assert abs(len(found) - share * 2_004) <= 1
            assert 900 < np.mean(list(found)) < 1_100  # neither the first nor the last
    assert arrange(names, "here", by="name").splits["test"][-1] == (f"{kinds[-1]}/2003.jpg", len(kinds) - 1)
    by_name = arrange(names, "here", shares=(50, 25, 25), by="name")
    assert [numbers(pairs, 0) for pairs in by_name.splits.values()] == [
        set(range(1_002)),
        set(range(1_002, 1_503)),
        set(range(1_503, 2_004)),
    ]
    for shares in ((70, 20, 20), (100, 0, 0)):
        with pytest.raises(UserError, match=r"--shares [\d ]+ makes no sense"):
            arrange(names, "here", shares=shares)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("person3_001.jpg", "person3"),
        ("person3/001.jpg", "person3"),
        ("IMG0012.jpg", "IMG"),
        ("lion 7 (2).png", "lion 7"),
        ("batch-a-left.png", "batch-a"),
        ("plain.png", "plain"),
    ],
)
def test_a_group_is_the_folder_below_the_class_or_begins_the_name(name, group):
    assert group_of(("class", *name.split("/"))) == group


def test_groups_stay_whole_across_classes_and_one_per_class_cannot_be_split():
    names = [f"{kind}/p{p}_{i}.jpg" for kind in "ab" for p in range(20) for i in range(5)]
    layout = arrange(names, "here", by="group")
    people = [{name[2:].partition("_")[0] for name, _ in pairs} for pairs in layout.splits.values()]
    assert sum(map(len, people)) == len(set().union(*people)) == 20 and "20 whole groups, such as p0," in layout.how
    assert all(np.mean([label for _, label in pairs]) == 0.5 for pairs in layout.splits.values())
    with pytest.raises(UserError, match="2 groups, such as 'a', do not fill 3 splits"):
        arrange(names_of("ab", 30, "{kind}/{kind}_{i}.jpg"), "here", by="group")


STRANGERS = ["preview.png", "docs/1.png", "extra/a/1.jpg", "train/loose.jpg"]


@pytest.mark.parametrize("top", ["", "photos/"])
@pytest.mark.parametrize("strangers", [*([each] for each in STRANGERS), STRANGERS])
def test_strangers_beside_splits_leave_these_as_they_are_and_are_named(strangers, top):
    whole = [f"{top}{split}/{n}" for split in ("train", "test") for n in names_of(("a", "b"), 20)]
    layout = arrange([*strangers, *whole], "here")
    assert layout.classes == ("a", "b") and layout.strangers == [name for name in strangers if name in layout.strangers]
    assert set(layout.strangers) == set(strangers) and layout.splits["test"] == arrange(whole, "here").splits["test"]
    assert len(layout.splits["validation"]) == 7 and {label for _, label in layout.splits["validation"]} == {0, 1}


def test_pictures_beside_the_folders_of_classes_are_no_class():
    layout = arrange([*names_of("ab", 20), "img.1.jpg", "logo.png"], "here")
    assert layout.classes == ("a", "b") and layout.strangers == ["img.1.jpg", "logo.png"]
    layout = arrange([*names_of(("cat", "dog"), 20, "{kind}.{i}.jpg"), "extra/apple/1.jpg"], "here")
    assert layout.classes == ("cat", "dog") and layout.strangers == ["extra/apple/1.jpg"] and layout.document


def test_class_names_of_either_unicode_form_are_one():
    names = [
        f"{split}/{kind}/{i}.jpg" for split, kind in (("train", "pe\u0302che"), ("val", "p\u00eache")) for i in range(9)
    ]
    assert arrange(names + names_of("b", 9, "train/{kind}/{i}.jpg"), "here").classes == ("b", "p\u00eache")


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (["c/1.HEIC", "c/2.HEIC", "c/notes.txt"], r"the folder c has no picture .*: 2 .heic, 1 .txt\. Set the phone's"),
        (["c/"], "the folder c has no picture .*: it is empty"),
        (["a/1.txt", "docs.txt"], ""),
    ],
)
@pytest.mark.parametrize("classes", ["a", "ab"])
@pytest.mark.parametrize("above", ["", "train/"])
def test_a_class_folder_without_a_picture_that_can_be_read_stops_the_run(classes, above, others, words):
    names, others = [f"{above}{name}" for name in names_of(classes, 9)], [f"{above}{other}" for other in others]
    names += names_of(classes, 9, "test/{kind}/{i}.jpg") if above else []
    problem = words.replace("folder c", f"folder {above}c") or ("has . classes" if classes == "a" else "")
    with pytest.raises(UserError, match=problem) if problem else contextlib.nullcontext():
        arrange(names, "here", others=others)


def test_nested_parts_are_respected_and_missing_ones_are_cut_off():
    whole = [f"{split}/{n}" for split in ("train", "val", "test") for n in names_of(("a", "b"), 5)]
    layout = arrange(whole, "here")
    assert all(
        name.startswith({"validation": "val"}.get(split, split))
        for split, ps in layout.splits.items()
        for name, _ in ps
    )
    layout = arrange([f"top/{n}" for n in whole if not n.startswith("test")], "here")  # as in cats_and_dogs_filtered
    assert {split: len(pairs) for split, pairs in layout.splits.items()} == {"train": 10, "validation": 5, "test": 5}
    assert "there is no test, so validation is cut, 15/15 of each class at random, seed 0" in layout.how
    kaggle = [*(f"train/{n}" for n in names_of(("cat", "dog"), 20, "{kind}.{i}.jpg")), "test1/1.jpg", "test1/2.jpg"]
    layout = arrange(kaggle, "here")
    assert layout.strangers == ["test1/1.jpg", "test1/2.jpg"] and layout.document
    assert {split: len(pairs) for split, pairs in layout.splits.items()} == {"train": 20, "validation": 10, "test": 10}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "has 0 classes"),
        (names_of(("cat",), 9), "has 0 classes"),
        (names_of(map(str, range(1_001)), 4), r"has 1,001 classes of pictures; from two to 1,000"),
        (["cat/1.jpg", "dog/1.jpg"], "2 examples do not fill 3 splits"),
        (
            [*names_of(("a", "b"), 9, "test/{kind}/{i}.jpg"), *names_of(("a",), 9, "train/{kind}/{i}.jpg")],
            "here: train has no example of 'b'",
        ),
    ],
)
def test_what_cannot_be_split_is_one_line(names, message):
    with pytest.raises(UserError, match=message):
        arrange(names, "here")


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """100 pictures in a folder, three of which are no pictures; the memory of checks in a place of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "pets"
    for kind in ("cat", "dog"):
        (root / kind).mkdir(parents=True)
        for i in range(50):
            (root / kind / f"{i}.jpg").write_bytes(picture((i, 100, 200)))
    (root / "cat" / "7.jpg").write_bytes(b"")
    (root / "dog" / "8.jpg").write_bytes(picture()[:-25])
    (root / "dog" / "9.jpg").write_text("<html>")
    return root


def test_bad_pictures_are_named_and_what_was_seen_is_remembered(pets, monkeypatch):
    files = Folder(pets)
    bad, digests, _ = verify.check(files, files.names)
    assert {name: problem.split(":")[0] for name, problem in bad.items()} == {
        "cat/7.jpg": "is empty",
        "dog/8.jpg": "is damaged",
        "dog/9.jpg": "is no picture (JPEG, PNG, BMP, GIF, WEBP, TIFF)",
    }
    decoded, real = [], decode.read
    monkeypatch.setattr(decode, "read", lambda data, spend: decoded.append(data) or real(data, spend))
    assert verify.check(files, files.names) == (bad, digests, 0) and not decoded
    os.utime(pets / "cat" / "7.jpg", (1, 1))
    (pets / "dog" / "8.jpg").write_bytes(picture())
    again, others, _ = verify.check(files, files.names)
    assert decoded == [picture()] and "dog/8.jpg" not in again and others != digests


def test_a_picture_that_was_changed_with_size_and_time_kept_is_another(pets):
    files, path = Folder(pets), pets / "cat" / "1.jpg"
    before, digest = path.stat(), verify.total(verify.check(files, files.names)[1])
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert verify.total(verify.check(files, files.names)[1]) != digest


def test_many_vast_pictures_of_nothing_are_refused_and_photographs_of_any_size_are_not(pets, monkeypatch):
    monkeypatch.setattr(verify, "MOST_EMPTY", 30_000_000)
    for i in range(10, 13):
        Image.new("L", (4_000, 5_000)).save(pets / "cat" / f"{i}.jpg", "PNG")  # 20 million pixels of 20 kB
    files = Folder(pets)
    with pytest.raises(
        UserError, match=r"pets is refused: .* such as cat/1\d.jpg, 20,000,000 bytes of [\d,]+\. Remove them"
    ):
        verify.check(files, files.names)
    noise = np.random.default_rng(0).integers(0, 256, (1_500, 2_000), np.uint8)
    for i in range(10, 40):  # 90 million in all
        Image.fromarray(noise).save(pets / "cat" / f"{i}.jpg", quality=50)
    assert len(verify.check(files, files.names)[0]) == 3


def test_more_than_one_in_twenty_stops_before_training(pets):
    for i in range(10, 14):
        (pets / "cat" / f"{i}.jpg").write_bytes(b"")
    files = Folder(pets)
    with pytest.raises(UserError, match=r"7 of 100 pictures .*; and 2 more\. Up to 5%"):
        verify.check(files, files.names)


def test_a_damaged_memory_and_a_home_that_cannot_be_written_do_not_matter(pets, monkeypatch, tmp_path):
    files = Folder(pets)
    bad, *_ = verify.check(files, files.names)
    (memory,) = (tmp_path / "cache").rglob("*.json")
    memory.write_text('{"cat/1.jpg": 5, ')
    assert verify.check(files, files.names)[0] == bad
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert verify.check(files, files.names)[0] == bad


def test_find_says_what_it_leaves_out_of_a_folder(pets):
    notes = []
    (pets / "cat" / "new.HEIC").touch()
    (pets / "cat" / "mirror").symlink_to(pets / "dog")
    found = find([pets], notes)
    assert len(found) == 100 and pets / "dog" / "1.jpg" in found  # and not as a cat, by the link
    assert notes == [f"{pets}: skipped 1 folder that is read already: the link cat/mirror, 1 of the type .heic"]
    (pets / "new").mkdir()
    (pets / "cat" / "new.HEIC").rename(pets / "new" / "new.HEIC")
    with pytest.raises(UserError, match=r"new holds no pictures: skipped 1 of the type .heic"):
        find([pets / "new"])


def test_find_takes_files_folders_and_patterns_once(pets):
    assert len(find([pets / "cat", pets / "cat" / "1.jpg"])) == 50
    assert find([f"{pets}/dog/4?.jpg"]) == [pets / "dog" / f"{i}.jpg" for i in range(40, 50)]
    for word in ("nowhere", pets / "nothing*.jpg"):
        with pytest.raises(UserError, match="does not exist"):
            find([word])


def test_names_sort_as_numbers():
    layout = arrange(names_of("ab", 12)[::-1], "here", shares=(50, 25, 25), by="name")
    assert [n for n, label in layout.splits["train"] if label == 0] == [f"a/{i}.jpg" for i in range(6)]
    assert np.concatenate([[label for _, label in pairs] for pairs in layout.splits.values()]).sum() == 12


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_pictures_that_use_some_of_16_bits_are_those_of_8(bits, tmp_path, monkeypatch):
    """One scale for the data set, so that dark pictures stay darker than bright ones."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for kind, most in (("dark", 100), ("light", 256)):
        for i in range(8):
            grey = random.integers(0, most, (30, 40))
            for name, pixels in (("few", grey.astype(np.uint8)), ("many", (grey << bits - 8).astype(np.uint16))):
                (tmp_path / name / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(tmp_path / name / kind / f"{i}.png")
    few, many = (cats_and_dogs.unit(data_dir=tmp_path / name) for name in ("few", "many"))
    for split in ("train", "validation", "test"):
        one, other = (getattr(each, split) for each in (few, many))
        assert np.array_equal(one.pictures(np.arange(one.size)), other.pictures(np.arange(one.size)))
    assert (few.train.inputs.bits, many.train.inputs.bits) == (16, bits)
    assert any("16-bit pictures" in note for note in many.source["notes"]) == (bits < 16)
