"""Cats and dogs: photographs from --data-dir or the public archive, otherwise drawings; or your own classes.

Args:
    data_dir: Photographs: a folder with a subfolder per class, or a zip archive (default: pets are drawn).
    download: Fetch the photographs of cats and dogs, 786 MB, once, if --data-dir names none.
    shares: Percent to train, validate and test, where no folders say (default: 70 15 15; Kaggle's as the tutorial's).
    split_by: Cut each class at random, always the same, by name, or whole groups: folders below the class, or what
        precedes the last number in file names (default: random; Kaggle's as the tutorial's).
    crop: Crop the centre of each picture in the model's shape, instead of squeezing the whole picture into it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from keraskit import system
from keraskit.datasets.array_files import explained
from keraskit.datasets.images import drawn_pets
from keraskit.datasets.images.folder import Pictures
from keraskit.datasets.images.layout import arrange
from keraskit.datasets.images.sources import open_files
from keraskit.datasets.preprocessing import Scale
from keraskit.typed import Count

ARCHIVE = "kagglecatsanddogs_5340.zip"
URL = f"https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/{ARCHIVE}"
BYTES = 824_887_076
SHA256 = "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9"
OF_THE_DOCUMENT = 2_000  # photographs of each class: 1,000 to train, 500 to validate, 500 to test
MEASURED = 1_752  # training photographs with which the recipes' metrics were measured


def _pictures(scale: Scale, most: int | None) -> Callable[..., Pictures]:
    """Return a recipe's `data` function: images on `scale`; of Kaggle's data set, the first `most` of each class."""

    def pictures(
        data_dir: Path | None = None,
        download: bool = False,
        shares: tuple[Count, Count, Count] | None = None,
        split_by: Literal["random", "name", "group"] | None = None,
        limit: int | None = None,
        crop: bool = False,
    ) -> Pictures:
        root, found = photographs(data_dir, download)
        files = open_files(root) if root else drawn_pets.DrawnPets()
        layout = arrange(files.names, files.root, most, shares, split_by, files.skipped)
        name, path = (root.resolve().name, str(root)) if root else (drawn_pets.NAME, "")
        measured = layout.document and len(layout.splits["train"]) >= MEASURED
        source = {"name": name, "path": path, "found": found, "reference": measured}
        return Pictures(files, layout, scale, source, limit, crop)

    return pictures


unit = _pictures("unit", OF_THE_DOCUMENT)  # values in [0, 1]
pixels = _pictures("pixels", OF_THE_DOCUMENT)  # values in [0, 255], for a model that rescales them itself
caffe = _pictures("caffe", None)  # all photographs, in BGR order minus ImageNet's mean, as for VGG


def photographs(data_dir: Path | None, download: bool) -> tuple[Path | None, str]:
    """Return the path of the photographs and how it was found; None if only drawings are available."""
    if data_dir:
        return data_dir, "--data-dir"
    archive = system.keras_home() / "datasets" / ARCHIVE
    if system.is_file(archive) and archive.stat().st_size == BYTES:
        return archive, "Microsoft's public archive in Keras's cache, known by its size"
    if not download:
        return None, "keraskit's own pen (--data-dir names photographs, --download fetches 786 MB of them)"
    import keras

    with explained("The photographs could not be downloaded", f"Fetch {URL} yourself and name it with --data-dir."):
        path = keras.utils.get_file(ARCHIVE, URL, file_hash=SHA256, hash_algorithm="sha256")
    return Path(path), "Microsoft's public archive, its sha256 checked"
