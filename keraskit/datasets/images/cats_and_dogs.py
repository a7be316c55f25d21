"""Cats and dogs: photographs from --data-dir or the public archive, otherwise drawings; or your own classes.

Args:
    data_dir: Photographs: a folder with a subfolder per class, or a zip archive (default: pets are drawn).
    download: Fetch the photographs of cats and dogs, 825 MB, once, if --data-dir names none.
    shares: Percent to train, validate and test, unless folders are splits (default: 70 15 15; Kaggle's as the
        tutorial's).
    split_by: How to split: at random, the same in every run; or by group, which keeps together what shares a subfolder
        or the beginning of its name, as p3_001 and p3_left (default: random; Kaggle's as the tutorial's).
    crop: Crop the centre of each picture in the model's shape, instead of squeezing the whole picture into it.
"""

import dataclasses
import hashlib
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from keraskit import system
from keraskit.datasets import splitting
from keraskit.datasets.array_files import explained
from keraskit.datasets.images import drawn_pets
from keraskit.datasets.images.layout import Labelled, Layout, arrange, labels_of
from keraskit.datasets.images.sources import HIDDEN, decode_all, listed, open_files
from keraskit.datasets.preprocessing import Inputs, Scale
from keraskit.datasets.splits import Split, Splits, gathered, tensors
from keraskit.datasets.splitting import SPLITS
from keraskit.errors import UserError
from keraskit.start import tf
from keraskit.typed import Count

ARCHIVE = "kagglecatsanddogs_5340.zip"
URL = f"https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/{ARCHIVE}"
BYTES = 824_887_076
SHA256 = "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9"
OF_THE_DOCUMENT = 2_000  # photographs of each class: 1,000 to train, 500 to validate, 500 to test
MEASURED = 1_752  # training photographs with which the recipes' metrics were measured
MOST_BAD = 0.05  # fraction of all images; more point to another problem


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Images with known names, classes and splits; `load` decodes them."""

    files: Any  # a folder or an archive
    layout: Layout
    scale: Scale
    source: dict[str, Any]  # their entry in the manifest, which `load` completes
    limit: int | None = None  # examples of each split, at most
    crop: bool = False  # whether images are cropped to the model's shape

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels."""
        return self.layout.classes

    def load(self, shape: tuple[int, ...]) -> Splits:
        """Decode every image once, in the shape of the model's input, given without the batch axis.

        Unusable images are left out, and so are training images that are exact copies of validation or test images;
        `source` records both. Raises UserError if more than 5% are unusable.
        """
        if len(shape) != 3 or shape[-1] != 3 or None in shape:
            raise UserError(f"Photographs have height, width and 3 colours; the model's input is {shape}.")
        pairs = [_mixed(self.layout.splits[split], self.limit) for split in SPLITS]
        names, labels = [name for each in pairs for name, _ in each], np.concatenate([*map(labels_of, pairs)])
        files, where, whole = self.files, self.files.root, (len(names), *shape)
        with tempfile.TemporaryFile() as file, tf.device("/CPU:0"):
            number, size = file.fileno(), math.prod(shape)
            decoded = f"Decoded, the pictures take {math.prod(whole) / 1e9:.1f} GB in {tempfile.gettempdir()}"
            with explained(decoded, "For a folder with more room set TMPDIR."):
                getattr(os, "posix_fallocate", lambda fd, _, size: os.truncate(fd, size))(number, 0, math.prod(whole))
            found = decode_all(files, names, lambda i, x: os.pwrite(number, x.tobytes(), i * size), shape, self.crop)
            # This maps the file: the system keeps in memory what fits. TensorFlow maps a name once, so each is new.
            with tempfile.TemporaryDirectory() as folder:
                (link := Path(folder, "pictures")).symlink_to(f"/dev/fd/{number}")
                pictures = tf.raw_ops.ImmutableConst(dtype=tf.uint8, shape=whole, memory_region_name=str(link))
            most = int(tf.reduce_max(pictures))
        digests, depths, bad, squeezed = found
        bits = max(depths, default=None)
        stored = pictures, tensors(labels)
        left = f"{len(bad):,} of {len(names):,} pictures that cannot be used: {listed(bad)}"
        if len(bad) > MOST_BAD * len(names):
            advice = f"Up to {MOST_BAD:.0%} are left out; save these as JPEG or PNG, or remove them."
            raise UserError(f"{where} has {left}.", advice)
        prints = np.array([int(digest[:16] or "0", 16) for digest in digests], np.uint64)
        parts = np.split(np.arange(len(names)), np.cumsum([*map(len, pairs)])[:-1])
        rows = {split: part[[names[i] not in bad for i in part]] for split, part in zip(SPLITS, parts, strict=True)}
        tested = np.isin(prints[rows["train"]], prints[np.concatenate([rows["validation"], rows["test"]])])
        rows["train"] = rows["train"][~tested]
        dropped = f"left out of training: {tested.sum():,} exact copies of examples in validation or test"
        notes = [dropped] * bool(tested.any()) + [f"left out {left}"] * bool(bad)
        notes += splitting.copies({split: prints[each] for split, each in rows.items()})
        present = {split: labels[each] for split, each in rows.items()}
        if not self.limit or not rows["train"].size:
            notes += splitting.check_classes(present, self.classes, "; ".join([str(where), *notes]))
        elif (lost := np.setdiff1d(np.concatenate([present["validation"], present["test"]]), present["train"])).size:
            notes.append(f"--limit leaves no training example of {splitting.some([self.classes[k] for k in lost])}")
        notes.append(f"split: {self.layout.how}")
        if bits and 2 * (deep := depths.count(bits)) < len(depths):
            notes.append(f"{deep:,} of {len(depths):,} 16-bit pictures use {bits} bits, so the others are dark")
        notes += [f"16-bit pictures of which none uses more than {bits} are read so"] if bits and bits < 16 else []
        if not (self.crop or self.layout.document) and len(squeezed) >= MOST_BAD * len(names):
            few, shaped = f"{len(squeezed):,} of {len(names):,} pictures", f"{shape[1]} x {shape[0]}"
            notes.append(f"squeezed to {shaped}: {few}, such as {squeezed[0]}; --crop takes their centre instead")
        skipped = {name: why for name, why in self.layout.skipped.items() if why != HIDDEN}
        notes += [f"left out: {listed(skipped)}"] if skipped else []
        notes += [f"no pixel is above {most}, and 0 to 255 is expected"] if most < 64 else []
        lines = "".join(f"{name}\0{digest}\n" for name, digest in sorted(zip(names, digests, strict=True)))
        source = self.source | {
            "sha256": hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest(),
            "left_out": bad,
            "split": self.layout.how,
            "split_seed": splitting.SEED,
            "notes": notes,
            "counts": {split: len(each) for split, each in rows.items()},
        }
        inputs = Inputs((shape[0], shape[1]), 3, self.scale, shape, bits, self.crop)
        every = Split(len(names), lambda indices: gathered(stored, indices), labels, inputs, names=names)
        train, validation, test = map(every.subset, rows.values())
        return Splits(train, validation, test, self.classes, source, prints[rows["train"]])


def _mixed(pairs: Labelled, limit: int | None) -> Labelled:
    """Shuffle pairs in a fixed order; with a limit, take the first ones, each class in proportion."""
    chosen = splitting.order(len(pairs), labels_of(pairs) if limit else None)
    return [pairs[i] for i in chosen[:limit]]


def _pictures(scale: Scale, most: int | None) -> Callable[..., Pictures]:
    """Return a recipe's `data` function: images on `scale`; of Kaggle's data set, the first `most` of each class."""

    def pictures(
        data_dir: Path | None = None, download: bool = False, shares: tuple[Count, Count, Count] | None = None,
        split_by: Literal["random", "group"] | None = None, limit: int | None = None, crop: bool = False,
    ) -> Pictures:  # fmt: skip
        root, found = photographs(data_dir, download)
        files = open_files(root) if root else drawn_pets.DrawnPets()
        layout = arrange(files.names, files.root, most, shares, split_by, files.skipped)
        name, path = (root.resolve().name, str(root)) if root else (drawn_pets.NAME, "")
        measured = layout.document and min(limit or MEASURED, len(layout.splits["train"])) >= MEASURED
        source = {"name": name, "path": path, "found": found, "reference": measured}
        return Pictures(files, layout, scale, source, limit, crop)

    return pictures


unit = _pictures("unit", OF_THE_DOCUMENT)  # values in [0, 1]
pixels = _pictures("pixels", OF_THE_DOCUMENT)  # values in [0, 255], for a model that rescales them itself
caffe = _pictures("caffe", None)  # all photographs, in BGR order minus ImageNet's mean, as for VGG


def photographs(data_dir: Path | None, download: bool) -> tuple[Path | None, str]:
    """Return the path of the photographs and how it was found; None if only drawings are available."""
    if data_dir:
        return system.expanded(data_dir), "--data-dir"
    archive = system.keras_home() / "datasets" / ARCHIVE
    if system.is_file(archive) and archive.stat().st_size == BYTES:
        return archive, "Microsoft's public archive in Keras's cache, known by its size"
    if not download:
        return None, "keraskit's own pen (--data-dir names photographs, --download fetches 825 MB of them)"
    with explained("The photographs could not be downloaded", f"Fetch {URL} yourself and name it with --data-dir."):
        path = keras.utils.get_file(ARCHIVE, URL, file_hash=SHA256, hash_algorithm="sha256")
    return Path(path), "Microsoft's public archive, its sha256 checked"
