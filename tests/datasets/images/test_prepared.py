"""`keraskit data prepare`: the document's folders out of anything, twice without harm, and the same split in use."""

import pytest
from PIL import Image
from shared_data import shared

from keraskit.datasets.images import cats_and_dogs
from keraskit.datasets.images.labels import arrange
from keraskit.datasets.images.sources import open_files


@pytest.fixture
def source(tmp_path):
    """Kaggle's flat folder with 12 cats and 8 dogs, one of them broken beyond use in a set of 20."""
    (tmp_path / "train").mkdir()
    for kind, count in (("cat", 12), ("dog", 8)):
        for i in range(count):
            Image.new("RGB", (10 + i, 10), (i, 0, 0)).save(tmp_path / "train" / f"{kind}.{i}.jpg")
    return tmp_path / "train"


def below(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def contents(root):
    """Split and class of every picture's bytes, as a run would find them."""
    files = open_files(root)
    layout = arrange(files.names, root, 2_000)
    return {
        (split, layout.classes[label], files.read(name))
        for split, pairs in layout.splits.items()
        for name, label in pairs
    }


def test_the_folders_are_the_documents_and_give_the_same_split(source, command, tmp_path):
    (source / "dog.3.jpg").write_bytes(b"")
    words = ("data", "prepare", "cats_dogs", "--from", source, "--to", "pets")
    done = command(*words, XDG_CACHE_HOME=str(tmp_path / "c"))
    assert done.returncode == 0, done.stderr
    assert "total train cat images: 6\n" in done.stdout and "total train dog images: 3\n" in done.stdout
    assert "total test dog images: 2\n" in done.stdout and "dog.3.jpg is empty" in done.stdout
    pets = tmp_path / "pets"
    assert len(below(pets)) == 19 and "validation/cat/cat.6.jpg" in below(pets)
    assert not (pets / "train/cat/cat.0.jpg").samefile(source / "cat.0.jpg")
    moved = {(p, k) for p, k, data in contents(pets) if data == (source / "cat.11.jpg").read_bytes()}
    assert moved == {("test", "cat")}
    again = command(*words, XDG_CACHE_HOME=str(tmp_path / "c"))
    assert again.returncode == 0 and "0 new" in again.stdout
    splits = cats_and_dogs.unit(data_dir=pets)
    assert splits.classes == ("cat", "dog") and sum(splits.sizes().values()) == 19


def test_what_cannot_be_prepared_is_one_line(source, command, tmp_path):
    done = command("data", "prepare", "cats_dogs", "--from", source, "--to", "pets")
    assert done.returncode == 0
    Image.new("RGB", (99, 99)).save(tmp_path / "pets" / "train" / "cat" / "cat.0.jpg")
    for words, message in (
        (["--from", source, "--to", "pets"], "is another picture"),
        (["--from", source, "--to", source / "below"], "lies in --from"),
        (["--from", "nowhere", "--to", "pets"], "does not exist"),
        (["--from", source, "--to", "pets/train/cat/cat.1.jpg/x"], "is a file"),
        (["--to", "pets"], "--from"),
    ):
        failed = command("data", "prepare", "cats_dogs", *words)
        assert failed.returncode == 2 and message in failed.stderr and failed.stderr.count("\n") == 1, failed.stderr


def test_kaggles_archive_becomes_folders(command, tmp_path):
    path = shared("cats_and_dogs/train.zip")
    done = command("data", "prepare", "cats_dogs", "--from", path, "--to", "pets", "--per-class", 40)
    assert done.returncode == 0, done.stderr
    lines = [
        f"total {split} {kind} images: {n}"
        for split, n in (("train", 20), ("validation", 10), ("test", 10))
        for kind in ("cat", "dog")
    ]
    assert done.stdout.splitlines()[:6] == lines
    assert len(below(tmp_path / "pets")) == 80
