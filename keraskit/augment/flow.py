"""Batches of transformed images from arrays and folders, like ImageDataGenerator's `flow` methods."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from keraskit.datasets.array_files import check_memory
from keraskit.datasets.images import folder, layout, sources
from keraskit.datasets.pipeline import prefetched
from keraskit.datasets.preprocessing import Inputs
from keraskit.datasets.splits import ShuffledEpochs, Split
from keraskit.errors import UserError
from keraskit.start import tf

if TYPE_CHECKING:
    from keraskit.augment import Augmentation


def flow(
    augmentation: Augmentation,
    x: np.ndarray,
    y: np.ndarray | None = None,
    *,
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int = 0,
) -> tf.data.Dataset:
    """Return batches of standardised images, with targets if given. Each iteration is the next epoch.

    Args:
        augmentation: the transforms and standardisation.
        x: images, values from 0 to 255, shape (n, height, width, channels).
        y: targets, shape (n, ...).
        batch_size: number of images per batch.
        shuffle: whether to shuffle each epoch and transform at random; if not, images keep their order, untransformed.
        seed: seed of order and transforms.
    """
    x, y = np.asarray(x), None if y is None else np.asarray(y)
    if not len(x) or (y is not None and len(y) != len(x)):
        targets = "" if y is None else f" and {len(y)} targets"
        raise UserError(f"There are {len(x)} pictures{targets}; need as many, above 0.")
    inputs = Inputs(x.shape[1:3], 3 if x.shape[3:] == (3,) else 1, "pixels", x.shape[1:])
    split = Split.of(x, np.zeros(len(x)) if y is None else y, inputs=inputs, augmentation=augmentation)
    if not shuffle:
        made = split.in_order(batch_size)
        return made if y is not None else made.map(lambda images, _: images)
    epochs = ShuffledEpochs(split, batch_size, seed)
    with tf.device("/CPU:0"):
        epoch = tf.Variable(-1, dtype=tf.int64)
    next_one = tf.autograph.experimental.do_not_convert(lambda _: epochs.drawn(epoch.assign_add(1)))
    drawn = tf.data.Dataset.range(1).flat_map(next_one)
    made = prefetched(drawn, lambda *each: split.fetch(*each) if y is not None else split.fetch(*each)[0])
    made = made.apply(tf.data.experimental.assert_cardinality(epochs.steps))
    made.epoch = epoch  # a reference, since the dataset does not keep it alive
    return made


def flow_from_directory(
    augmentation: Augmentation,
    directory: Path | str,
    *,
    class_mode: Literal["categorical", "binary", "sparse"] | None = "categorical",
    target_size: tuple[int, int] = (256, 256),
    **words: Any,
) -> tf.data.Dataset:
    """Return batches of the images in a folder with a subfolder per class, in RGB, decoded once as in a run.

    Args:
        augmentation, words: as in `flow`.
        directory: the folder.
        class_mode: type of labels: "categorical", one-hot; "binary", 0.0 or 1.0; "sparse", integers; None for none.
        target_size: height and width in pixels.

    The dataset has the attributes `class_indices`, `classes` (the label of each image) and `filenames`.
    """
    files = sources.open_files(Path(directory))
    classes, pairs, _ = layout.by_class(files.names, files.root, files.skipped)
    names, labels = [name for name, _ in pairs], layout.labels_of(pairs)
    if not names:
        raise UserError(f"{files.root} holds no pictures of classes: {sources.listed(files.skipped)}.")
    if class_mode == "binary" and len(classes) != 2:
        raise UserError(f'class_mode="binary" is for two classes; there are {len(classes)}.', 'Take "categorical".')
    check_memory(len(names) * math.prod(target_size) * 3, f"{files.root} takes")
    pixels = np.empty((len(names), *target_size, 3), np.uint8)
    if bad := folder.read(files, names, pixels, target_size)[2]:
        raise UserError(f"{files.root}: {sources.listed(bad)}.", "Remove what is no picture.")
    one_hot = np.eye(len(classes), dtype=np.float32)[labels]
    targets = {"categorical": one_hot, "binary": labels.astype(np.float32), "sparse": labels, None: None}[class_mode]
    made = flow(augmentation, pixels, targets, **words)
    print(f"Found {len(names)} images belonging to {len(classes)} classes.")
    made.class_indices, made.classes = {name: k for k, name in enumerate(classes)}, labels
    made.filenames = names
    return made
