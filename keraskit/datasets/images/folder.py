"""Splits from pictures in files, in the size and scale that a model wants; decoded once if memory allows."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from keraskit import system
from keraskit.datasets import pipeline, splitting
from keraskit.datasets.images import decode
from keraskit.datasets.images.labels import Labelled, Layout, labels_of
from keraskit.datasets.images.sources import PictureFiles
from keraskit.datasets.images.verify import SHOWN, check, listed, total
from keraskit.datasets.preprocessing import Inputs, Scale
from keraskit.datasets.splits import Split, Splits
from keraskit.datasets.splitting import SPLITS
from keraskit.errors import RunStopped, UserError
from keraskit.start import tf

SIZE = 150  # pixels of a side, until a model says what it wants
CACHE_SHARE = 0.4  # of the free memory, for decoded pictures


def splits(
    files: PictureFiles,
    layout: Layout,
    scale: Scale,
    source: dict[str, Any],
    limit: int | None = None,
    cache: str = "auto",
) -> Splits:
    """The splits of a layout, less the pictures that cannot be used, which `source` names.

    Raises UserError where more than 5 % of the pictures cannot be used.
    """
    found = {split: _mixed(pairs, limit) for split, pairs in layout.splits.items()}
    prints: dict[str, np.ndarray] = {}
    bits = 16
    if not files.trusted:
        bad, digests, highest = check(files, [name for pairs in found.values() for name, _ in pairs])
        found = {split: [pair for pair in pairs if pair[0] not in bad] for split, pairs in found.items()}
        labels = {split: labels_of(pairs) for split, pairs in found.items()}
        names = {split: [name for name, _ in pairs] for split, pairs in found.items()}
        prints = {split: np.array([int(digests[n][:16], 16) for n in names[split]], np.uint64) for split in SPLITS}
        keep, notes = splitting.apart(prints, labels, names, layout.classes)
        found["train"], prints["train"] = list(itertools.compress(found["train"], keep)), prints["train"][keep]
        if not limit:
            labels["train"] = labels_of(found["train"])
            notes += splitting.check_classes(labels, layout.classes, files.root)
        source = source | {"sha256": total(digests), "left_out": bad, "skipped": dict(files.skipped)}
        source |= {"split": layout.how, "split_seed": splitting.SEED, "notes": notes + _notes(bad, layout, files)}
        if (bits := decode.depth(highest)) < 16:
            source["notes"].append(f"16-bit pictures: no value is above {highest:,}, so they are read as {bits}-bit")
    source = source | {"counts": {split: len(pairs) for split, pairs in found.items()}}

    def made(shape: tuple[int, ...], cached: bool, known: dict[str, Any], reshape: Any = None) -> Splits:
        inputs = Inputs((shape[0], shape[1]), 3, scale, shape, bits)
        train, validation, test = (_split(files, found[split], inputs, cached, prints.get(split)) for split in SPLITS)
        return Splits(train, validation, test, layout.classes, source | known, reshape)

    def shaped(shape: tuple[int, ...]) -> Splits:
        if len(shape) != 3 or shape[-1] != 3:
            raise UserError(f"Photographs have height, width and 3 colours; the model's input is {shape}.")
        cached, reason = _cache(cache, sum(map(len, found.values())) * math.prod(shape))
        return made(shape, cached, {"cache": reason})

    return made((SIZE, SIZE, 3), False, {}, shaped)  # nothing is decoded before the model's size is known


def _mixed(pairs: Labelled, limit: int | None) -> Labelled:
    """In a fixed random order; with a limit, the first of one that has each class in proportion."""
    chosen = splitting.order(len(pairs), labels_of(pairs) if limit else None)
    return [pairs[i] for i in chosen[:limit]]


def _notes(bad: dict[str, str], layout: Layout, files: PictureFiles) -> list[str]:
    """What a user should know of the pictures, in lines."""
    notes = [f"split: {layout.how}"]
    if bad:
        notes.append(f"left out {len(bad):,} that cannot be used: {listed(bad)}")
    if layout.strangers:
        counts = Counter(map(_folder, layout.strangers))
        shown = {_folder(name) if counts[_folder(name)] > 1 else name for name in layout.strangers}
        more = f" and {len(shown) - SHOWN:,} more places" if len(shown) > SHOWN else ""
        words = ", ".join(sorted(shown)[:SHOWN]) + more
        notes.append(f"left out {len(layout.strangers):,} pictures of no class or split: {words}")
    return notes + files.left_out()


def _folder(name: str) -> str:
    """The folder of a picture, with a slash at the end; of one at the top the picture itself."""
    return name[: name.rfind("/") + 1] or name


def _cache(asked: str, size: int) -> tuple[bool, str]:
    """Whether to keep decoded pictures in memory, and why. `size` in bytes."""
    free = system.available_memory()
    figures = f"{size / 1e9:.2f} GB of decoded pictures" + (f", {free / 1e9:.1f} GB free" if free else "")
    if asked != "auto":
        return asked == "on", f"{'in memory' if asked == 'on' else 'none, decoding every epoch'}, as asked: {figures}"
    if free is None or size <= CACHE_SHARE * free:
        return True, f"in memory: {figures}"
    return False, f"none, decoding every epoch: {figures}, of which a cache may take {CACHE_SHARE:.0%}"


def _split(files: PictureFiles, pairs: Labelled, inputs: Inputs, cached: bool, prints: np.ndarray | None) -> Split:
    """A split that decodes what it is asked for, or everything now."""
    names = [name for name, _ in pairs]
    labels = labels_of(pairs)
    shape = (*inputs.size, 3)
    pool = ThreadPoolExecutor(system.cores())  # its threads start with the first picture

    def picture(name: str) -> np.ndarray:
        try:
            return decode.pixels(decode.read(files.read(name), bits=inputs.bits), inputs.size)
        except (OSError, decode.BadPicture, MemoryError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            problem = f"{name} of {files.root}, which was a picture when the run began, is none now: {why}"
            raise RunStopped(f"{problem}.", "Put it back.") from error

    def decoded(indices: np.ndarray) -> np.ndarray:
        pictures = np.empty((len(indices), *shape), np.uint8)
        for i, each in enumerate(pool.map(picture, [names[i] for i in indices])):
            pictures[i] = each
        return pictures

    with tf.device("/CPU:0"):
        stored = tf.constant(decoded(np.arange(len(names)))) if cached else None
        classes = tf.constant(labels)

    def load(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if stored is not None:
            return tf.gather(stored, indices), tf.gather(classes, indices)
        chosen = pipeline.in_python(decoded, [indices], tf.uint8)
        return tf.ensure_shape(chosen, (None, *shape)), tf.gather(classes, indices)

    def look(indices: np.ndarray) -> np.ndarray:
        return load(tf.constant(indices, tf.int64))[0].numpy()

    return Split(len(names), load, labels, look, inputs, names=names, prints=prints)
