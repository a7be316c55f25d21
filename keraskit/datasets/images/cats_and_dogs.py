"""Cats and dogs: photographs from --data-dir or the public archive, for want of them drawn; or your own classes.

Args:
    data_dir: Photographs: a folder with a subfolder per class, or a zip archive (default: pets are drawn).
    download: Fetch the photographs of cats and dogs, 786 MB, once, if --data-dir names none.
    cache: Keep decoded pictures in memory, or decode them in every epoch.
"""

import io
from pathlib import Path
from typing import Literal

from PIL import Image

from keraskit import system
from keraskit.datasets.array_files import downloading
from keraskit.datasets.images import drawn_pets, folder
from keraskit.datasets.images.labels import arrange
from keraskit.datasets.images.sources import PictureFiles, open_files
from keraskit.datasets.preprocessing import Scale
from keraskit.datasets.splits import Splits

ARCHIVE = "kagglecatsanddogs_5340.zip"
URL = f"https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/{ARCHIVE}"
SHA256 = "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9"
OF_THE_DOCUMENT = 2_000  # photographs of each class: 1,000 to train, 500 to validate, 500 to test
MEASURED = 1_752  # photographs to train on with which the recipes' figures were measured
DRAWN = {"train": range(400), "validation": range(400, 500), "test": range(500, 700)}  # of each class
HOW_TO_GET = "--data-dir names photographs, --download fetches 786 MB of them"


def unit(
    data_dir: Path | None = None,
    download: bool = False,
    cache: Literal["auto", "on", "off"] = "auto",
    limit: int | None = None,
) -> Splits:
    """Pixels from 0 to 1, of the document's 2,000 photographs a class."""
    return _splits(data_dir, download, cache, limit, "unit", OF_THE_DOCUMENT)


def pixels(
    data_dir: Path | None = None,
    download: bool = False,
    cache: Literal["auto", "on", "off"] = "auto",
    limit: int | None = None,
) -> Splits:
    """Pixels from 0 to 255, of the document's 2,000 photographs a class, for a model that scales them itself."""
    return _splits(data_dir, download, cache, limit, "pixels", OF_THE_DOCUMENT)


def caffe(
    data_dir: Path | None = None,
    download: bool = False,
    cache: Literal["auto", "on", "off"] = "auto",
    limit: int | None = None,
) -> Splits:
    """Pixels from 0 to 255 less ImageNet's mean, blue, green, red, of all photographs: what VGG was trained on."""
    return _splits(data_dir, download, cache, limit, "caffe", None)


def _splits(
    data_dir: Path | None, download: bool, cache: str, limit: int | None, scale: Scale, most: int | None
) -> Splits:
    root, found = photographs(data_dir, download)
    files = open_files(root) if root else DrawnPets()
    layout = arrange(files.names, files.root, most)
    kinds = {name.lower().removesuffix("s") for name in layout.classes}
    of_the_document = most is None or (kinds == {"cat", "dog"} and len(layout.splits["train"]) >= MEASURED)
    name, path = (system.name_of(root), str(root)) if root else (drawn_pets.NAME, "")
    source = {"name": name, "path": path, "found": found, "reference": root is not None and of_the_document}
    return folder.splits(files, layout, scale, source, limit, cache)


def photographs(data_dir: Path | None, download: bool) -> tuple[Path | None, str]:
    """Where photographs lie, and how that was found; None where only drawn ones are left."""
    if data_dir:
        return data_dir, "--data-dir"
    if not download and not system.is_file(system.keras_home() / "datasets" / ARCHIVE):
        return None, f"keraskit's own pen ({HOW_TO_GET})"
    import keras

    with downloading("The photographs could not be downloaded", f"Fetch {URL} yourself and name it with --data-dir."):
        path = keras.utils.get_file(ARCHIVE, URL, file_hash=SHA256, hash_algorithm="sha256")  # or checks what is there
    return Path(path), "Microsoft's public archive"


class DrawnPets(PictureFiles):
    """Pictures that are drawn when they are read, as files that lie nowhere."""

    trusted = True

    def __init__(self) -> None:
        super().__init__(Path("drawn"))
        self.names = [f"{split}/{kind}/{i}.bmp" for split in DRAWN for kind in drawn_pets.CLASSES for i in DRAWN[split]]

    def read(self, name: str) -> bytes:
        """The picture as a bitmap file."""
        _, kind, number = name.split("/")
        file = io.BytesIO()
        Image.fromarray(drawn_pets.draw(kind, int(number.partition(".")[0]))).save(file, "BMP")
        return file.getvalue()
