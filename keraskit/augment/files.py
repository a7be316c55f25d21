"""ImageDataGenerator's flow_from_directory and flow_from_dataframe: batches of pictures read from files by Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from keraskit.augment.description import Description
from keraskit.augment.flow import Saver, Subset, endless, of_subset
from keraskit.errors import UserError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff")  # ImageDataGenerator's
CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
ClassMode = Literal["categorical", "binary", "sparse", "raw", "input"]


def flow_from_directory(
    augmentation: Description,
    directory: Path | str,
    *,
    classes: Sequence[str] | None = None,
    class_mode: ClassMode | None = "categorical",
    subset: Subset | None = None,
    **words: Any,
) -> tf.data.Dataset:
    """Batches of the pictures in a folder with a subfolder per class.

    Args:
        augmentation: what happens to them. Of its `validation_split` each class gives its share.
        directory: the folder.
        classes: names of the subfolders, in the order of the labels (default: all, in the alphabet's order).
        class_mode: labels are "categorical", one-hot; "binary", 0.0 or 1.0; "sparse", whole numbers; "input", the
            pictures themselves; None for no labels.
        subset: as in `flow`.
        words: as in `flow_of_files`.

    Returns:
        The batches, with `class_indices`, `classes` (each picture's label), `filenames`, `filepaths`, `samples`.
    """
    root = Path(directory)
    if not root.is_dir():
        raise UserError(f"There is no folder {root}.", "Name one with a subfolder of pictures per class.")
    names = list(classes or sorted(path.name for path in root.iterdir() if path.is_dir()))
    found = {name: sorted(p for p in (root / name).rglob("*") if p.suffix.lower() in ENDINGS) for name in names}
    found = {name: paths[of_subset(augmentation, len(paths), subset)] for name, paths in found.items()}
    labels = np.repeat(np.arange(len(names)), [len(paths) for paths in found.values()])
    paths = [path for several in found.values() for path in several]
    flow = flow_of_files(augmentation, paths, labels, names, class_mode, **words)
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
    subset: Subset | None = None,
    **words: Any,
) -> tf.data.Dataset:
    """Batches of the pictures that a table names.

    Args:
        augmentation: what happens to them.
        dataframe: of pandas, or anything with columns by name.
        directory: where the files lie, unless their paths are absolute.
        x_col, y_col, weight_col: columns of file names, of classes or (for "raw") targets, of weights.
        classes, class_mode, subset, words: as in `flow_from_directory`; "raw" hands out the column as it is.

    Raises:
        UserError: a file is not there, or a class is not among `classes`.
    """
    paths = [Path(directory) / str(name) for name in dataframe[x_col]]
    if gone := [path for path in paths if not path.is_file()]:
        raise UserError(f"{len(gone)} of {len(paths)} files are not there, the first is {gone[0]}.", "Mend the table.")
    part = of_subset(augmentation, len(paths), subset)
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
    flow = flow_of_files(augmentation, paths[part], labels[part], names, class_mode, weights, **words)
    flow.filenames = [str(name) for name in dataframe[x_col]][part]
    return flow


def flow_of_files(
    augmentation: Description,
    paths: Sequence[Path],
    labels: np.ndarray,
    names: Sequence[str],
    class_mode: ClassMode | None,
    weights: np.ndarray | None = None,
    *,
    target_size: tuple[int, int] = (256, 256),
    color_mode: Literal["grayscale", "rgb", "rgba"] = "rgb",
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int = 0,
    **saving: Any,
) -> tf.data.Dataset:
    """Batches of picture files.

    Args:
        augmentation: what happens to the pictures.
        paths: the files.
        labels: of each, shape (n, ...).
        names: of the classes.
        class_mode: as in `flow_from_directory`.
        weights: of each in the loss.
        target_size: height and width in pixels.
        color_mode, interpolation, keep_aspect_ratio: as `keras.utils.load_img` has them.
        batch_size, shuffle, seed, saving: as in `flow`.
    """
    if class_mode == "binary" and len(names) != 2:
        raise UserError(f'class_mode="binary" is for two classes; there are {len(names)}.', 'Take "categorical".')
    shape = (*target_size, CHANNELS[color_mode])
    shape = (shape[2], *target_size) if augmentation.data_format == "channels_first" else shape
    targets = {
        "categorical": lambda: np.eye(len(names), dtype=np.float32)[labels],
        "binary": lambda: labels.astype(np.float32),
    }.get(class_mode or "", lambda: labels)()

    def read(indices: np.ndarray) -> np.ndarray:
        how = {"color_mode": color_mode, "interpolation": interpolation, "keep_aspect_ratio": keep_aspect_ratio}
        images = [keras.utils.load_img(paths[i], target_size=tuple(target_size), **how) for i in indices]
        arrays = [keras.utils.img_to_array(image, augmentation.data_format, "float32") for image in images]
        return np.stack(arrays)

    def load(indices: tf.Tensor) -> list[tf.Tensor]:
        pictures = tf.ensure_shape(tf.numpy_function(read, [indices], tf.float32, stateful=False), (None, *shape))
        known = [] if class_mode in (None, "input") else [tf.gather(targets, indices)]
        return [pictures, *known, *([tf.gather(weights, indices)] if weights is not None else [])]

    chosen, save = np.arange(len(paths)), Saver.asked(**saving)
    flow = endless(augmentation, load, chosen, batch_size, shuffle, seed, save, as_targets=class_mode == "input")
    flow.class_indices, flow.classes = {name: i for i, name in enumerate(names)}, labels
    flow.filepaths, flow.samples = list(map(str, paths)), len(paths)
    return flow
