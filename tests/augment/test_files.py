"""Pictures in files as ImageDataGenerator hands them out: the same batches as today's generator, file by file."""

import itertools
import os

import numpy as np
import pytest
import tensorflow as tf
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
        kind = ("png", "jpg", "bmp")[i % 3]
        pixels = random.integers(0, 256, (20 + i, 30, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{i:02d}.{kind}")
    (root / "dogs" / "notes.txt").write_text("no picture")
    return root


WORDS = [
    {},
    {"class_mode": "binary", "color_mode": "grayscale", "interpolation": "bilinear"},
    {"class_mode": "sparse", "classes": ["dogs", "cats"]},
    {"class_mode": None, "subset": "training"},
    {"class_mode": "sparse", "subset": "validation"},
]


@pytest.mark.parametrize("words", WORDS, ids=str)
def test_a_directory_is_the_generators(folder, words, generator):
    augmentation = Augmentation(rescale=1 / 255, validation_split=0.4)
    words = {"target_size": (16, 12), "batch_size": 4, "shuffle": False, **words}
    ours, theirs = (each.flow_from_directory(folder, **words) for each in (augmentation, generator(augmentation)))
    assert len(ours) == len(theirs) and ours.class_indices == theirs.class_indices
    assert sorted(ours.filenames) == sorted(theirs.filenames) and ours.samples == theirs.samples
    assert list(ours.classes) == list(theirs.classes)
    found = []
    for flow in (ours, theirs):
        batches = [
            [np.asarray(a) for a in (b if isinstance(b, tuple) else (b,))] for b in itertools.islice(flow, len(flow))
        ]
        arrays = [np.concatenate(each) for each in zip(*batches, strict=True)]
        order = np.argsort(flow.filenames)  # the generator has a class's subfolders in no order
        found.append([array[order] for array in arrays])
    for one, other in zip(*found, strict=True):
        assert one.shape == other.shape and np.allclose(one, other, atol=1e-6)


def test_what_cannot_be_is_one_line(folder, tmp_path):
    flow = Augmentation().flow_from_directory
    with pytest.raises(FileNotFoundError):
        flow(tmp_path / "none")
    with pytest.raises(UserError, match="no pictures"):
        flow(tmp_path)
    with pytest.raises(UserError, match="two classes; there are 1"):
        flow(folder, classes=["cats"], class_mode="binary")


def test_pictures_are_read_as_a_run_reads_them_and_a_damaged_one_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    grey = np.arange(0, 240, 2).reshape(10, 12)
    Image.fromarray((grey * 16 + 3).astype(np.uint16)).save(tmp_path / "a" / "1.png")  # 12 bits
    clear = Image.fromarray(np.dstack([grey, grey, grey, 0 * grey]).astype(np.uint8))
    clear.save(tmp_path / "a" / "2.png")
    words = {"target_size": (10, 12), "class_mode": None, "shuffle": False}
    found = next(iter(Augmentation().flow_from_directory(tmp_path, **words))).numpy()
    assert np.array_equal(found[0], np.dstack([grey] * 3)) and (found[1] == 255).all()
    (tmp_path / "a" / "3.jpg").write_bytes(b"no picture")
    with pytest.raises((ValueError, tf.errors.OpError), match=r"a/3\.jpg is no picture"):
        next(iter(Augmentation().flow_from_directory(tmp_path, **words)))


ENDS = """
import sys
from keraskit import Augmentation
flow = Augmentation(rotation_range=20, validation_split=0.5).flow_from_directory
words = {"target_size": (8, 8), "batch_size": 2, "subset": "training"}
held = iter(flow(sys.argv[1], **words))
print(next(held)[0].shape, next(iter(flow(sys.argv[1], **words)))[0].shape)
"""


def test_a_program_ends_while_batches_are_in_the_making(tmp_path, preforked):
    """Where Python ended before the threads that read files for it, each waited for the other."""
    (tmp_path / "a").mkdir()
    for i in range(8):
        Image.new("RGB", (1_000, 1_000)).save(tmp_path / "a" / f"{i}.png")
    program = tmp_path / "program.py"
    program.write_text(ENDS)
    for _ in range(2):
        done = preforked.run(program, [tmp_path], tmp_path, dict(os.environ), timeout=60)
        assert done.returncode == 0 and done.stdout.endswith("(2, 8, 8, 3) (2, 8, 8, 3)\n")
