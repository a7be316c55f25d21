"""MNIST: 70,000 handwritten digits, 28x28 grey pixels each. The repository has them; a wheel finds or downloads."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from keraskit import system
from keraskit.datasets.array_files import NAMES, digest, explained, read_npz
from keraskit.errors import UserError

FILE = "mnist.npz"
# SHA-256 of the arrays' bytes, not of the file: equal for any file with the same digits, such as Keras's download.
SHA256 = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
LICENCE = "CC BY-SA 3.0, says Keras's documentation; by Yann LeCun, Corinna Cortes, Christopher Burges"


def load(data_dir: Path | None = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Load the four uint8 arrays of Keras's layout, and their source: `data_dir`, `search_path`, or a download.

    Raises UserError if nothing is found, or if the file is not MNIST.
    """
    places = [("--data-dir", data_dir / FILE)] if data_dir else search_path()
    why, path = next((place for place in places if data_dir or system.is_file(place[1])), None) or _download()
    arrays = read_npz(path)
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


def _download() -> tuple[str, Path]:
    import keras

    looked = ", ".join(str(path) for _, path in search_path())
    advice = f"Put {FILE} into a folder and name it with --data-dir or $KERASKIT_DATA."
    with explained(f"No {FILE}: looked for {looked}, and the download failed", advice):
        keras.datasets.mnist.load_data()  # shows progress, checks the hash, and leaves the file in Keras's cache
    return "downloaded by Keras", search_path()[-1][1]
