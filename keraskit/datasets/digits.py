"""MNIST, or a similar data set, in the shape that each recipe takes: flat, images, pixel sequences, or two sizes.

Args:
    dataset: Other data in MNIST's place: fashion_mnist, cifar10, or an .npz in Keras's layout.
    data_dir: Folder that holds mnist.npz (default: searched for).
"""

from __future__ import annotations

import dataclasses
import os
import shlex
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraskit import system
from keraskit.datasets.array_files import CLASSES, NAMES, checked, digest, explained, read, read_npz
from keraskit.datasets.arrays import from_arrays
from keraskit.datasets.images.sources import open_files
from keraskit.datasets.preprocessing import Inputs, Scale
from keraskit.datasets.splits import Split, Splits
from keraskit.datasets.tables import OF_A_RECIPE, refuse_table
from keraskit.errors import UserError
from keraskit.start import tf

FILE = "mnist.npz"  # in the repository; with a wheel it is searched for, or downloaded
# SHA-256 of the arrays' bytes, not of the file: equal for any file with the same digits, such as Keras's download.
SHA256 = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
LICENCE = "CC BY-SA 3.0, says Keras's documentation; by Yann LeCun, Corinna Cortes, Christopher Burges"
VALIDATION = 5_000  # the last examples of MNIST's training set
BRIGHTNESS_BINS = 10
BY_KERAS = {
    "fashion_mnist": ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot"],
    "cifar10": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
}


def flat(dataset: str | None = None, data_dir: Path | None = None) -> Splits:
    """Return inputs of shape (784,) in [0, 1], row by row, with the class as target."""
    return _splits(dataset, data_dir, "unit").load((784,))


def images(dataset: str | None = None, data_dir: Path | None = None) -> Splits:
    """Return inputs of shape (28, 28, 1) in [0, 1], with the class as target."""
    return _splits(dataset, data_dir, "unit").load((28, 28, 1))


def pixels(dataset: str | None = None, data_dir: Path | None = None) -> Splits:
    """Return standardised inputs of shape (784, 1), a pixel per step, or of the model's shape; targets: the class."""
    return _splits(dataset, data_dir, "standard").load((784, 1))


def next_pixels(dataset: str | None = None, data_dir: Path | None = None) -> Splits:
    """Return the inputs of `pixels`; targets: `output1` is the class, `output2` the next pixel's bin, shape (784,)."""
    return pixels(dataset, data_dir).map(lambda split: dataclasses.replace(split, targets=_digit_and_brightness))


def two_sizes(dataset: str | None = None, data_dir: Path | None = None) -> Splits:
    """Return inputs `img_gray_bigsize` (64, 64, 1) and `img_rgb_smallsize` (32, 32, 3), with the class as target."""
    return _splits(dataset, data_dir, "unit").load({"img_gray_bigsize": (64, 64, 1), "img_rgb_smallsize": (32, 32, 3)})


def brightness_pictures(
    classes: tuple[str, ...], targets: dict[str, np.ndarray], predictions: dict[str, np.ndarray]
) -> tuple[np.ndarray, list[str]]:
    """Return, for each example, the true image of next pixels followed by the predicted one, with captions.

    `targets` are those of `next_pixels`; `predictions["output2"]` holds the most probable bins, shape (n, 784).
    """
    both = np.stack([targets["output2"], predictions["output2"]], axis=1).reshape(-1, 28, 28)
    captions = [f"{classes[digit]}: {which}" for digit in targets["output1"] for which in ("next pixels", "predicted")]
    return np.round(both * (255 / (BRIGHTNESS_BINS - 1))).astype(np.uint8), captions


def _digit_and_brightness(pictures: tf.Tensor, y: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the class, and for each pixel the brightness bin of the next one; 0 after the last pixel."""
    bins = tf.cast(tf.reshape(pictures, (-1, 784)), tf.int32) * BRIGHTNESS_BINS // 256
    return {"output1": y, "output2": tf.pad(bins[:, 1:], [[0, 0], [0, 1]])}


def _splits(dataset: str | None, data_dir: Path | None, scale: Scale) -> Splits:
    """Return the splits of MNIST, or of another data set by `from_arrays`, with images in their stored shape."""
    data_dir = data_dir and system.expanded(data_dir)
    own = data_dir if dataset in (None, "mnist", *BY_KERAS) else system.expanded(str(dataset))
    if own and not (own / FILE).exists():
        refuse_table(own, "this recipe reads pictures in arrays, and other data belong to a recipe", *OF_A_RECIPE)
        if (own.suffix.lower() == ".zip" or own.is_dir()) and (files := open_files(own).names):
            advice = f"For any classes: `keraskit run cats_dogs --data-dir {shlex.quote(str(own))}`"
            raise UserError(f"{own} holds {len(files):,} pictures in files, and this recipe reads arrays.", advice)
    if dataset in (None, "mnist"):
        arrays, source = load_mnist(data_dir)
        inputs = Inputs((28, 28), 1, scale, (28, 28, 1))
        x, y, x_test, y_test = (arrays[name] for name in NAMES)
        pairs = [(x[:-VALIDATION], y[:-VALIDATION]), (x[-VALIDATION:], y[-VALIDATION:]), (x_test, y_test)]
        train, validation, test = (Split.of(x, y, labels=y, inputs=inputs, shuffled=True) for x, y in pairs)
        splits = Splits(train, validation, test, tuple("0123456789"), source)
    else:
        if dataset in BY_KERAS:
            arrays, source = _by_keras(dataset)
        else:
            arrays, stored = read(path := system.expanded(dataset))
            source = {"name": path.resolve().name, "path": str(path), "found": "--dataset", "scale": stored}
        source["reference"] = False
        given, names = (arrays[name] for name in NAMES), arrays.get(CLASSES)
        classes = None if names is None else checked(names, f"{dataset}: classes", text=True).astype(str).tolist()
        splits = from_arrays(*given, classes=classes, scale=scale, name=source["name"])()
        if not splits.classes:
            raise UserError(f"{dataset}: y_train holds no classes.", "One whole number or text for each picture.")
        if (most := max(arrays[name].max(initial=0) for name in ("x_train", "x_test"))) < 32:  # as scikit-learn's
            note = f"no pixel is above {most}, and 0 to 255 is expected: if {most} is white, multiply by 255 / {most}"
            splits.source.setdefault("notes", []).append(note)
    splits.source.update(source, counts=splits.sizes())
    return splits


def _by_keras(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    advice = f"Once fetched, it stays in ~/.keras. --dataset also takes mnist, {', '.join(BY_KERAS)}, or an .npz."
    with explained(f"Keras could not download {name}", advice):
        (x, y), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    arrays = {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test, "classes": np.array(BY_KERAS[name])}
    return arrays, {"name": name, "path": "Keras's cache", "found": "downloaded by Keras"}


def load_mnist(data_dir: Path | None = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Load MNIST's four uint8 arrays in Keras's layout, and their source: `data_dir`, `search_path`, or a download.

    Raises UserError if nothing is found, or if the file is not MNIST.
    """
    places = [("--data-dir", data_dir / FILE)] if data_dir else search_path()
    found = next((place for place in places if data_dir or system.is_file(place[1])), None)
    if not found:
        looked = ", ".join(str(path) for _, path in places)
        advice = f"Put {FILE} into a folder and name it with --data-dir or $KERASKIT_DATA."
        with explained(f"No {FILE}: looked for {looked}, and the download failed", advice):
            (x, y), (x_test, y_test) = keras.datasets.mnist.load_data()  # which may lie in /tmp, where ~ is read-only
    why, path = found or ("downloaded by Keras", Path("Keras's cache"))
    arrays = read_npz(path) if found else dict(zip(NAMES, (x, y, x_test, y_test), strict=True))
    if digest(arrays[name] for name in NAMES) != SHA256 or arrays["x_train"].shape != (60_000, 28, 28):
        raise UserError(f"{path} is not MNIST: its arrays are others.", "For arrays of your own: --dataset.")
    return arrays, {"name": "MNIST", "path": str(path), "found": why, "sha256": SHA256, "licence": LICENCE}


def search_path() -> list[tuple[str, Path]]:
    """Return the paths to search without `--data-dir`, in order, each with a description."""
    checkout = Path(__file__).resolve().parents[2]
    places = [("$KERASKIT_DATA", Path(os.environ["KERASKIT_DATA"]) / FILE)] if os.environ.get("KERASKIT_DATA") else []
    if (checkout / "pyproject.toml").is_file():
        places.append(("the repository's data/", checkout / "data" / FILE))
    return [*places, ("Keras's cache", system.keras_home() / "datasets" / FILE)]
