"""Augmentation: ImageDataGenerator's arguments and methods. NumPy and TensorFlow are imported on use."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Interval, Len
from cyclopts import Parameter
from pydantic import AfterValidator, BeforeValidator

from keraskit.augment import transform
from keraskit.errors import UserError
from keraskit.start import tf
from keraskit.typed import Typed

if TYPE_CHECKING:
    import numpy as np

EPSILON = 1e-6  # ImageDataGenerator's, added to deviations
CHUNK = 256  # images per matrix product: sums of 256 products of bytes are exact in float32's 24 bits
Shift = Annotated[float, Interval(ge=0, le=1e300)]
Level = Annotated[float, Interval(ge=0, le=255)]


def _factors(given: tuple[float, ...] | None) -> tuple[float, ...] | None:
    low, high = (0, 0) if given is None else given if len(given) == 2 else (1 - given[0], 1 + given[0])
    if not 0 <= low <= high or (given and len(given) == 1 and not low):
        raise ValueError("expected two factors from 0 up, lower first, or one number from 0 to less than 1")
    return given and (low, high)


class Augmentation(Typed, use_attribute_docstrings=True):
    """Random transforms of images and their standardisation, with ImageDataGenerator's names and units.

    Images have values from 0 to 255. One matrix per image maps the result's coordinates to the original's, in the order
    of ImageDataGenerator: flips, zoom, shear, shift, rotation. Channel shift and brightness follow.
    """

    rotation_range: Annotated[float, Interval(ge=0, le=360)] = 0.0
    """Degrees: turn by an angle from minus this to this, about the picture's centre."""
    width_shift_range: Shift = 0.0
    """Move sideways by at most this share of the width, or this many pixels if it is 1 or more."""
    height_shift_range: Shift = 0.0
    """Move up or down by at most this share of the height, or this many pixels if it is 1 or more."""
    shear_range: Annotated[float, Interval(ge=0, lt=90)] = 0.0
    """Degrees (radians in Keras 2.1: its 0.2 is 11.5): shear by an angle from minus this to this."""
    zoom_range: Annotated[
        tuple[float, ...],
        Len(1, 2),
        BeforeValidator(lambda value: (value,) if isinstance(value, int | float | str) else value),
        AfterValidator(_factors),
        Parameter(consume_multiple=1),
    ] = (1.0, 1.0)
    """Zoom each axis by a factor from the first to the second; one number z means from 1 - z to 1 + z."""
    horizontal_flip: bool = False
    """Mirror half of the pictures left to right."""
    vertical_flip: bool = False
    """Mirror half of the pictures top to bottom."""
    fill_mode: Literal["nearest", "reflect", "wrap", "constant"] = "nearest"
    """What lies beyond the border: its last pixel, its mirror image, the opposite side, or `cval`."""
    cval: Level = 0.0
    """The value beyond the border for the fill mode constant."""
    brightness_range: Annotated[tuple[float, float] | None, AfterValidator(_factors)] = None
    """Multiply all values by a factor from the first to the second; the result stays from 0 to 255."""
    channel_shift_range: Level = 0.0
    """Add a value from minus this to this; the result stays within the picture's own lowest and highest value."""
    rescale: Annotated[float | None, Interval(gt=0)] = None
    """Multiply by this before any standardisation below."""
    samplewise_center: bool = False
    """Subtract each picture's own mean."""
    samplewise_std_normalization: bool = False
    """Subtract each picture's own mean, and divide by its standard deviation."""
    featurewise_center: bool = False
    """Subtract the training split's mean, per channel."""
    featurewise_std_normalization: bool = False
    """Subtract the training split's mean, and divide by its standard deviation, per channel."""
    zca_whitening: bool = False
    """Subtract the training split's mean, and decorrelate pixels with its covariance, in place of dividing."""
    zca_epsilon: Annotated[float, Interval(gt=0)] = 1e-6
    """Added to each variance before whitening divides by its root."""
    statistics: ClassVar[dict[str, np.ndarray] | None] = None
    """What `fit` has measured."""

    @property
    def moves(self) -> bool:
        """Whether a geometric transform is set."""
        ranges = (self.rotation_range, self.width_shift_range, self.height_shift_range, self.shear_range)
        return any(ranges) or self.zoom_range != (1, 1) or self.horizontal_flip or self.vertical_flip

    @property
    def is_random(self) -> bool:
        """Whether any transform is random."""
        return self.moves or bool(self.channel_shift_range) or self.brightness_range is not None

    @property
    def needs_fit(self) -> bool:
        """Whether statistics of a training split are needed; they always include the mean, which is subtracted."""
        return self.featurewise_center or self.featurewise_std_normalization or self.zca_whitening

    @property
    def standardizes(self) -> bool:
        """Whether `standardize` changes values."""
        return bool(self.samplewise_center or self.samplewise_std_normalization or self.rescale or self.needs_fit)

    def fit(self, images: np.ndarray | tf.data.Dataset | Iterable[Any]) -> Augmentation:
        """Return a copy fitted to images of shape (n, height, width, channels).

        `images` may be an iterable of batches. The copy's `statistics` are "mean" and, as needed, "std", per channel,
        and "zca", the whitening matrix of flattened images, float32. Raises UserError if this does not fit into memory.
        """
        import numpy as np

        from keraskit.datasets.array_files import check_memory

        count, total, squares, gram, shape = 0, np.zeros(()), np.zeros(()), None, ()
        for batch in [images] if hasattr(images, "shape") else images:
            array = np.asarray(batch)
            transform.check_batch(array.shape)
            shape = (*array.shape[1:], 1)[:3]
            flat = array.reshape(len(array), math.prod(array.shape[1:]))
            count, total = count + len(flat), total + flat.sum(axis=0, dtype=np.float64)
            for part in np.split(flat, range(CHUNK, len(flat), CHUNK)):
                if self.zca_whitening:
                    exact: Any = part.astype(np.float32 if part.dtype == np.uint8 else np.float64)
                    if gram is None:
                        check_memory(8 * flat.shape[1] ** 2, f"Whitening pictures of {flat.shape[1]:,} values takes")
                        gram = np.zeros((flat.shape[1],) * 2)
                    gram += exact.T @ exact
                else:
                    squares = squares + np.square(part, dtype=np.float64).sum(axis=0)
        if not count:
            raise UserError("There are no pictures to measure statistics on.")
        scale = self.rescale or 1.0
        mean_of_pixel = total / count * scale
        mean = mean_of_pixel.reshape(shape).mean(axis=(0, 1), keepdims=True)
        found = {"mean": mean.astype(np.float32)}
        if gram is not None:
            m = np.broadcast_to(mean, shape).reshape(-1)
            outer = np.outer(m, mean_of_pixel)
            # Symmetric: of all whitening matrices it changes pictures least.
            values, vectors = np.linalg.eigh(gram / count * scale**2 - outer - outer.T + np.outer(m, m))
            zca = (vectors / np.sqrt(np.maximum(values, 0) + self.zca_epsilon)) @ vectors.T
            found["zca"] = zca.astype(np.float32)
        elif self.featurewise_std_normalization:  # whitening replaces it
            square_of_pixel = squares / count * scale**2
            variance = square_of_pixel.reshape(shape).mean(axis=(0, 1), keepdims=True) - mean**2
            found["std"] = np.sqrt(np.maximum(variance, 0)).astype(np.float32)
        return self._with(found)

    def fitted(self, path: Path) -> Augmentation:
        """Return a copy with the statistics in a run's .npz file. Raises UserError if they are none."""
        from keraskit.datasets.array_files import read_arrays, reading

        arrays = read_arrays(path, dict.fromkeys(("mean", "std", "zca"), "f"), 2 * path.stat().st_size)  # uncompressed
        with reading(path):
            return self._with({"mean": arrays["mean"]} | {name: a.astype("float32") for name, a in arrays.items()})

    def _with(self, statistics: dict[str, np.ndarray]) -> Augmentation:
        copy = self.model_copy()
        vars(copy)["statistics"] = statistics
        return copy

    draws = staticmethod(transform.draws)
    apply = transform.transform

    def transform(self, images: Any, seed: tuple[int, int]) -> tf.Tensor:
        """Transform images at random; float32. The result depends only on the images and the two integers of `seed`."""
        return self.apply(images, self.draws(len(images), seed))

    def random_transform(self, x: np.ndarray, seed: int = 0) -> np.ndarray:
        """Transform one image, shape (height, width, channels), at random; float32."""
        return self.transform(x[None], (seed, 0))[0].numpy()

    def standardize(self, images: Any) -> Any:
        """Standardise images in ImageDataGenerator's order; float32, same shape; unchanged if nothing is set."""
        from keras import ops

        if not self.standardizes:
            return images
        images = ops.cast(images, "float32")
        axes = tuple(range(1, len(images.shape)))
        if self.rescale:
            images = images * self.rescale
        if self.samplewise_center or self.samplewise_std_normalization:
            images = images - ops.mean(images, axis=axes, keepdims=True)
        if self.samplewise_std_normalization:
            images = images / (ops.std(images, axis=axes, keepdims=True) + EPSILON)
        if not self.needs_fit:
            return images
        if not (known := self.statistics):
            raise UserError("This augmentation needs statistics of the training pictures.", "Call fit(x_train) first.")
        grey = () if len(images.shape) == 3 else known["mean"].shape  # for images without a channel axis
        images = images - known["mean"].reshape(grey)
        if "std" in known:
            images = images / (known["std"].reshape(grey) + EPSILON)
        if "zca" in known:
            flat = ops.reshape(images, (-1, math.prod(images.shape[1:])))
            images = ops.reshape(ops.matmul(flat, known["zca"]), (-1, *images.shape[1:]))
        return images

    def flow(
        self, x: np.ndarray, y: np.ndarray | None = None, batch_size: int = 32, shuffle: bool = True, seed: int = 0
    ) -> tf.data.Dataset:
        """Return batches of standardised images, with targets if given. Each iteration is the next epoch.

        Args:
            x: images, values from 0 to 255, shape (n, height, width, channels).
            y: targets, shape (n, ...).
            batch_size: number of images per batch.
            shuffle: whether to shuffle each epoch and transform at random, or keep the order, untransformed.
            seed: seed of order and transforms.
        """
        import numpy as np

        from keraskit.datasets.preprocessing import Inputs
        from keraskit.datasets.splits import ShuffledEpochs, Split, prefetched

        x, targets = np.asarray(x), np.zeros(len(x)) if y is None else np.asarray(y)
        if not len(x) or len(targets) != len(x):
            raise UserError(f"There are {len(x)} pictures and {len(targets)} targets; need as many, above 0.")
        if batch_size < 1 or x.shape[3:] not in ((), (1,), (3,)):
            problem = f"flow takes pictures of 1 or 3 channels, and batches from 1: {x.shape}, {batch_size}."
            raise UserError(problem, "`transform` takes any number of channels.")
        inputs = Inputs(x.shape[1:3], 3 if x.shape[3:] == (3,) else 1, "pixels", x.shape[1:])
        split = Split.of(x, targets, inputs=inputs, augmentation=self)
        if not shuffle:
            made = split.in_order(batch_size)
        else:
            epochs = ShuffledEpochs(split, batch_size, seed)
            with tf.device("/CPU:0"):
                epoch = tf.Variable(-1, dtype=tf.int64)
            next_one = tf.autograph.experimental.do_not_convert(lambda _: epochs.drawn(epoch.assign_add(1)))
            made = prefetched(tf.data.Dataset.range(1).flat_map(next_one), split.fetch)
            made = made.apply(tf.data.experimental.assert_cardinality(epochs.steps))
            made.epoch = epoch  # a reference, since the dataset does not keep it alive
        return made if y is not None else made.map(lambda images, _: images)

    def flow_from_directory(
        self,
        directory: Path | str,
        *,
        class_mode: Literal["categorical", "binary", "sparse"] | None = "categorical",
        target_size: tuple[int, int] = (256, 256),
        **words: Any,
    ) -> tf.data.Dataset:
        """Return batches of the images in a folder with a subfolder per class, in RGB, decoded once as in a run.

        Args:
            directory: the folder.
            class_mode: type of labels: "categorical", one-hot; "binary", 0.0 or 1.0; "sparse", integers; None for none.
            target_size: height and width in pixels.
            words: as in `flow`.

        The dataset has the attributes `class_indices`, `classes` (the label of each image) and `filenames`.
        """
        import numpy as np

        from keraskit.datasets.array_files import check_memory
        from keraskit.datasets.images import layout, sources

        files = sources.open_files(Path(directory))
        classes, pairs, _ = layout.by_class(files.names, files.root, files.skipped)
        names, labels = [name for name, _ in pairs], layout.labels_of(pairs)
        if not names:
            raise UserError(f"{files.root} holds no pictures of classes: {sources.listed(files.skipped)}.")
        if class_mode == "binary" and len(classes) != 2:
            raise UserError(f'class_mode="binary" is for two classes; there are {len(classes)}.', 'Take "categorical".')
        check_memory(len(names) * math.prod(target_size) * 3, f"{files.root} takes")
        pixels = np.empty((len(names), *target_size, 3), np.uint8)
        if bad := sources.decode_all(files, names, pixels.__setitem__, target_size)[2]:
            raise UserError(f"{files.root}: {sources.listed(bad)}.", "Remove what is no picture.")
        one_hot, binary = np.eye(len(classes), dtype=np.float32)[labels], labels.astype(np.float32)
        targets = {"categorical": one_hot, "binary": binary, "sparse": labels, None: None}[class_mode]
        made = self.flow(pixels, targets, **words)
        print(f"Found {len(names)} images belonging to {len(classes)} classes.")
        made.class_indices, made.classes = {name: k for k, name in enumerate(classes)}, labels
        made.filenames = names
        return made
