"""Batches of transformed pictures, as ImageDataGenerator's flows: from arrays, from folders, and saved on the way."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from keraskit.augment.statistics import standardize
from keraskit.augment.transform import draws, transform
from keraskit.datasets.images import folder, layout, sources
from keraskit.datasets.pipeline import in_python, prefetched
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
    save_to_dir: Path | str | None = None,
    save_prefix: str = "aug",
    save_format: Literal["png", "jpeg"] = "png",
) -> tf.data.Dataset:
    """Batches of pictures, and targets if there are any. Each iteration is the next epoch.

    Args:
        augmentation: what happens to them.
        x: pictures from 0 to 255, shape (n, height, width, channels).
        y: targets, shape (n, ...).
        batch_size: pictures in a batch.
        shuffle: whether each epoch has an order of its own.
        seed: decides order and transforms.
        save_to_dir, save_prefix, save_format: a folder to save the transformed pictures in, before they are
            standardised; what their names begin with, before a random part; their format.
    """
    count = len(x)
    if not count or (y is not None and len(y) != count):
        targets = "" if y is None else f" and {len(y)} targets"
        raise UserError(f"There are {count} pictures{targets}; need as many, above 0.")
    with tf.device("/CPU:0"):  # where tf.data runs
        stored, epoch = [tf.constant(each) for each in (x, y) if each is not None], tf.Variable(-1, dtype=tf.int64)

    @tf.autograph.experimental.do_not_convert
    def one_epoch(_: tf.Tensor) -> tf.data.Dataset:
        pair = tf.stack([tf.constant(seed, tf.int64), epoch.assign_add(1)])
        order = tf.range(count)
        order = tf.random.experimental.stateless_shuffle(order, seed=pair) if shuffle else order
        return tf.data.Dataset.from_tensor_slices((order, tf.gather(draws(count, pair), order))).batch(batch_size)

    def save(images: np.ndarray) -> np.ndarray:
        for image in np.clip(np.round(images), 0, 255).astype(np.uint8):
            path = Path(str(save_to_dir)) / f"{save_prefix}_{uuid.uuid4().hex[:12]}.{save_format}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image).save(path)
        return images

    def batch(indices: tf.Tensor, numbers: tf.Tensor) -> Any:
        pictures, *rest = (tf.gather(each, indices) for each in stored)
        images = transform(augmentation, pictures, numbers)
        if save_to_dir:
            images = tf.ensure_shape(in_python(save, [images], tf.float32), images.shape)
        images = standardize(augmentation, images)
        return (images, *rest) if rest else images

    made = prefetched(tf.data.Dataset.range(1).flat_map(one_epoch), batch)
    made = made.apply(tf.data.experimental.assert_cardinality(-(-count // batch_size)))
    made.epoch = epoch  # which a dataset does not keep alive by itself
    return made


def flow_from_directory(
    augmentation: Augmentation,
    directory: Path | str,
    *,
    class_mode: Literal["categorical", "binary", "sparse"] | None = "categorical",
    target_size: tuple[int, int] = (256, 256),
    **words: Any,
) -> tf.data.Dataset:
    """Batches of the pictures in a folder with a subfolder per class, in colour, decoded once as a run's are.

    Args:
        augmentation, words: as `flow` has them.
        directory: the folder.
        class_mode: labels are "categorical", one-hot; "binary", 0.0 or 1.0; "sparse", whole numbers; None for none.
        target_size: height and width in pixels.

    The batches have `class_indices`, `classes` (each picture's label), `filenames`.
    """
    files = sources.open_files(Path(directory))
    classes, pairs, _ = layout.by_class(files.names, files.others, files.root)
    names, labels = [name for name, _ in pairs], layout.labels_of(pairs)
    if class_mode == "binary" and len(classes) != 2:
        raise UserError(f'class_mode="binary" is for two classes; there are {len(classes)}.', 'Take "categorical".')
    pixels = np.empty((len(names), *target_size, 3), np.uint8)
    if bad := folder.read(files, names, pixels, target_size).bad:
        raise UserError(f"{files.root}: {folder.listed(bad)}.", "Remove what is no picture.")
    one_hot = np.eye(len(classes), dtype=np.float32)[labels]
    targets = {"categorical": one_hot, "binary": labels.astype(np.float32), "sparse": labels, None: None}[class_mode]
    made = flow(augmentation, pixels, targets, **words)
    print(f"Found {len(names)} images belonging to {len(classes)} classes.")
    made.class_indices, made.classes = {name: k for k, name in enumerate(classes)}, labels
    made.filenames = names
    return made
