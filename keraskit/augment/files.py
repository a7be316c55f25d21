"""ImageDataGenerator's flow_from_directory and flow_from_dataframe: batches of pictures read from files by Keras."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from keraskit import decode
from keraskit.augment.description import Description
from keraskit.augment.flow import Batching, endless
from keraskit.errors import UserError
from keraskit.lazy import tf

MAY_HAVE_16_BITS = (".png", ".tif", ".tiff")
CHANNELS: dict[str, Literal[1, 3]] = {"grayscale": 1, "rgb": 3}
READING = {"target_size": (256, 256), "color_mode": "rgb", "interpolation": "nearest", "keep_aspect_ratio": False}
ClassMode = Literal["categorical", "binary", "sparse", "raw", "input"]


@dataclasses.dataclass(frozen=True)
class Listing:
    """Pictures in files, the label of each, shape (n, ...), the classes' names, and how much each counts."""

    paths: Sequence[Path]
    labels: np.ndarray
    names: Sequence[str]
    class_mode: ClassMode | None
    weights: np.ndarray | None = None

    @property
    def targets(self) -> list[np.ndarray]:
        """What a batch holds besides pictures."""
        known = [] if self.weights is None else [self.weights]
        if self.class_mode in (None, "input"):
            return known
        if self.class_mode == "categorical":
            return [np.eye(len(self.names), dtype=np.float32)[self.labels], *known]
        if self.class_mode == "binary" and len(self.names) != 2:
            problem = f'class_mode="binary" is for two classes; there are {len(self.names)}.'
            raise UserError(problem, 'Take "categorical".')
        return [self.labels.astype(np.float32) if self.class_mode == "binary" else self.labels, *known]


def flow_from_directory(
    augmentation: Description,
    directory: Path | str,
    *,
    classes: Sequence[str] | None = None,
    class_mode: ClassMode | None = "categorical",
    **words: Any,
) -> tf.data.Dataset:
    """Batches of the pictures in a folder with a subfolder per class.

    Args:
        augmentation: what happens to them. Of its `validation_split` each class gives its share.
        directory: the folder.
        classes: names of the subfolders, in the order of the labels (default: all, in the alphabet's order).
        class_mode: labels are "categorical", one-hot; "binary", 0.0 or 1.0; "sparse", whole numbers; "input", the
            pictures themselves; None for no labels.
        words: of `Batching`; `target_size`, height and width in pixels; `color_mode`, "rgb" or "grayscale";
            `interpolation` and `keep_aspect_ratio`, as `keras.utils.load_img` has them. Files are read as a run reads
            them: upright, transparent parts on white, 16 bits scaled to 8.

    Returns:
        The batches, with `class_indices`, `classes` (each picture's label), `filenames`, `filepaths`, `samples`.
    """
    root, (batching, reading) = Path(directory), _sorted(words)
    if not root.is_dir():
        raise UserError(f"There is no folder {root}.", "Name one with a subfolder of pictures per class.")
    names = list(classes or sorted(path.name for path in root.iterdir() if path.is_dir()))
    found = {name: sorted(p for p in (root / name).rglob("*") if p.suffix.lower() in decode.ENDINGS) for name in names}
    found = {name: paths[batching.part(augmentation, len(paths))] for name, paths in found.items()}
    labels = np.repeat(np.arange(len(names)), [len(paths) for paths in found.values()])
    paths = [path for several in found.values() for path in several]
    flow = _flow(augmentation, Listing(paths, labels, names, class_mode), batching, reading)
    print(f"Found {len(paths)} images belonging to {len(names)} classes.")
    flow.filenames = [str(path.relative_to(root)) for path in paths]
    return flow


def flow_from_dataframe(
    augmentation: Description,
    dataframe: Mapping[str, Any],
    directory: Path | str = ".",
    x_col: str = "filename",
    y_col: str = "class",
    *,
    weight_col: str | None = None,
    classes: Sequence[str] | None = None,
    class_mode: ClassMode | None = "categorical",
    **words: Any,
) -> tf.data.Dataset:
    """Batches of the pictures that a table names.

    Args:
        augmentation: what happens to them.
        dataframe: of pandas, or anything with columns by name.
        directory: where the files lie, unless their paths are absolute.
        x_col, y_col, weight_col: columns of file names, of classes or (for "raw") targets, of weights.
        classes, class_mode, words: as in `flow_from_directory`; "raw" hands out the column as it is.

    Raises:
        UserError: a file is not there, or a class is not among `classes`.
    """
    batching, reading = _sorted(words)
    paths = [Path(directory) / str(name) for name in dataframe[x_col]]
    if gone := [path for path in paths if not path.is_file()]:
        raise UserError(f"{len(gone)} of {len(paths)} files are not there, the first is {gone[0]}.", "Mend the table.")
    part = batching.part(augmentation, len(paths))
    names, labels = [], np.zeros(len(paths), int)
    if class_mode == "raw":
        labels = np.asarray(list(dataframe[y_col]))
    elif class_mode not in (None, "input"):
        column = [str(name) for name in dataframe[y_col]]
        names = list(map(str, classes or sorted(set(column))))
        if unknown := set(column) - set(names):
            raise UserError(f"The table has the class {min(unknown)!r}; classes are {', '.join(names)}.", "Name all.")
        labels = np.array([names.index(name) for name in column])
    weights = np.asarray(dataframe[weight_col], np.float32)[part] if weight_col else None
    listing = Listing(paths[part], labels[part], names, class_mode, weights)
    flow = _flow(augmentation, listing, batching, reading)
    flow.filenames = [str(name) for name in dataframe[x_col]][part]
    return flow


def _sorted(words: dict[str, Any]) -> tuple[Batching, dict[str, Any]]:
    """Of these words, those that say how pictures are handed out, and how they are read."""
    batching = Batching(**{name: value for name, value in words.items() if name not in READING})
    return batching, {name: words.get(name, default) for name, default in READING.items()}


def _flow(augmentation: Description, listing: Listing, batching: Batching, reading: dict[str, Any]) -> tf.data.Dataset:
    if reading["color_mode"] not in CHANNELS:
        raise UserError(f"color_mode={reading['color_mode']!r} is none of {', '.join(CHANNELS)}.", "Take rgb.")
    paths, targets, bits = listing.paths, listing.targets, _bits(listing.paths)
    shape = (*reading["target_size"], CHANNELS[reading["color_mode"]])
    shape = (shape[2], *shape[:2]) if augmentation.data_format == "channels_first" else shape

    def read(indices: np.ndarray) -> np.ndarray:
        pictures = np.stack([_read(paths[i], reading, bits) for i in indices]).astype(np.float32)
        pictures = pictures[..., None] if pictures.ndim == 3 else pictures
        return np.moveaxis(pictures, -1, 1) if augmentation.data_format == "channels_first" else pictures

    def load(indices: tf.Tensor) -> list[tf.Tensor]:
        pictures = tf.ensure_shape(tf.numpy_function(read, [indices], tf.float32, stateful=False), (None, *shape))
        return [pictures, *(tf.gather(each, indices) for each in targets)]

    flow = endless(augmentation, load, np.arange(len(paths)), batching, as_targets=listing.class_mode == "input")
    flow.class_indices, flow.classes = {name: i for i, name in enumerate(listing.names)}, listing.labels
    flow.filepaths, flow.samples = list(map(str, paths)), len(paths)
    return flow


def _read(path: Path, reading: dict[str, Any], bits: int) -> np.ndarray:
    """A picture, uint8, in the size and colours that are asked for. Raises ValueError with the file's name."""
    height, width = reading["target_size"]
    with _named(path):
        image = decode.read(decode.contents(path), bits=bits)
    if reading["keep_aspect_ratio"]:
        wide = min(image.width, image.height * width // height)
        high = min(image.height, image.width * height // width)
        left, top = (image.width - wide) // 2, (image.height - high) // 2
        box, how = (left, top, left + wide, top + high), Image.Resampling[reading["interpolation"].upper()]
        image = image.resize((width, height), how, box)
    return decode.pixels(image, (height, width), CHANNELS[reading["color_mode"]], reading["interpolation"])


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
