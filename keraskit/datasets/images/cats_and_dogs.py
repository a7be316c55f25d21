"""Cats and dogs: photographs from --data-dir or the public archive, for want of them drawn; or your own classes.

Args:
    data_dir: Photographs: a folder with a subfolder per class, or a zip archive (default: pets are drawn).
    download: Fetch the photographs of cats and dogs, 786 MB, once, if --data-dir names none.
    cache: Keep decoded pictures in memory, or decode them in every epoch.
    shares: Percent to train, validate and test, where no folders say (default: 70 15 15; Kaggle's as the tutorial's).
    split_by: Cut each class at random, always the same, or whole groups: folders below the class, or what precedes the
        last number in file names (default: random; Kaggle's as the tutorial's).
"""

from pathlib import Path
from typing import Literal

from keraskit import system
from keraskit.datasets.array_files import downloading
from keraskit.datasets.images import drawn_pets
from keraskit.datasets.images.folder import Pictures
from keraskit.datasets.images.layout import By, arrange
from keraskit.datasets.images.sources import open_files
from keraskit.datasets.preprocessing import Scale

ARCHIVE = "kagglecatsanddogs_5340.zip"
URL = f"https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/{ARCHIVE}"
BYTES = 824_887_076
SHA256 = "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9"
OF_THE_DOCUMENT = 2_000  # photographs of each class: 1,000 to train, 500 to validate, 500 to test
MEASURED = 1_752  # photographs to train on with which the recipes' figures were measured
HOW_TO_GET = "--data-dir names photographs, --download fetches 786 MB of them"


def unit(
    data_dir: Path | None = None,
    download: bool = False,
    cache: Literal["auto", "on", "off"] = "auto",
    shares: tuple[int, int, int] | None = None,
    split_by: Literal["random", "group"] | None = None,
    limit: int | None = None,
) -> Pictures:
    """Pixels from 0 to 1, of the document's 2,000 photographs a class."""
    return _pictures(photographs(data_dir, download), cache, (shares, split_by), limit, "unit", OF_THE_DOCUMENT)


def pixels(
    data_dir: Path | None = None,
    download: bool = False,
    cache: Literal["auto", "on", "off"] = "auto",
    shares: tuple[int, int, int] | None = None,
    split_by: Literal["random", "group"] | None = None,
    limit: int | None = None,
) -> Pictures:
    """Pixels from 0 to 255, of the document's 2,000 photographs a class, for a model that scales them itself."""
    return _pictures(photographs(data_dir, download), cache, (shares, split_by), limit, "pixels", OF_THE_DOCUMENT)


def caffe(
    data_dir: Path | None = None,
    download: bool = False,
    cache: Literal["auto", "on", "off"] = "auto",
    shares: tuple[int, int, int] | None = None,
    split_by: Literal["random", "group"] | None = None,
    limit: int | None = None,
) -> Pictures:
    """Pixels from 0 to 255 less ImageNet's mean, blue, green, red, of all photographs: what VGG was trained on."""
    return _pictures(photographs(data_dir, download), cache, (shares, split_by), limit, "caffe", None)


def _pictures(
    place: tuple[Path | None, str],
    cache: str,
    cut: tuple[tuple[int, int, int] | None, By | None],
    limit: int | None,
    scale: Scale,
    most: int | None,
) -> Pictures:
    root, found = place
    files = open_files(root) if root else drawn_pets.DrawnPets()
    layout = arrange(files.names, files.root, most, *cut, files.others)
    name, path = (system.name_of(root), str(root)) if root else (drawn_pets.NAME, "")
    measured = layout.document and len(layout.splits["train"]) >= MEASURED
    source = {"name": name, "path": path, "found": found, "reference": measured}
    return Pictures(files, layout, scale, source, limit, cache)


def photographs(data_dir: Path | None, download: bool) -> tuple[Path | None, str]:
    """Where photographs lie, and how that was found; None where only drawn ones are left."""
    if data_dir:
        return data_dir, "--data-dir"
    archive = system.keras_home() / "datasets" / ARCHIVE
    size = archive.stat().st_size if system.is_file(archive) else 0
    if size == BYTES:
        return archive, "Microsoft's public archive in Keras's cache, known by its size"
    if not download:
        part = f"; {archive} has {size:,} of {BYTES:,} bytes" if size else ""
        return None, f"keraskit's own pen ({HOW_TO_GET}{part})"
    import keras

    with downloading("The photographs could not be downloaded", f"Fetch {URL} yourself and name it with --data-dir."):
        path = keras.utils.get_file(ARCHIVE, URL, file_hash=SHA256, hash_algorithm="sha256")
    return Path(path), "Microsoft's public archive, its sha256 checked"
