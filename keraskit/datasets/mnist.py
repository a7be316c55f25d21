"""MNIST: 70,000 handwritten digits of 28x28 grey pixels. The repository ships them; a wheel finds or downloads them."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keraskit.errors import UserError

if TYPE_CHECKING:
    from keraskit.config import RunConfig
    from keraskit.datasets.splits import Splits

FILE = "mnist.npz"
SHAPES = {"x_train": (60_000, 28, 28), "y_train": (60_000,), "x_test": (10_000, 28, 28), "y_test": (10_000,)}
# Of the arrays' bytes, not of the file: it holds for every packing of the same digits, Keras's own download included.
SHA256 = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
VALIDATION = 5_000  # the last of the training set, always the same


def images(config: RunConfig) -> Splits:
    """Inputs of shape (28, 28, 1) from 0 to 1, targets the digit."""
    return _splits(config, (28, 28, 1))


def flat(config: RunConfig) -> Splits:
    """Inputs of shape (784,) from 0 to 1, row by row, targets the digit."""
    return _splits(config, (784,))


def _splits(config: RunConfig, shape: tuple[int, ...]) -> Splits:
    import tensorflow as tf

    from keraskit.datasets.splits import Split, Splits

    arrays, source = load(config.data_dir)

    def split(x: np.ndarray, y: np.ndarray) -> Split:
        with tf.device("/CPU:0"):  # the input pipeline runs there, whatever trains
            pixels, labels = tf.constant(x.reshape(-1, 784)), tf.constant(y)

        def fetch(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows = tf.cast(tf.gather(pixels, indices), tf.float32) / 255.0
            return tf.reshape(rows, (-1, *shape)), tf.gather(labels, indices)

        return Split(len(x), fetch, y)

    x, y, cut = arrays["x_train"], arrays["y_train"], len(arrays["x_train"]) - VALIDATION
    return Splits(
        train=split(x[:cut], y[:cut]),
        validation=split(x[cut:], y[cut:]),
        test=split(arrays["x_test"], arrays["y_test"]),
        classes=tuple("0123456789"),
        source=source,
        pictures=lambda inputs: np.round(inputs.reshape(-1, 28, 28) * 255).astype(np.uint8),
    ).limited(config.limit)


def load(data_dir: Path | None = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The four uint8 arrays of Keras's layout, and where they came from.

    Args:
        data_dir: the one folder to look in (default: `search_path`, then Keras's download).

    Raises:
        UserError: nothing found, or a file that is not MNIST.
    """
    if data_dir is not None:
        places = [("--data-dir", data_dir / FILE)]
        if not places[0][1].is_file():
            raise UserError(f"--data-dir {data_dir} holds no {FILE}.", "Name the folder of the file, or leave it out.")
    else:
        places = [(why, path) for why, path in search_path() if path.is_file()] or [_download()]
    why, path = places[0]
    arrays = _read(path)
    return arrays, {
        "name": "MNIST",
        "path": str(path),
        "found": why,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "counts": {"train": 60_000 - VALIDATION, "validation": VALIDATION, "test": 10_000},
        "licence": "CC BY-SA 3.0, says Keras's documentation; by Yann LeCun, Corinna Cortes, Christopher Burges",
    }


def search_path() -> list[tuple[str, Path]]:
    """Where a file is looked for without `--data-dir`, in order, each with the reason why there."""
    checkout = Path(__file__).resolve().parents[2]
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    places = [("$KERASKIT_DATA", Path(os.environ["KERASKIT_DATA"]) / FILE)] if os.environ.get("KERASKIT_DATA") else []
    if (checkout / "pyproject.toml").is_file():
        places.append(("the repository's data/", checkout / "data" / FILE))
    return [*places, ("Keras's cache", home / "datasets" / FILE)]


def _download() -> tuple[str, Path]:
    import keras

    try:
        keras.datasets.mnist.load_data()  # shows progress, checks the hash, and leaves the file in Keras's cache
    except Exception as error:  # whatever the network does wrong; Keras raises a bare Exception
        looked = ", ".join(str(path) for _, path in search_path())
        raise UserError(
            f"No {FILE}: looked for {looked}, and the download failed ({str(error)[:200]}).",
            f"Put {FILE} into a folder and name it with --data-dir or $KERASKIT_DATA.",
        ) from error
    return "downloaded by Keras", search_path()[-1][1]


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in SHAPES}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        problem = f"{path} cannot be read as {FILE}: {error or type(error).__name__}."
        raise UserError(
            problem, "It is damaged or another file; fetch it again, or name another with --data-dir."
        ) from error
    digest = hashlib.sha256()
    for name, shape in SHAPES.items():
        if arrays[name].shape != shape or arrays[name].dtype != np.uint8:
            found = f"{arrays[name].dtype} {arrays[name].shape}"
            raise UserError(
                f"{path} is not MNIST: {name} is {found}, expected uint8 {shape}.", "Name another with --data-dir."
            )
        digest.update(np.ascontiguousarray(arrays[name]).data)
    if digest.hexdigest() != SHA256:
        raise UserError(f"{path} has MNIST's shapes but not its contents (sha256 differs).", "Fetch it again.")
    return arrays
