"""MNIST, or a set like it, as each model of the document wants it: flat, as pictures, pixel by pixel, in two sizes.

Args:
    dataset: Other data in MNIST's place: fashion_mnist, cifar10, an .npz in Keras's layout, a folder of IDX files.
    data_dir: Folder that holds mnist.npz (default: searched for).
    classes: A file of class names, one per line (default: in the .npz, or labels.txt beside it).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keraskit import system
from keraskit.datasets import array_files, class_names, mnist
from keraskit.datasets.checks import notes_of
from keraskit.datasets.preprocessing import Inputs, Shape
from keraskit.datasets.splits import Split, Splits
from keraskit.datasets.splitting import cut
from keraskit.errors import UserError
from keraskit.start import tf

VALIDATION = 5_000  # the last of MNIST's training set, always the same; at most a twelfth of another set
BRIGHTNESS_BINS = 10
FASHION = "fashion_mnist"
BY_KERAS = {
    FASHION: ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot"],
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
    splits = _splits((dataset, data_dir, classes), "standard", (784, 1))

    def shaped(shape: tuple[int, ...]) -> Splits:
        if np.prod(shape) != 784:
            raise UserError(f"A picture has 784 pixels, which do not fill {shape}.", "Use --timesteps 784 or 28.")
        assert splits.train.inputs
        inputs = dataclasses.replace(splits.train.inputs, shape=shape)
        return splits.map(lambda split: dataclasses.replace(split, inputs=inputs))

    return dataclasses.replace(splits, reshape=shaped)


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
    asked: tuple[str | None, Path | None, Path | None],
    scale: Literal["unit", "standard"],
    shape: Shape | dict[str, Shape],
    **known: Any,
) -> Splits:
    arrays, labels, names, source = _load(*asked)
    found = arrays["x_train"].shape[1:]
    if found != (28, 28) and not isinstance(shape, dict):
        advice = "multi_input takes any size and colour." if asked[0] else ""
        raise UserError(f"This recipe takes grey pictures of 28x28; {source['name']} has {found}.", advice)
    inputs = Inputs(found[:2], 3 if len(found) == 3 else 1, scale, shape)
    size, mnist_itself = len(arrays["x_train"]), source.get("reference", True)
    count = min(VALIDATION, max(1, size // 12))
    if mnist_itself:
        rows: dict[str, Any] = {"train": slice(size - count), "validation": slice(size - count, None)}
    else:
        parts = cut(size, (count, size - count), labels["train"])
        rows = dict(zip(("validation", "train"), map(np.sort, parts), strict=True))
    x = {split: arrays["x_train"][chosen] for split, chosen in rows.items()} | {"test": arrays["x_test"]}
    y = {split: labels["train"][chosen] for split, chosen in rows.items()} | {"test": labels["test"]}
    if not mnist_itself:
        notes = [
            *notes_of({which: [each] for which, each in x.items()}, y, names, source["name"]),
            *source.get("notes", ()),
        ]
        source |= {"notes": notes} if notes else {}

    def split(name: str) -> Split:
        pictures = x[name]
        more = {"pictures": lambda indices: pictures[indices], "shuffled": mnist_itself, **known}
        return Split.of(pictures, y[name], labels=y[name], inputs=inputs, **more)

    splits = Splits(split("train"), split("validation"), split("test"), names, source)
    return dataclasses.replace(splits, source=source | {"counts": splits.sizes()})


def _load(
    dataset: str | None, data_dir: Path | None, named: Path | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], tuple[str, ...], dict[str, Any]]:
    """The pictures, class indices of train and test, the classes' names, and the source."""
    path, whose, text = None, "", False
    if dataset in (None, "mnist"):
        arrays, source = mnist.load(data_dir)
        labels = {split: arrays[f"y_{split}"] for split in ("train", "test")}
        classes = tuple("0123456789")
    elif dataset in BY_KERAS:
        arrays, labels = _by_keras(dataset)
        classes = tuple(BY_KERAS[dataset])
        source = {"name": dataset, "path": "Keras's cache", "found": "downloaded by Keras"}
    else:
        path = system.expanded(str(dataset))
        arrays, known, facts = array_files.read(path)
        labels, classes, text = known.indices, known.names, known.first is None
        name = system.name_of(path.parent if path.name == "raw" else path)  # torchvision has FashionMNIST/raw
        source = {"name": name, "path": str(path), "found": "--dataset", **facts}
        if "fashion" in name.lower() and len(classes) == len(BY_KERAS[FASHION]):
            classes, whose = tuple(BY_KERAS[FASHION]), f"those of {FASHION}, as {name} is called so"
    if found := class_names.find(len(classes), path, named):
        if text and set(found[0]) != set(classes):
            raise UserError(f"{source['name']} has the labels {classes}, {found[1]} {found[0]}.", "Name the same.")
        classes, whose = (classes if text else found[0]), f"from {found[1]}"
    if whose:
        source["notes"] = [*source.get("notes", ()), f"class names: {whose}"]
    if "sha256" not in source:  # not MNIST itself
        hashed = [arrays["x_train"], labels["train"], arrays["x_test"], labels["test"]]
        source |= {"sha256": array_files.digest(hashed), "reference": False}
    return arrays, labels, classes, source


def _by_keras(name: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    import keras

    known = ", ".join(["mnist", *BY_KERAS])
    advice = f"Once fetched, it stays in ~/.keras. --dataset also takes {known}, an .npz, or a folder of IDX files."
    with array_files.downloading(f"Keras could not download {name}", advice):
        (x, y), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    return {"x_train": x, "x_test": x_test}, {
        "train": y.reshape(-1).astype(int),
        "test": y_test.reshape(-1).astype(int),
    }
