"""Batches of transformed pictures, as ImageDataGenerator's flows: from arrays, from folders, and saved on the way."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from keraskit.augment.statistics import standardize
from keraskit.augment.transform import draws, transform
from keraskit.datasets.images import decode
from keraskit.datasets.images.sources import Folder
from keraskit.datasets.pipeline import ahead, in_python
from keraskit.errors import UserError
from keraskit.start import tf

if TYPE_CHECKING:
    from keraskit.augment import Augmentation


@dataclasses.dataclass(frozen=True)
class Batching:
    """How pictures are handed out, in ImageDataGenerator's words.

    Args:
        batch_size: pictures in a batch.
        shuffle: whether each epoch has an order of its own.
        seed: decides order and transforms.
        subset: of the augmentation's `validation_split` the one or the other share (default: all).
        save_to_dir, save_prefix, save_format, save_limit: the folder in which to save the transformed pictures as well,
            before they are standardised; what their names begin with; png or jpeg; how many at most. No file is
            overwritten.
    """

    batch_size: int = 32
    shuffle: bool = True
    seed: int = 0
    subset: Literal["training", "validation"] | None = None
    save_to_dir: Path | str | None = None
    save_prefix: str = "aug"
    save_format: str = "png"
    save_limit: int = 1_000

    def part(self, augmentation: Augmentation, count: int) -> slice:
        """Which of so many examples, in their order, the subset has: the first ones are for validation."""
        cut = int(augmentation.validation_split * count)
        return {None: slice(None), "training": slice(cut, None), "validation": slice(cut)}[self.subset]


def flow(
    augmentation: Augmentation,
    x: np.ndarray,
    y: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
    **words: Any,
) -> tf.data.Dataset:
    """Batches of pictures, and labels and weights if there are any. Each iteration is the next epoch.

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
    return _epochs(augmentation, lambda indices: [tf.gather(array, indices) for array in stored], chosen, batching)


def flow_from_directory(
    augmentation: Augmentation,
    directory: Path | str,
    *,
    classes: Sequence[str] | None = None,
    class_mode: Literal["categorical", "binary", "sparse"] | None = "categorical",
    target_size: tuple[int, int] = (256, 256),
    color_mode: Literal["rgb", "grayscale"] = "rgb",
    interpolation: Literal["nearest", "bilinear"] = "nearest",
    **words: Any,
) -> tf.data.Dataset:
    """Batches of the pictures in a folder with a subfolder per class, read as a run reads them.

    Args:
        augmentation: what happens to them. Of its `validation_split` each class gives its share.
        directory: the folder.
        classes: names of the subfolders, in the order of the labels (default: all, in the alphabet's order).
        class_mode: labels are "categorical", one-hot; "binary", 0.0 or 1.0; "sparse", whole numbers; None for none.
        target_size: height and width in pixels.
        color_mode: "rgb" or "grayscale".
        interpolation: how pictures are resized, "nearest" or "bilinear".
        words: of `Batching`.

    Returns:
        The batches, with `class_indices`, `classes` (each picture's label), `filenames`, `filepaths`, `samples`.
    """
    files, batching = Folder(Path(directory)), Batching(**words)
    channels: Any = {"grayscale": 1, "rgb": 3}[color_mode]
    names = list(classes or sorted(path.name for path in files.root.iterdir() if path.is_dir()))
    found = [sorted(each for each in files.names if each.startswith(f"{name}/")) for name in names]
    found = [several[batching.part(augmentation, len(several))] for several in found]
    pictures = [each for several in found for each in several]
    labels = np.repeat(np.arange(len(names)), [len(several) for several in found])
    if class_mode == "binary" and len(names) != 2:
        raise UserError(f'class_mode="binary" is for two classes; there are {len(names)}.', 'Take "categorical".')
    one_hot, number = np.eye(len(names), dtype=np.float32)[labels], labels.astype(np.float32)
    targets = {"categorical": one_hot, "binary": number, "sparse": labels, None: None}[class_mode]
    bits = decode.depth(max((_decoded(files, each, decode.highest) for each in pictures), default=0))

    def read(indices: np.ndarray) -> np.ndarray:
        def pixels(data: bytes) -> np.ndarray:
            return decode.pixels(decode.read(data, bits=bits), target_size, channels, interpolation)

        made = np.stack([_decoded(files, pictures[i], pixels) for i in indices])
        return made.reshape(-1, *target_size, channels)

    def load(indices: tf.Tensor) -> list[tf.Tensor]:
        made = tf.ensure_shape(in_python(read, [indices], tf.uint8), (None, *target_size, channels))
        return [made] if targets is None else [made, tf.gather(targets, indices)]

    flow = _epochs(augmentation, load, np.arange(len(pictures)), batching)
    print(f"Found {len(pictures)} images belonging to {len(names)} classes.")
    flow.class_indices, flow.classes = {name: i for i, name in enumerate(names)}, labels
    flow.filenames, flow.samples = pictures, len(pictures)
    flow.filepaths = [str(files.root / name) for name in pictures]
    return flow


def _decoded(files: Folder, name: str, function: Callable[[bytes], Any]) -> Any:
    """What a function of decoding makes of a file. Raises ValueError with the file's name."""
    try:
        return function(files.read(name))
    except (OSError, decode.BadPicture) as error:
        raise ValueError(f"{files.root / name} {error}") from error


def _epochs(
    augmentation: Augmentation,
    load: Callable[[tf.Tensor], list[tf.Tensor]],
    chosen: np.ndarray,
    batching: Batching,
) -> tf.data.Dataset:
    """Batches of one epoch, of the next whenever they are iterated over again.

    Args:
        augmentation: what happens to the pictures.
        load: given indices, returns pictures and what belongs to them.
        chosen: the examples, of which an epoch has all.
        batching: in which order, how many at a time, and where they are saved.
    """
    if not len(chosen):
        raise UserError("There are no pictures.")
    save = _saver(batching) if batching.save_to_dir else None
    with tf.device("/CPU:0"):
        epoch = tf.Variable(-1, dtype=tf.int64)

    @tf.autograph.experimental.do_not_convert
    def one_epoch(_: tf.Tensor) -> tf.data.Dataset:
        pair = tf.stack([tf.constant(batching.seed, tf.int64), epoch.assign_add(1)])
        order = tf.range(len(chosen))
        order = tf.random.experimental.stateless_shuffle(order, seed=pair) if batching.shuffle else order
        numbers = tf.gather(draws(len(chosen), pair), order)
        return tf.data.Dataset.from_tensor_slices((tf.gather(chosen, order), numbers)).batch(batching.batch_size)

    def batch(indices: tf.Tensor, numbers: tf.Tensor) -> Any:
        pictures, *rest = load(indices)
        images = transform(augmentation, pictures, numbers)
        if save:
            images = tf.ensure_shape(in_python(save, [images], tf.float32), images.shape)
        images = standardize(augmentation, images)
        return (images, *rest) if rest else images

    steps = -(-len(chosen) // batching.batch_size)
    made = ahead(tf.data.Dataset.range(1).flat_map(one_epoch), batch)
    made = made.apply(tf.data.experimental.assert_cardinality(steps))
    made.epoch = epoch  # which a dataset does not keep alive by itself
    return made


def _saver(batching: Batching) -> Callable[[np.ndarray], np.ndarray]:
    """A function that saves the pictures it is given, values from 0 to 255, and returns them."""
    folder, kind, left = Path(str(batching.save_to_dir)), batching.save_format, batching.save_limit
    lock = threading.Lock()
    if kind not in ("png", "jpeg", "jpg"):
        raise UserError(f"save_format={kind!r} is neither png nor jpeg.")
    folder.mkdir(parents=True, exist_ok=True)
    paths = (folder / f"{batching.save_prefix}_{number:05d}.{kind}" for number in itertools.count())

    def save(images: np.ndarray) -> np.ndarray:
        nonlocal left
        with lock:  # batches come from several threads
            for image in np.clip(np.round(images[:left]), 0, 255).astype(np.uint8):
                path = next(each for each in paths if not each.exists())
                picture = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image)
                with path.open("xb") as file:
                    picture.save(file, format="png" if kind == "png" else "jpeg")
                left -= 1
        return images

    return save
