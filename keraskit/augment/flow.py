"""Endless batches of transformed pictures, as ImageDataGenerator's flows: from arrays, and saving what was made."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from keraskit.augment.description import Description
from keraskit.augment.statistics import standardize
from keraskit.augment.transform import draws, transform
from keraskit.datasets.pipeline import ahead, close_at_exit
from keraskit.errors import UserError
from keraskit.start import tf

FORMATS = ("png", "jpeg", "jpg")


@dataclasses.dataclass(frozen=True)
class Batching:
    """How pictures are handed out, in ImageDataGenerator's words.

    Args:
        batch_size: pictures in a batch.
        shuffle: whether each epoch has an order of its own.
        seed: decides order and transforms.
        subset: of the augmentation's `validation_split` the one or the other share (default: all).
        save_to_dir, save_prefix, save_format, save_limit: the folder in which to save the transformed pictures as well,
            before they are standardised; what their names begin with; png or jpeg; how many at most.
    """

    batch_size: int = 32
    shuffle: bool = True
    seed: int = 0
    subset: Literal["training", "validation"] | None = None
    save_to_dir: Path | str | None = None
    save_prefix: str = ""
    save_format: str = "png"
    save_limit: int = 1_000

    def part(self, augmentation: Description, count: int) -> slice:
        """Which of so many examples, in their order, the subset has: the first ones are for validation."""
        cut = int(augmentation.validation_split * count)
        parts = {None: slice(None), "training": slice(cut, None), "validation": slice(cut)}
        if self.subset not in parts:
            raise UserError(f"subset={self.subset!r} is neither training nor validation.")
        return parts[self.subset]


def flow(
    augmentation: Description,
    x: np.ndarray,
    y: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
    **words: Any,
) -> tf.data.Dataset:
    """Batches of pictures, and labels and weights if there are any.

    Args:
        augmentation: what happens to them.
        x: pictures from 0 to 255, shape (n, height, width, channels).
        y: labels, shape (n, ...).
        sample_weight: of each example in the loss, shape (n,).
        words: of `Batching`.
    """
    batching = Batching(**words)
    known = [np.asarray(array) for array in (x, y, sample_weight) if array is not None]
    if len({len(array) for array in known}) > 1:
        counts = " and ".join(str(len(array)) for array in known)
        raise UserError(f"x and y, and sample_weight, have {counts} examples; they must be as many.")
    with tf.device("/CPU:0"):  # where tf.data runs
        stored = [tf.constant(array) for array in known]
    chosen = np.arange(len(x))[batching.part(augmentation, len(x))]
    return endless(augmentation, lambda indices: [tf.gather(array, indices) for array in stored], chosen, batching)


def endless(
    augmentation: Description,
    load: Callable[[tf.Tensor], list[tf.Tensor]],
    chosen: np.ndarray,
    batching: Batching,
    as_targets: bool = False,
) -> tf.data.Dataset:
    """Batches epoch after epoch. Its length is an epoch's, which is what `fit` takes; iterators go on where one stood.

    Args:
        augmentation: what happens to the pictures.
        load: given indices, returns pictures and what belongs to them.
        chosen: the examples, of which an epoch has all.
        batching: in which order, how many at a time, and where they are saved.
        as_targets: hand the pictures out once more, as what should come of them.
    """
    if not len(chosen):
        raise UserError("There are no pictures.")
    save = None
    if batching.save_to_dir is not None:
        save = Saver(Path(batching.save_to_dir), batching.save_prefix, batching.save_format, batching.save_limit)
        close_at_exit()

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        pair = tf.stack([tf.constant(batching.seed, tf.int64), epoch])
        order = tf.range(len(chosen))
        order = tf.random.experimental.stateless_shuffle(order, seed=pair) if batching.shuffle else order
        numbers = tf.gather(draws(len(chosen), pair), order)
        return tf.data.Dataset.from_tensor_slices((tf.gather(chosen, order), numbers)).batch(batching.batch_size)

    def batch(indices: tf.Tensor, numbers: tf.Tensor) -> Any:
        pictures, *rest = load(indices)
        images = transform(augmentation, pictures, numbers)
        if save:
            images = tf.ensure_shape(tf.numpy_function(save, [images], tf.float32), images.shape)
        images = standardize(augmentation, images)
        rest = [images, *rest] if as_targets else rest
        return (images, *rest) if rest else images

    made = ahead(tf.data.Dataset.range(2**62).flat_map(one_epoch), batch)
    steps = -(-len(chosen) // batching.batch_size)
    opened = functools.cache(lambda: iter(made))
    own = {"__iter__": lambda _: opened(), "cardinality": lambda _: tf.constant(steps, tf.int64)}
    flow = copy.copy(made)
    flow.__class__ = type("Flow", (type(made),), own)
    return flow


class Saver:
    """Saves pictures as files until `limit` are written; a name that is taken is passed over, never overwritten."""

    def __init__(self, folder: Path, prefix: str = "aug", kind: str = "png", limit: int = 1_000) -> None:
        if kind not in FORMATS:
            raise UserError(f"save_format={kind!r} is not one of {', '.join(FORMATS)}.")
        if "/" in prefix or "\\" in prefix:
            raise UserError(f"save_prefix={prefix!r} has a slash; it is the beginning of a file's name.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"Cannot make {folder}: {error.strerror}.", "Name another folder.") from error
        self.folder, self.prefix, self.kind = folder, prefix, kind
        self._left, self._numbers, self._lock = limit, itertools.count(), threading.Lock()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Save what there is room for, values from 0 to 255; returns the pictures unchanged."""
        with self._lock:  # batches come from several threads
            for image in images[: self._left]:
                self._save(np.clip(np.round(image), 0, 255).astype(np.uint8))
        return images

    def _save(self, pixels: np.ndarray) -> None:
        picture = Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels)
        for number in self._numbers:
            path = self.folder / f"{self.prefix}_{number:05d}.{self.kind}"
            try:
                with path.open("xb") as file:
                    picture.save(file, format="jpeg" if self.kind == "jpg" else self.kind)
                break
            except FileExistsError:
                continue
        self._left -= 1
