"""Pictures in files as a data set: sorted by name, decoded once in the shape that the model takes."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keraskit import system
from keraskit.datasets import pipeline, splitting
from keraskit.datasets.images import decode
from keraskit.datasets.images.layout import Labelled, Layout, labels_of
from keraskit.datasets.preprocessing import Inputs, Scale
from keraskit.datasets.splits import Split, Splits, tensors
from keraskit.datasets.splitting import SPLITS
from keraskit.errors import RunStopped, UserError
from keraskit.start import tf

CACHE_SHARE = 0.4  # of the free memory, for decoded pictures
MOST_BAD = 0.05  # of all pictures; with more, something else is wrong
SHOWN = 5


class Files(Protocol):
    """A folder or an archive of pictures."""

    root: Path

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises OSError."""


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Pictures in files, of which the names are known; `load` decodes them.

    Args:
        files: reads them by name.
        layout: their classes and splits.
        scale: of the model's input.
        source: what the manifest says of them; `load` adds what it finds.
        limit: examples to take of each split at most.
        cache: "on" keeps decoded pictures in memory, "off" decodes in every epoch, "auto" does what memory allows.
    """

    files: Files
    layout: Layout
    scale: Scale
    source: dict[str, Any]
    limit: int | None = None
    cache: str = "auto"

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in the order of the labels."""
        return self.layout.classes

    def load(self, shape: tuple[int, ...]) -> Splits:
        """Decode every picture once, in the shape of the model's input, which is given without the batch.

        Pictures that cannot be used are left out, and exact copies of others in training; `source` names them. Raises
        UserError where more than 5 % cannot be used.
        """
        if len(shape) != 3 or shape[-1] != 3 or None in shape:
            raise UserError(f"Photographs have height, width and 3 colours; the model's input is {shape}.")
        pairs = [_mixed(self.layout.splits[split], self.limit) for split in SPLITS]
        together = [pair for each in pairs for pair in each]
        names, labels = np.array([name for name, _ in together], object), labels_of(together)
        ends = np.cumsum([len(each) for each in pairs])
        rows = dict(zip(SPLITS, np.split(np.arange(len(names)), ends[:-1]), strict=True))
        cached, reason = _cache(self.cache, len(names) * math.prod(shape))
        inputs = Inputs((shape[0], shape[1]), 3, self.scale, shape)
        pixels = np.empty((len(names), *shape), np.uint8) if cached else None
        digests, bad, highest = _decoded(self.files, names, inputs.size, pixels)
        if len(bad) > MOST_BAD * len(names):
            problem = f"{len(bad):,} of {len(names):,} pictures in {self.files.root} cannot be used: {listed(bad)}"
            advice = f"Up to {MOST_BAD:.0%} are left out; save these as JPEG or PNG, or remove them."
            raise UserError(f"{problem}.", advice)
        notes = [f"left out {len(bad):,} that cannot be used: {listed(bad)}"] if bad else []
        if (bits := decode.depth(int(highest.max(initial=0)))) < 16:
            notes.append(f"16-bit pictures: no value is above {highest.max():,}, so they are read as {bits}-bit")
            inputs = dataclasses.replace(inputs, bits=bits)
            if pixels is not None:
                for i in np.flatnonzero(highest):
                    pixels[i] = decode.pixels(decode.read(self.files.read(names[i]), bits), inputs.size)

        good = np.array([name not in bad for name in names], bool)
        rows = {split: each[good[each]] for split, each in rows.items()}
        prints = np.array([int(digest[:16] or "0", 16) for digest in digests], np.uint64)
        rows["train"], copies = splitting.without_copies(rows, prints, labels, names, self.classes)
        if not self.limit:
            present = {split: labels[each] for split, each in rows.items()}
            copies += splitting.check_classes(present, self.classes, self.files.root)
        if strangers := self.layout.strangers:
            notes.append(f"left out {len(strangers):,} pictures of no class or split, such as {strangers[0]}")
        lines = "".join(f"{name}\0{digest}\n" for name, digest in sorted(zip(names, digests, strict=True)))
        source = self.source | {
            "sha256": hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest(),
            "left_out": bad,
            "split": self.layout.how,
            "split_seed": splitting.SEED,
            "notes": [*copies, f"split: {self.layout.how}", *notes],
            "cache": reason,
            "counts": {split: len(each) for split, each in rows.items()},
        }
        stored = tensors(pixels)
        train, validation, test = (
            _split(self.files, names[each], labels[each], inputs, each, stored) for each in rows.values()
        )
        return Splits(train, validation, test, self.classes, source, prints[rows["train"]])


def listed(bad: dict[str, str]) -> str:
    """The first few names, each with what is wrong."""
    more = f"; and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else ""
    return "; ".join(f"{name} {problem}" for name, problem in list(bad.items())[:SHOWN]) + more


def _mixed(pairs: Labelled, limit: int | None) -> Labelled:
    """In a fixed random order; with a limit, the first of one that has each class in proportion."""
    chosen = splitting.order(len(pairs), labels_of(pairs) if limit else None)
    return [pairs[i] for i in chosen[:limit]]


def _cache(cache: str, size: int) -> tuple[bool, str]:
    """Whether to keep decoded pictures in memory, and why. `size` in bytes."""
    free = system.available_memory()
    figures = f"{size / 1e9:.2f} GB of decoded pictures" + (f", {free / 1e9:.1f} GB free" if free else "")
    if cache != "auto":
        return cache == "on", f"{'in memory' if cache == 'on' else 'none, decoding every epoch'}, as asked: {figures}"
    if free is None or size <= CACHE_SHARE * free:
        return True, f"in memory: {figures}"
    return False, f"none, decoding every epoch: {figures}, of which a cache may take {CACHE_SHARE:.0%}"


def _decoded(
    files: Files, names: np.ndarray, size: tuple[int, int], pixels: np.ndarray | None
) -> tuple[list[str], dict[str, str], np.ndarray]:
    """Decode all pictures, into `pixels` where there is room for them.

    Returns the SHA-256 of each, what is wrong with those that cannot be used, and the highest value of each that has 16
    bits, 0 of others.
    """
    from rich.console import Console
    from rich.progress import track

    def decoded(i: int) -> tuple[str, str, int]:
        try:
            data = files.read(names[i])
        except OSError as error:
            return "", f"cannot be read: {error.strerror or error}", 0
        digest = hashlib.sha256(data).hexdigest()
        try:
            image = decode.read(data)
            if pixels is not None:
                pixels[i] = decode.pixels(image, size)
            return digest, "", decode.highest(data)
        except decode.BadPicture as error:
            return digest, str(error), 0

    with ThreadPoolExecutor(system.cores()) as pool:
        console, quiet = Console(stderr=True), not sys.stderr.isatty()
        done = pool.map(decoded, range(len(names)))
        found = list(track(done, "decoding", len(names), console=console, transient=True, disable=quiet))
    bad = {name: problem for name, (_, problem, _) in zip(names, found, strict=True) if problem}
    return [digest for digest, *_ in found], bad, np.array([highest for *_, highest in found], np.int64)


def _split(
    files: Files, names: np.ndarray, labels: np.ndarray, inputs: Inputs, rows: np.ndarray, stored: tf.Tensor | None
) -> Split:
    """A split of pictures that are `rows` of the stored ones, or are decoded when they are asked for."""
    shape = (*inputs.size, 3)
    places, classes = tensors((rows, labels))
    pool = ThreadPoolExecutor(system.cores())  # its threads start with the first picture

    def picture(name: str) -> np.ndarray:
        try:
            return decode.pixels(decode.read(files.read(name), inputs.bits), inputs.size)
        except (OSError, decode.BadPicture, MemoryError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            problem = f"{name} of {files.root}, which was a picture when the run began, is none now: {why}"
            raise RunStopped(f"{problem}.", "Put it back.") from error

    def load(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if stored is not None:
            return tf.gather(stored, tf.gather(places, indices)), tf.gather(classes, indices)
        chosen = pipeline.in_python(lambda i: np.stack(list(pool.map(picture, names[i]))), [indices], tf.uint8)
        return tf.ensure_shape(chosen, (None, *shape)), tf.gather(classes, indices)

    def look(indices: np.ndarray) -> np.ndarray:
        return load(tf.constant(indices, tf.int64))[0].numpy()

    return Split(len(names), load, labels, look, inputs, names=names.tolist())
