"""Folders of pictures, a subfolder per class, in the size and scale that a model wants; without any, drawn pets."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keraskit import machine
from keraskit.config import RunConfig
from keraskit.datasets import drawn_pets
from keraskit.datasets.splits import PARTS, Batch, Split, Splits
from keraskit.errors import UserError

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif"}
IMAGENET_MEAN = (103.939, 116.779, 123.68)  # blue, green, red
DRAWN = {"train": 400, "validation": 100, "test": 200}  # per class
CACHE_SHARE = 0.4  # of the free memory, for decoded pictures
Scale = Callable[[tf.Tensor], tf.Tensor]


def caffe(config: RunConfig) -> Splits:
    """Pixels from 0 to 255 less ImageNet's mean, blue, green, red: what the VGG networks were trained on."""
    return _splits(config, lambda x: x[..., ::-1] - tf.constant(IMAGENET_MEAN))


def _splits(config: RunConfig, scale: Scale) -> Splits:
    parts, classes, source = _files(config.data_dir) if config.data_dir else _drawn(config.limit)
    parts = {part: (items[: config.limit], labels[: config.limit]) for part, (items, labels) in parts.items()}

    def shaped(shape: tuple[int, ...]) -> Splits:
        if len(shape) != 3 or shape[-1] != 3:
            raise UserError(f"Photographs have height, width and 3 colours; the model's input is {shape}.")
        cached, reason = _cache(config.cache, sum(len(items) for items, _ in parts.values()) * math.prod(shape))
        train, validation, test = (_split(*parts[part], shape[:2], scale, cached) for part in PARTS)
        return Splits(train, validation, test, classes, source | {"cache": reason})

    # Nothing is decoded before the model's size is known.
    height_and_width = (drawn_pets.SIZE, drawn_pets.SIZE)
    train, validation, test = (_split(*parts[part], height_and_width, scale, cached=False) for part in PARTS)
    return Splits(train, validation, test, classes, source, reshape=shaped)


def _cache(asked: str, size: int) -> tuple[bool, str]:
    """Whether to keep decoded pictures in memory, and why. `size` in bytes."""
    free = machine.available_memory()
    figures = f"{size / 1e9:.2f} GB of decoded pictures" + (f", {free / 1e9:.1f} GB free" if free else "")
    if asked != "auto":
        return asked == "on", f"{'in memory' if asked == 'on' else 'none, decoding every epoch'}, as asked: {figures}"
    if free is None or size <= CACHE_SHARE * free:
        return True, f"in memory: {figures}"
    return False, f"none, decoding every epoch: {figures}, of which a cache may take {CACHE_SHARE:.0%}"


def _split(items: np.ndarray, labels: np.ndarray, size: tuple[int, int], scale: Scale, cached: bool) -> Split:
    """A split of file names, shape (n,), or of uint8 pictures, shape (n, height, width, 3)."""

    def picture(item: tf.Tensor) -> tf.Tensor:
        """One picture in the wanted size, rounded to bytes whether it is cached or not."""
        if item.dtype == tf.string:
            item = tf.io.decode_image(tf.io.read_file(item), channels=3, expand_animations=False)
        return tf.ensure_shape(tf.cast(tf.round(tf.image.resize(item, size)), tf.uint8), (*size, 3))

    with tf.device("/CPU:0"):
        if cached:
            decoded = tf.data.Dataset.from_tensor_slices(items).map(picture, num_parallel_calls=tf.data.AUTOTUNE)
            items = np.empty((len(labels), *size, 3), np.uint8)
            for i, pixels in enumerate(decoded.as_numpy_iterator()):
                items[i] = pixels
        stored, classes = tf.constant(items), tf.constant(labels)

    def load(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        chosen = tf.gather(stored, indices)
        if not cached:
            chosen = tf.map_fn(picture, chosen, fn_output_signature=tf.TensorSpec((*size, 3), tf.uint8))
        return chosen, tf.gather(classes, indices)

    def view(_: tf.Tensor, scaled: tf.Tensor, label: tf.Tensor) -> Batch:
        return scaled, label

    def pictures(indices: np.ndarray) -> np.ndarray:
        return load(tf.constant(indices, tf.int64))[0].numpy()

    return Split(len(labels), load, view, labels, pictures, lambda x: scale(tf.cast(x, tf.float32)))


Parts = dict[str, tuple[np.ndarray, np.ndarray]]


def _drawn(limit: int | None) -> tuple[Parts, tuple[str, ...], dict[str, Any]]:
    parts, start = {}, 0
    for part, most in DRAWN.items():
        count = min(most, -(-(limit or 10**9) // len(drawn_pets.CLASSES)))
        labels = np.tile(np.arange(len(drawn_pets.CLASSES)), count)
        numbers = start + np.arange(len(labels)) // len(drawn_pets.CLASSES)
        pictures = [drawn_pets.draw(drawn_pets.CLASSES[k], int(i)) for k, i in zip(labels, numbers, strict=True)]
        parts[part] = (np.stack(pictures), labels)
        start += most  # so that a smaller set holds the same pictures
    found = "keraskit's own pen, as no --data-dir names a folder of photographs"
    source = {"name": "drawn pets", "path": "", "found": found, "counts": {p: len(y) for p, (_, y) in parts.items()}}
    return parts, drawn_pets.CLASSES, source


def _files(root: Path) -> tuple[Parts, tuple[str, ...], dict[str, Any]]:
    """Every picture below `root`, two in four for training, one for validation, one for the test, in each class."""
    if not root.is_dir():
        raise UserError(f"--data-dir {root} is not a folder.", "Name one that has a subfolder of pictures per class.")
    classes = tuple(sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")))
    chosen: dict[str, list[tuple[str, int]]] = {part: [] for part in PARTS}
    digest = hashlib.sha256()
    for label, name in enumerate(classes):
        files = sorted(p for p in (root / name).rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
        if len(files) < 4:
            raise UserError(f"{root / name} has {len(files)} pictures; a class needs 4 to be split.", "Add some.")
        for file in files:
            digest.update(f"{file.relative_to(root)}\0{file.stat().st_size}\0".encode("utf-8", "surrogateescape"))
        order = np.random.default_rng(0).permutation(len(files))
        half, quarter = len(files) // 2, len(files) // 4
        bounds = {"train": order[: half + len(files) % 4], "test": order[-quarter:]}
        bounds["validation"] = order[len(bounds["train"]) : len(files) - quarter]
        for part, indices in bounds.items():
            chosen[part] += [(str(files[i]), label) for i in indices]
    if len(classes) < 2:
        raise UserError(f"{root} has {len(classes)} subfolders; one per class is expected, two at least.")
    for pairs in chosen.values():  # so that the first examples, all that --limit leaves, are of every class
        np.random.default_rng(0).shuffle(pairs)
    parts = {p: (np.array([f for f, _ in pairs]), np.array([y for _, y in pairs])) for p, pairs in chosen.items()}
    source = {"name": root.name, "path": str(root), "found": "--data-dir", "sha256": digest.hexdigest()}
    return parts, classes, source | {"counts": {part: len(pairs) for part, pairs in chosen.items()}}
