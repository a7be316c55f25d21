"""MNIST, or a set like it, as each model of the document wants it: flat, as pictures, pixel by pixel, in two sizes.

Args:
    dataset: Other data in MNIST's place: fashion_mnist, cifar10, an .npz in Keras's layout, a folder of IDX files.
    data_dir: Folder that holds mnist.npz (default: searched for).
    classes: A file of class names, one per line (default: the .npz's array `classes`, or the labels).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from keraskit import system
from keraskit.datasets import array_files, mnist
from keraskit.datasets.checks import check_names, notes_of, read_names
from keraskit.datasets.preprocessing import Inputs, Shape
from keraskit.datasets.splits import Split, Splits
from keraskit.datasets.splitting import SPLITS, cut
from keraskit.errors import UserError
from keraskit.start import tf

VALIDATION = 5_000  # the last of MNIST's training set, always the same; at most a twelfth of another set
BRIGHTNESS_BINS = 10
BY_KERAS = {
    "fashion_mnist": ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot"],
    "cifar10": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
}
TWO_SIZES: dict[str, Shape] = {"img_gray_bigsize": (64, 64, 1), "img_rgb_smallsize": (32, 32, 3)}


def flat(dataset: str | None = None, data_dir: Path | None = None, classes: Path | None = None) -> Splits:
    """Inputs of shape (784,) from 0 to 1, row by row; targets the class."""
    return _splits((dataset, data_dir, classes), "unit", (784,))


def images(dataset: str | None = None, data_dir: Path | None = None, classes: Path | None = None) -> Splits:
    """Inputs of shape (28, 28, 1) from 0 to 1; targets the class."""
    return _splits((dataset, data_dir, classes), "unit", (28, 28, 1))


def pixels(dataset: str | None = None, data_dir: Path | None = None, classes: Path | None = None) -> Splits:
    """Inputs of shape (784, 1), one pixel a step, standardised, or of the model's own shape; targets the class."""
    return _splits((dataset, data_dir, classes), "standard", (784, 1))


def next_pixels(dataset: str | None = None, data_dir: Path | None = None, classes: Path | None = None) -> Splits:
    """Inputs as `pixels`; targets `output1` the class, `output2` the next pixel's brightness bin, shape (784,)."""
    return _splits((dataset, data_dir, classes), "standard", (784, 1), targets=_digit_and_brightness)


def two_sizes(dataset: str | None = None, data_dir: Path | None = None, classes: Path | None = None) -> Splits:
    """Inputs `img_gray_bigsize` (64, 64, 1) and `img_rgb_smallsize` (32, 32, 3) of a picture; targets the class."""
    return _splits((dataset, data_dir, classes), "unit", TWO_SIZES)


def brightness_pictures(
    classes: tuple[str, ...], targets: dict[str, np.ndarray], predictions: dict[str, np.ndarray]
) -> tuple[np.ndarray, list[str]]:
    """For some examples, the true picture of next pixels and beside it the predicted one, with captions.

    Args:
        classes: their names.
        targets: of `next_pixels`, for n examples.
        predictions: `output2` for the same, the most probable bins, shape (n, 784).
    """
    both = np.stack([targets["output2"], predictions["output2"]], axis=1).reshape(-1, 28, 28)
    captions = [f"{classes[digit]}: {which}" for digit in targets["output1"] for which in ("next pixels", "predicted")]
    return np.round(both * (255 / (BRIGHTNESS_BINS - 1))).astype(np.uint8), captions


def _digit_and_brightness(pictures: tf.Tensor, y: tf.Tensor) -> dict[str, tf.Tensor]:
    """The class, and the brightness bin of the pixel after each; after the last pixel comes darkness."""
    bins = tf.cast(tf.reshape(pictures, (-1, 784)), tf.int32) * BRIGHTNESS_BINS // 256
    return {"output1": y, "output2": tf.pad(bins[:, 1:], [[0, 0], [0, 1]])}


def _splits(
    given: tuple[str | None, Path | None, Path | None],
    scale: Literal["unit", "standard"],
    shape: Shape | dict[str, Shape],
    **known: Any,
) -> Splits:
    """The splits of `--dataset`, `--data-dir` and `--classes`; `known` is what a `Split` is told besides."""
    dataset, data_dir, classes = given
    arrays, labels, names, source = _load(dataset, data_dir, read_names(classes) if classes else None)
    found = arrays["x_train"].shape[1:]
    if found != (28, 28) and not isinstance(shape, dict):
        advice = "multi_input takes any size and colour."
        raise UserError(f"This recipe takes grey pictures of 28x28; {source['name']} has {found}.", advice)
    size, is_mnist = len(arrays["x_train"]), dataset in (None, "mnist")
    count = min(VALIDATION, max(1, size // 12))
    if is_mnist:
        rows: dict[str, Any] = {"train": slice(size - count), "validation": slice(size - count, None)}
    else:
        parts = cut(size, (count, size - count), labels["train"])
        rows = dict(zip(("validation", "train"), map(np.sort, parts), strict=True))
    x = {split: arrays["x_train"][chosen] for split, chosen in rows.items()} | {"test": arrays["x_test"]}
    y = {split: labels["train"][chosen] for split, chosen in rows.items()} | {"test": labels["test"]}
    notes = list(source.pop("notes", ()))
    if not is_mnist:
        notes = notes_of({split: [each] for split, each in x.items()}, y, names, source["name"]) + notes
        source |= {"sha256": array_files.digest([arrays["x_train"], labels["train"], arrays["x_test"], labels["test"]])}
        source["reference"] = False
    notes += [f"class names: from --classes {classes}"] if classes else []
    inputs = Inputs(found[:2], 3 if len(found) == 3 else 1, scale, shape)

    def made(split: str) -> Split:
        pictures = x[split]
        more = {"pictures": lambda indices: pictures[indices], "shuffled": is_mnist, **known}
        return Split.of(pictures, y[split], labels=y[split], inputs=inputs, **more)

    counts = {split: len(x[split]) for split in SPLITS}
    source |= {"counts": counts} | ({"notes": notes} if notes else {})
    return Splits(made("train"), made("validation"), made("test"), names, source)


def _load(
    dataset: str | None, data_dir: Path | None, names: list[str] | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], tuple[str, ...], dict[str, Any]]:
    """The pictures, class indices of train and test, the classes' names, and the source."""
    if dataset in (None, "mnist") or dataset in BY_KERAS:
        arrays, source = _by_keras(dataset) if dataset in BY_KERAS else mnist.load(data_dir)
        labels = {split: arrays[f"y_{split}"] for split in ("train", "test")}
        own = BY_KERAS.get(str(dataset), list("0123456789"))
        return arrays, labels, check_names(names or own, len(own), source["name"]), source
    path = system.expanded(str(dataset))
    arrays, found, facts = array_files.read(path, names)
    source = {"name": system.name_of(path), "path": str(path), "found": "--dataset", **facts}
    return arrays, found.indices, found.names, source


def _by_keras(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    import keras

    known = ", ".join(["mnist", *BY_KERAS])
    advice = f"Once fetched, it stays in ~/.keras. --dataset also takes {known}, an .npz, or a folder of IDX files."
    with array_files.downloading(f"Keras could not download {name}", advice):
        (x, y), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    labels = y.reshape(-1).astype(int), y_test.reshape(-1).astype(int)
    arrays = {"x_train": x, "y_train": labels[0], "x_test": x_test, "y_test": labels[1]}
    return arrays, {"name": name, "path": "Keras's cache", "found": "downloaded by Keras"}
