"""ImageDataGenerator's flow_from_directory: batches of pictures from files, read as a run reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from keraskit.augment.description import Description
from keraskit.augment.flow import Batching, endless
from keraskit.datasets.images import decode
from keraskit.errors import UserError
from keraskit.start import tf

MAY_HAVE_16_BITS = (".png", ".tif", ".tiff")
CHANNELS: dict[str, Literal[1, 3]] = {"grayscale": 1, "rgb": 3}
ClassMode = Literal["categorical", "binary", "sparse", "input"]


def flow_from_directory(
    augmentation: Description,
    directory: Path | str,
    *,
    classes: Sequence[str] | None = None,
    class_mode: ClassMode | None = "categorical",
    target_size: tuple[int, int] = (256, 256),
    color_mode: Literal["rgb", "grayscale"] = "rgb",
    interpolation: Literal["nearest", "bilinear"] = "nearest",
    keep_aspect_ratio: bool = False,
    **words: Any,
) -> tf.data.Dataset:
    """Batches of the pictures in a folder with a subfolder per class.

    Args:
        augmentation: what happens to them. Of its `validation_split` each class gives its share.
        directory: the folder.
        classes: names of the subfolders, in the order of the labels (default: all, in the alphabet's order).
        class_mode: labels are "categorical", one-hot; "binary", 0.0 or 1.0; "sparse", whole numbers; "input", the
            pictures themselves; None for no labels.
        target_size: height and width in pixels.
        color_mode: "rgb" or "grayscale".
        interpolation: how pictures are resized, "nearest" or "bilinear".
        keep_aspect_ratio: cut the middle out in the target's proportions, instead of squeezing the whole.
        words: of `Batching`.

    Returns:
        The batches, with `class_indices`, `classes` (each picture's label), `filenames`, `filepaths`, `samples`.
    """
    if color_mode not in CHANNELS:
        raise UserError(f"color_mode={color_mode!r} is neither rgb nor grayscale.")
    root, channels, batching = Path(directory), CHANNELS[color_mode], Batching(**words)
    if not root.is_dir():
        raise UserError(f"There is no folder {root}.", "Name one with a subfolder of pictures per class.")
    names = list(classes or sorted(path.name for path in root.iterdir() if path.is_dir()))
    found = {name: sorted(p for p in (root / name).rglob("*") if p.suffix.lower() in decode.ENDINGS) for name in names}
    found = {name: paths[batching.part(augmentation, len(paths))] for name, paths in found.items()}
    paths = [path for several in found.values() for path in several]
    labels = np.repeat(np.arange(len(names)), [len(several) for several in found.values()])
    targets, bits = _targets(labels, len(names), class_mode), _bits(paths)

    def read(indices: np.ndarray) -> np.ndarray:
        pictures = [_read(paths[i], target_size, channels, interpolation, keep_aspect_ratio, bits) for i in indices]
        return np.stack(pictures).reshape(-1, *target_size, channels).astype(np.float32)

    def load(indices: tf.Tensor) -> list[tf.Tensor]:
        pictures = tf.numpy_function(read, [indices], tf.float32, stateful=False)
        pictures = tf.ensure_shape(pictures, (None, *target_size, channels))
        return [pictures, *(tf.gather(each, indices) for each in targets)]

    flow = endless(augmentation, load, np.arange(len(paths)), batching, as_targets=class_mode == "input")
    print(f"Found {len(paths)} images belonging to {len(names)} classes.")
    flow.class_indices, flow.classes = {name: i for i, name in enumerate(names)}, labels
    flow.filenames = [str(path.relative_to(root)) for path in paths]
    flow.filepaths, flow.samples = list(map(str, paths)), len(paths)
    return flow


def _targets(labels: np.ndarray, classes: int, class_mode: ClassMode | None) -> list[np.ndarray]:
    """What a batch holds besides pictures."""
    if class_mode in (None, "input"):
        return []
    if class_mode == "binary" and classes != 2:
        raise UserError(f'class_mode="binary" is for two classes; there are {classes}.', 'Take "categorical".')
    if class_mode == "categorical":
        return [np.eye(classes, dtype=np.float32)[labels]]
    return [labels.astype(np.float32) if class_mode == "binary" else labels]


def _read(
    path: Path,
    size: tuple[int, int],
    channels: Literal[1, 3],
    interpolation: Literal["nearest", "bilinear"],
    keep_aspect_ratio: bool,
    bits: int,
) -> np.ndarray:
    """A picture, uint8, in the size and colours that are asked for. Raises ValueError with the file's name."""
    height, width = size
    with _named(path):
        image = decode.read(decode.contents(path), bits=bits)
    if keep_aspect_ratio:
        wide = min(image.width, image.height * width // height)
        high = min(image.height, image.width * height // width)
        left, top = (image.width - wide) // 2, (image.height - high) // 2
        box, how = (left, top, left + wide, top + high), Image.Resampling[interpolation.upper()]
        image = image.resize((width, height), how, box)
    return decode.pixels(image, size, channels, interpolation)


def _bits(paths: Sequence[Path]) -> int:
    """How many of their 16 bits the pictures of 16 bits use, all together."""
    highest = 0
    for path in paths:
        if path.suffix.lower() in MAY_HAVE_16_BITS:
            with _named(path):
                highest = max(highest, decode.highest(decode.contents(path)))
    return decode.depth(highest)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it; of errors in a pipeline TensorFlow hands on the text alone."""
    try:
        yield
    except (OSError, decode.BadPicture) as error:
        raise ValueError(f"{path} {error}") from error
