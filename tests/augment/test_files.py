"""Pictures in files as ImageDataGenerator hands them out: the same batches as today's generator, file by file."""

import itertools

import numpy as np
import pytest
from PIL import Image

from keraskit.augment import Augmentation
from keraskit.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eleven pictures of two classes, some in a folder below, of several sizes and kinds."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for i in range(11):
        place = root / ("dogs" if i % 3 else "cats") / ("more" if i > 8 else "")
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (20 + i, 30, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{i:02d}.{('png', 'jpg', 'bmp')[i % 3]}")
    (root / "dogs" / "notes.txt").write_text("no picture")
    return root


def whole(flow):
    """An epoch's arrays, by the files' names: the generator has a class's subfolders in no order."""
    batches = itertools.islice(flow, len(flow))
    parts = [[np.asarray(a) for a in (b if isinstance(b, tuple) else (b,))] for b in batches]
    order = np.argsort(flow.filenames)
    return [np.concatenate(each)[order] for each in zip(*parts, strict=True)]


@pytest.mark.parametrize("mode", ["categorical", "binary", "sparse", None])
def test_a_directory_is_the_generators(folder, mode, generator):
    augmentation = Augmentation(rescale=1 / 255)
    words = {"target_size": (16, 12), "batch_size": 4, "shuffle": False, "class_mode": mode}
    ours = augmentation.flow_from_directory(folder, **words)
    theirs = generator(augmentation).flow_from_directory(folder, interpolation="bilinear", **words)
    assert len(ours) == len(theirs) and ours.class_indices == theirs.class_indices
    assert sorted(ours.filenames) == sorted(theirs.filenames) and list(ours.classes) == list(theirs.classes)
    for one, other in zip(whole(ours), whole(theirs), strict=True):
        assert one.shape == other.shape and np.allclose(one, other, atol=1e-6)


def test_what_cannot_be_is_one_line_and_a_damaged_picture_is_named(folder, tmp_path):
    flow = Augmentation().flow_from_directory
    (tmp_path / "odd" / "a").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd" / "a" / "3.jpg").write_bytes(b"no picture")
    for place, words, said in (
        (tmp_path / "none", {}, "does not exist"),
        (tmp_path / "empty", {}, "holds no pictures"),
        (folder / "dogs", {"class_mode": "binary"}, "two classes; there are 1"),
        (tmp_path / "odd", {}, r"a/3\.jpg is no picture"),
    ):
        with pytest.raises(UserError, match=said):
            flow(place, **words)


ENDS = """
import keras
from keraskit.datasets.images import cats_and_dogs
held = iter(cats_and_dogs.unit(limit=24).load((150, 150, 3)).train.in_order(2))
print(next(held)[0].shape)
"""


def test_a_program_ends_while_batches_are_in_the_making(tmp_path, preforked):
    """Where Python ended before the threads that call it, each waited for the other."""
    program = tmp_path / "program.py"
    program.write_text(ENDS)
    done = preforked.run(program, [], tmp_path, timeout=60)
    assert done.returncode == 0 and done.stdout.endswith("(2, 150, 150, 3)\n")
