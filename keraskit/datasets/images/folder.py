"""Image files as a data set: sorted by name, decoded once in the shape of the model's input."""

import dataclasses
import hashlib
import math
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from keraskit import system
from keraskit.datasets import splitting
from keraskit.datasets.images import decode
from keraskit.datasets.images.layout import Labelled, Layout, labels_of
from keraskit.datasets.images.sources import HIDDEN, listed
from keraskit.datasets.pipeline import in_python
from keraskit.datasets.preprocessing import Inputs, Scale
from keraskit.datasets.splits import Split, Splits, tensors
from keraskit.datasets.splitting import SPLITS
from keraskit.errors import UserError
from keraskit.start import tf

DEPTHS = (8, 10, 12, 14, 16)  # bit depths of cameras and scanners, stored in 16 bits
MOST_BAD = 0.05  # fraction of all images; more point to another problem


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Images in `files`, a folder or an archive, with known names, classes and splits; `load` decodes them.

    `source` is their entry in the manifest, which `load` completes. Each split has at most `limit` examples. With
    `crop`, images are cropped to the model's shape.
    """

    files: Any
    layout: Layout
    scale: Scale
    source: dict[str, Any]
    limit: int | None = None
    crop: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels."""
        return self.layout.classes

    def load(self, shape: tuple[int, ...]) -> Splits:
        """Decode every image once, in the shape of the model's input, given without the batch axis.

        Unusable images are left out, and so are training images that are exact copies of validation or test images;
        `source` records both. Raises UserError if more than 5 % are unusable.
        """
        if len(shape) != 3 or shape[-1] != 3 or None in shape:
            raise UserError(f"Photographs have height, width and 3 colours; the model's input is {shape}.")
        pairs = [_mixed(self.layout.splits[split], self.limit) for split in SPLITS]
        names, labels = [name for each in pairs for name, _ in each], np.concatenate([*map(labels_of, pairs)])
        pixels = OnDisk(shape)
        digests, bits, bad, squeezed = read(self.files, names, pixels, shape, self.crop)
        where = self.files.root
        if len(bad) > MOST_BAD * len(names):
            problem = f"{len(bad):,} of {len(names):,} pictures in {where} cannot be used: {listed(bad)}"
            advice = f"Up to {MOST_BAD:.0%} are left out; save these as JPEG or PNG, or remove them."
            raise UserError(f"{problem}.", advice)
        prints = np.array([int(digest[:16] or "0", 16) for digest in digests], np.uint64)
        parts = np.split(np.arange(len(names)), np.cumsum([*map(len, pairs)])[:-1])
        rows = {split: part[[names[i] not in bad for i in part]] for split, part in zip(SPLITS, parts, strict=True)}
        tested = np.isin(prints[rows["train"]], prints[np.concatenate([rows["validation"], rows["test"]])])
        rows["train"] = rows["train"][~tested]
        dropped = f"left out of training: {tested.sum():,} exact copies of examples in validation or test"
        notes = [dropped] * bool(tested.any()) + splitting.copies({split: prints[each] for split, each in rows.items()})
        present = {split: labels[each] for split, each in rows.items()}
        notes += [] if self.limit else splitting.check_classes(present, self.classes, "; ".join([str(where), *notes]))
        notes.append(f"split: {self.layout.how}")
        notes += [f"left out {len(bad):,} that cannot be used: {listed(bad)}"] if bad else []
        notes += [f"16-bit pictures of which none uses more than {bits} are read so"] if bits < 16 else []
        if not (self.crop or self.layout.document) and len(squeezed) >= MOST_BAD * len(names):
            few, shaped = f"{len(squeezed):,} of {len(names):,} pictures", f"{shape[1]} x {shape[0]}"
            notes.append(f"squeezed to {shaped}: {few}, such as {squeezed[0]}; --crop takes their centre instead")
        skipped = {name: why for name, why in self.layout.skipped.items() if why != HIDDEN}
        notes += [f"left out: {listed(skipped)}"] if skipped else []
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

        def made(rows: np.ndarray) -> Split:
            places, classes = tensors((rows, labels[rows]))

            def load(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                chosen = in_python(lambda rows: pixels[rows], [tf.gather(places, indices)], tf.uint8)
                return tf.ensure_shape(chosen, (None, *shape)), tf.gather(classes, indices)

            return Split(len(rows), load, labels[rows], inputs, names=[names[i] for i in rows])

        train, validation, test = map(made, rows.values())
        return Splits(train, validation, test, self.classes, source, prints[rows["train"]])


def read(
    files: Any, names: list[str], pixels: Any, shape: tuple[int, ...], crop: bool = False
) -> tuple[list[str], int, dict[str, str], list[str]]:
    """Decode each image once into `pixels`; decode 16-bit images again if all of them use fewer bits.

    Returns each image's SHA-256, the bits that 16-bit images use, problems by name, and names of squeezed images.
    """
    from rich.console import Console
    from rich.progress import track

    size, squeezed = (shape[0], shape[1]), list[str]()

    def one(i: int) -> tuple[str, int, str]:
        digest = ""
        try:
            data = files.read(names[i])
            digest = hashlib.sha256(data).hexdigest()
            image = decode.read(data)
            pixels[i] = decode.pixels(image, size, crop=crop)
            squeezed.extend([names[i]] * decode.squeezed(image, size))
            return digest, decode.highest(data), ""
        except OSError as error:
            return digest, 0, f"cannot be read: {error.strerror or error}"
        except decode.BadPicture as error:
            return digest, 0, str(error)

    with ThreadPoolExecutor(system.cores()) as pool:
        console, quiet = Console(stderr=True), not sys.stderr.isatty()
        done = pool.map(one, range(len(names)))
        found = list(track(done, "decoding", len(names), console=console, transient=True, disable=quiet))
    most = max((highest for _, highest, _ in found), default=0)
    bits = next(bits for bits in DEPTHS if most < 1 << bits) if most else 16
    for i, (_, highest, _) in enumerate(found):
        if highest and bits < 16:
            pixels[i] = decode.pixels(decode.read(files.read(names[i]), bits), size, crop=crop)
    bad = {name: problem for name, (*_, problem) in zip(names, found, strict=True) if problem}
    return [digest for digest, *_ in found], bits, bad, sorted(squeezed)


class OnDisk:
    """An array of images of one shape in a temporary file, which the operating system caches as memory allows."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape, self._bytes, self._file = shape, math.prod(shape), tempfile.TemporaryFile()  # noqa: SIM115

    def __setitem__(self, i: int, picture: np.ndarray) -> None:
        os.pwrite(self._file.fileno(), picture.tobytes(), i * self._bytes)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        read = [os.pread(self._file.fileno(), self._bytes, i * self._bytes) for i in rows.tolist()]
        return np.frombuffer(b"".join(read), np.uint8).reshape(-1, *self._shape)


def _mixed(pairs: Labelled, limit: int | None) -> Labelled:
    """Shuffle pairs in a fixed order; with a limit, take the first ones, each class in proportion."""
    chosen = splitting.order(len(pairs), labels_of(pairs) if limit else None)
    return [pairs[i] for i in chosen[:limit]]
