"""Augmentation against scipy and ImageDataGenerator: the same matrices, numbers, and batches of pictures in files."""

import itertools
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import ndimage

from keraskit.augment.augmentation import Augmentation
from keraskit.augment.transform import draws, transform
from keraskit.datasets.digits import load_mnist
from keraskit.errors import UserError

SEVEN = Augmentation(rotation_range=40, width_shift_range=0.2, height_shift_range=0.2, shear_range=11.5,
                     zoom_range=0.2, horizontal_flip=True)  # fmt: skip
SHAPES = [(30, 30, 3), (24, 41, 3), (50, 20, 1)]


def pictures(shape, n=4):
    """Smooth pictures from 0 to 255: what a resampling gets wrong shows as more than rounding."""
    random = np.random.default_rng(0)
    return ndimage.gaussian_filter(random.uniform(0, 255, (n, *shape)), (0, 1.5, 1.5, 0)).astype(np.float32)


def by_scipy(augmentation, image, row, mode):
    """One picture through scipy, with ImageDataGenerator's matrices as the document's Keras has them."""
    height, width = image.shape[:2]
    theta = np.deg2rad(augmentation.rotation_range) * (2 * row[0] - 1)
    shifts = (augmentation.height_shift_range, height), (augmentation.width_shift_range, width)
    down, right = ((s * side if s < 1 else s) * (2 * r - 1) for (s, side), r in zip(shifts, row[1:3], strict=True))
    shear = np.deg2rad(augmentation.shear_range) * (2 * row[3] - 1)
    low, high = augmentation.zoom_range
    zoom = np.diag([low + (high - low) * row[4], low + (high - low) * row[5], 1])
    rotation = np.array([[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]])
    shift = np.array([[1, 0, down], [0, 1, right], [0, 0, 1]])
    shearing = np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
    middle = np.array([[1, 0, height / 2 - 0.5], [0, 1, width / 2 - 0.5], [0, 0, 1]])
    matrix = middle @ rotation @ shift @ shearing @ zoom @ np.linalg.inv(middle)
    known = {"order": 1, "mode": mode, "cval": augmentation.cval}
    moved = [ndimage.affine_transform(c, matrix[:2, :2], matrix[:2, 2], **known) for c in np.moveaxis(image, -1, 0)]
    result = np.stack(moved, axis=-1)
    if augmentation.horizontal_flip and row[6] < 0.5:
        result = result[:, ::-1]
    if augmentation.vertical_flip and row[7] < 0.5:
        result = result[::-1]
    return result


MODES = {"nearest": "nearest", "reflect": "reflect", "wrap": "grid-wrap", "constant": "grid-constant"}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("mode", "scipys"), MODES.items(), ids=list(MODES))
def test_equal_to_scipy_everywhere(shape, mode, scipys):
    """To the border and beyond: scipy's modes of the document, wrap and constant as its `grid-` modes blend them."""
    augmentation = SEVEN.replace(fill_mode=mode, vertical_flip=True, cval=100.0, height_shift_range=3)  # of pixels
    x, numbers = pictures(shape, 12), draws(12, (3, 4)).numpy()
    ours = transform(augmentation, x, numbers).numpy()
    for image, row, result in zip(x, numbers, ours, strict=True):
        # float32 coordinates against float64 ones: 0.01 of 255.
        assert np.abs(result - by_scipy(augmentation, image, row.astype(float), scipys)).max() < 0.01


def test_square_pictures_agree_with_todays_generator_up_to_its_swapped_axes(generator):
    """The generator works on the transposed picture; on square ones that is all that is wrong with it."""
    image, row = pictures((30, 30, 3), 1)[0], draws(1, (5, 6)).numpy()
    augmentation = SEVEN.replace(horizontal_flip=False)
    r = 2 * row[0].astype(float) - 1
    parameters = {
        "theta": 40 * r[0], "tx": 6 * r[1], "ty": 6 * r[2], "shear": 11.5 * r[3],
        "zx": 0.8 + 0.4 * row[0, 4], "zy": 0.8 + 0.4 * row[0, 5],
    }  # fmt: skip
    legacy = generator(augmentation).apply_transform(image.transpose(1, 0, 2), parameters).transpose(1, 0, 2)
    assert np.abs(transform(augmentation, image[None], row).numpy()[0] - legacy).max() < 0.01


def test_half_of_the_pictures_are_flipped_and_brighter_ones_stay_within_255():
    x = np.tile(np.arange(8, dtype=np.float32)[None, None, :, None], (2_000, 2, 1, 1))
    flipped = (Augmentation(horizontal_flip=True).transform(x, (0, 0)).numpy()[:, 0, 0, 0] > 3).mean()
    assert 0.45 < flipped < 0.55
    image, row = pictures((21, 21, 3), 1), np.full((1, 10), 0.5, np.float32)
    row[0, 9] = 1.0
    brighter = transform(Augmentation(brightness_range=(1.0, 2.0)), image, row)
    assert np.allclose(brighter, np.clip(image * 2, 0, 255))


def test_the_same_seed_gives_the_same_whatever_the_batches_and_another_epoch_does_not():
    x = pictures((16, 16, 3), 30)
    whole = SEVEN.transform(x, (7, 0)).numpy()
    assert np.array_equal(whole, SEVEN.transform(x, (7, 0)).numpy())
    assert np.abs(whole - SEVEN.transform(x, (7, 1)).numpy()).mean() > 1
    numbers = draws(30, (7, 0))
    assert np.array_equal(numbers[:7], draws(7, (7, 0)))  # whatever the count: a preview shows what an epoch sees
    parts = [transform(SEVEN, x[i : i + 7], numbers[i : i + 7]).numpy() for i in range(0, 30, 7)]
    assert np.abs(np.concatenate(parts) - whole).max() < 0.01  # vectorised cosines round differently at an array's end


def test_flow_repeats_by_seed_differs_by_epoch_and_keeps_pictures_with_labels():
    x = np.tile(np.arange(50, dtype=np.float32)[:, None, None, None] * 5, (1, 8, 8, 1))
    flows = [SEVEN.flow(x, list(range(50)), 20, seed=seed) for seed in (1, 1, 2)]
    one, two, other = ([*flow, *flow] for flow in flows)  # an epoch each time
    for (a, y), (b, z) in zip(one, two, strict=True):
        assert np.array_equal(a, b) and np.array_equal(y, z)
        assert np.allclose(a.numpy()[:, 4, 4, 0], y.numpy() * 5, atol=1e-3)  # a flat picture stays what it is
    labels = [np.concatenate([y for _, y in batches[:3]]) for batches in (one, one[3:], other)]
    assert all(sorted(epoch) == list(range(50)) for epoch in labels)
    assert (labels[0] != labels[1]).any() and (labels[0] != labels[2]).any()


def test_grey_and_bytes_are_the_same_pictures():
    x = np.round(pictures((18, 22, 1), 5)).astype(np.uint8)
    expected = SEVEN.transform(x, (1, 1)).numpy()
    assert np.array_equal(SEVEN.transform(x[..., 0], (1, 1)).numpy(), expected[..., 0])
    assert np.array_equal(SEVEN.transform(x.astype(np.float64), (1, 1)).numpy(), expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("within", [False, True], ids=["alone", "in a compiled function"])
def test_where_coordinates_are_whole_colours_change_nothing_of_the_move(mode, within):
    """An odd-sided picture's centre turns about itself; XLA computes coordinates twice where colours change too."""
    augmentation = Augmentation(rotation_range=40, channel_shift_range=30, fill_mode=mode)
    x, batch = np.random.default_rng(5).integers(0, 256, (64, 15, 15, 3)).astype(np.uint8), 32
    numbers = draws(64, (3, 4))
    made = tf.function(lambda *of: transform(augmentation, *of), jit_compile=within)
    ours = np.concatenate([made(x[i : i + batch], numbers[i : i + batch]) for i in range(0, 64, batch)])
    for image, row, result in zip(x, numbers.numpy().astype(float), ours, strict=True):
        moved = by_scipy(augmentation, image.astype(float), row, MODES[mode])
        shifted = np.clip(moved + 30 * (2 * row[8] - 1), moved.min(), moved.max())
        assert np.abs(result - shifted).max() < 0.01


def test_a_single_picture_is_no_batch_of_grey_ones():
    assert SEVEN.random_transform(np.zeros((20, 30, 3))).shape == (20, 30, 3)
    for shape in [(20, 30, 3), (20, 30, 1), (30,)]:
        with pytest.raises(UserError, match=r"no batch of shape"):
            SEVEN.transform(np.zeros(shape), (0, 0))
    assert SEVEN.transform(np.zeros((3, 20, 30)), (0, 0)).shape == (3, 20, 30)


def test_the_document_s_way_fits_without_steps_and_each_epoch_differs():
    x, y = np.arange(50, dtype=np.float32)[:, None, None, None] * np.ones((1, 4, 4, 1)), np.arange(50) % 2
    flow = SEVEN.flow(x, y, 20)
    assert len(flow) == 3
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    seen = []
    model.fit(flow, epochs=2, verbose=0, validation_data=SEVEN.flow(x, y, 20), callbacks=[
        keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))])  # fmt: skip
    assert seen == [0, 1, 2] * 2


# Standardisation


@pytest.mark.parametrize("words", [
    {"featurewise_center": True}, {"featurewise_std_normalization": True}, {"samplewise_std_normalization": True},
    {"featurewise_center": True, "featurewise_std_normalization": True, "rescale": 1 / 255}, {"rescale": 0.5},
    {"samplewise_center": True, "samplewise_std_normalization": True},
], ids=",".join)  # fmt: skip
def test_standardisation_is_the_generators(words, generator):
    augmentation, x = Augmentation(**words), pictures((12, 10, 3), 300)
    legacy = generator(augmentation)
    if augmentation.needs_fit:
        legacy.fit(x)
        augmentation = augmentation.fit(x)
    expected = np.stack([legacy.standardize(image.copy()) for image in x[:5]])
    assert np.allclose(augmentation.standardize(x[:5]), expected, rtol=1e-3, atol=1e-3)


def test_statistics_are_the_same_from_an_array_and_from_a_stream():
    x = np.round(pictures((6, 5, 3), 1000)).astype(np.uint8)
    stream = tf.data.Dataset.from_tensor_slices(x).batch(77)
    one, two = (Augmentation(zca_whitening=True).fit(images).statistics for images in (x, stream))
    for fold in (x, x[::2]):  # transformed by one kernel
        Augmentation(rotation_range=9, featurewise_center=True).fit(fold).transform(fold[:2], (0, 0))
    assert np.allclose(one["mean"], two["mean"]) and np.allclose(one["zca"], two["zca"], rtol=1e-4, atol=1e-5)
    several = (x, stream, tf.constant(x))
    one, two, other = (Augmentation(featurewise_std_normalization=True).fit(each).statistics for each in several)
    assert np.allclose(one["mean"], x.mean((0, 1, 2)), rtol=1e-6) and one["mean"].shape == (1, 1, 3)
    assert np.allclose(one["std"], x.std((0, 1, 2)), rtol=1e-5) and "zca" not in one
    assert all(np.allclose(one[name], two[name]) and np.array_equal(one[name], other[name]) for name in one)
    with pytest.raises(UserError, match=r"shape \(6, 5, 3\) are no batch .* a list of them as np.stack"):
        Augmentation(featurewise_center=True).fit(list(x))


def test_whitened_mnist_has_the_identity_as_covariance():
    x = load_mnist()[0]["x_train"][:5_000, ..., None]
    fitted = Augmentation(zca_whitening=True, zca_epsilon=1e-3).fit(x)
    white = np.concatenate([fitted.standardize(part).numpy() for part in np.array_split(x, 10)]).reshape(len(x), -1)
    varies = x.reshape(len(x), -1).std(0) > 8  # pixels that are nearly always black stay nearly black
    covariance = (white.T.astype(float) @ white / len(x))[np.ix_(varies, varies)]
    assert varies.sum() > 400
    assert np.abs(np.diag(covariance) - 1).max() < 0.05
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.02


def test_standardising_without_fit_or_by_a_matrix_that_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"of 150,528 values takes 181\.3 GB"):
        Augmentation(zca_whitening=True).fit(np.zeros((1, 224, 224, 3), np.uint8))
    with pytest.raises(UserError, match="Call fit"):
        Augmentation(featurewise_center=True).standardize(np.zeros((1, 4, 4, 1), np.float32))
    with pytest.raises(UserError, match="no pictures"):
        Augmentation(featurewise_center=True).fit(np.zeros((0, 4, 4, 1)))


# Values that make no sense


@pytest.mark.parametrize("words", [
    {"zoom_range": 1.0}, {"zoom_range": (1.2, 0.8)}, {"zoom_range": (1, 2, 3)}, {"zoom_range": float("nan")},
    {"brightness_range": (2.0, 1.0)}, {"rescale": 0}, {"width_shift_range": (0.1, 0.2)}, {"rotation_range": None},
], ids=str)  # fmt: skip
def test_values_that_make_no_sense_are_refused_by_name(words):
    (name,) = words
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} .* makes no sense"):
        Augmentation(**words)


# Pictures in files, as ImageDataGenerator hands them out


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


def test_what_cannot_be_is_one_line_and_a_damaged_picture_is_named(folder, tmp_path, monkeypatch):
    flow = Augmentation().flow_from_directory
    (tmp_path / "odd" / "a").mkdir(parents=True)
    (tmp_path / "odd" / "a" / "3.jpg").write_bytes(b"no picture")
    (tmp_path / "lost" / "b").mkdir(parents=True)
    shutil.copytree(folder / "cats", tmp_path / "lost" / "cats")
    for place, words, said in (
        (folder / "dogs", {"class_mode": "binary"}, "two classes; there are 1"),
        (tmp_path / "odd", {}, r"a/3\.jpg is no picture"),
        (tmp_path / "lost", {}, "the folder b has no picture that can be read"),
    ):
        with pytest.raises(UserError, match=said):
            flow(place, **words)
    with pytest.raises(UserError, match="1 or 3 channels"):
        Augmentation().flow(np.zeros((4, 8, 6, 4)))
    monkeypatch.setattr("keraskit.system.available_memory", lambda: 1_000)
    with pytest.raises(UserError, match="would fit into memory"):
        flow(folder)


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
    done = preforked.run(program, [], tmp_path)
    assert done.returncode == 0 and done.stdout.endswith("(2, 150, 150, 3)\n")
