"""Random transforms: one matrix per image and one resampling per batch, compiled into one kernel by XLA.

TensorFlow's ImageProjectiveTransformV3 computes the source of a pixel once per channel; this kernel computes it once
per pixel, reads uint8, and is faster on a CPU (docs/performance.md compares both).
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from keraskit.errors import UserError
from keraskit.start import tf

if TYPE_CHECKING:
    from keraskit.augment.augmentation import Augmentation

DRAWS = 10  # random numbers per picture: rotation, shifts, shear, two zooms, two flips, channels, brightness


def draws(count: Any, seed: Any) -> tf.Tensor:
    """Return random numbers in [0, 1), shape (count, DRAWS), that depend only on the two integers of `seed`."""
    return tf.random.stateless_uniform((count, DRAWS), seed=seed)


def transform(augmentation: Augmentation, images: Any, numbers: tf.Tensor) -> tf.Tensor:
    """Transform each image according to its row of `numbers`, from `draws`.

    `images` have any real dtype, values from 0 to 255, and shape (n, height, width, channels) or (n, height, width).
    Returns float32 of the same shape.
    """
    images = tf.convert_to_tensor(images)
    check_batch(tuple(images.shape))
    if not augmentation.is_random:
        return tf.cast(images, tf.float32)
    images = images if images.dtype == tf.uint8 else tf.cast(images, tf.float32)
    return tf.ensure_shape(_compiled(augmentation.replace())(images, tf.convert_to_tensor(numbers)), images.shape)


def check_batch(shape: tuple[int, ...]) -> None:
    """Raise UserError unless a shape is that of several images."""
    if len(shape) not in (3, 4) or (len(shape) == 3 and shape[-1] in (1, 3, 4)):
        problem = f"Pictures of shape {shape} are no batch of shape (n, height, width, channels)"
        raise UserError(f"{problem}.", "Give a single picture as x[None], a list of them as np.stack(x).")


@functools.cache
def _compiled(augmentation: Augmentation) -> Any:
    """Return the whole transform as one compiled function, one per augmentation without statistics, and shape."""

    def whole(images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        flat = images.shape.rank == 3
        images = images[..., None] if flat else images
        if augmentation.moves:
            images = resample(augmentation, images, matrices(augmentation, numbers, *tf.unstack(tf.shape(images)[1:3])))
        images = tf.cast(images, tf.float32)
        if most := augmentation.channel_shift_range:
            low, high = (reduce(images, axis=(1, 2, 3), keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
            images = tf.clip_by_value(images + most * (2 * numbers[:, 8, None, None, None] - 1), low, high)
        if augmentation.brightness_range is not None:
            dark, bright = augmentation.brightness_range
            images = tf.clip_by_value(images * (dark + (bright - dark) * numbers[:, 9, None, None, None]), 0.0, 255.0)
        return images[..., 0] if flat else images

    return tf.function(whole, jit_compile=True, autograph=False)


def matrices(augmentation: Augmentation, numbers: tf.Tensor, height: Any, width: Any) -> tf.Tensor:
    """Return a matrix of shape (2, 3) per image, which maps row and column of the result to those of the original.

    As in ImageDataGenerator, relative to the centre: rotation @ shift @ shear @ zoom, with flips applied first.
    """
    height, width, signed = tf.cast(height, tf.float32), tf.cast(width, tf.float32), 2 * numbers - 1
    down, right = augmentation.height_shift_range, augmentation.width_shift_range  # below 1: a fraction of the side
    down = (down * height if down < 1 else down) * signed[:, 1]
    right = (right * width if right < 1 else right) * signed[:, 2]
    theta = math.pi / 180 * (augmentation.rotation_range * signed[:, 0])
    shear = math.pi / 180 * (augmentation.shear_range * signed[:, 3])
    low, high = augmentation.zoom_range
    row_zoom, column_zoom = (low + (high - low) * numbers[:, k] for k in (4, 5))
    column_zoom *= tf.where((numbers[:, 6] < 0.5) & augmentation.horizontal_flip, -1.0, 1.0)
    row_zoom *= tf.where((numbers[:, 7] < 0.5) & augmentation.vertical_flip, -1.0, 1.0)
    cos, sin = tf.cos(theta), tf.sin(theta)
    # The product [[cos, -sin], [sin, cos]] @ [[1, -sin(shear)], [0, cos(shear)]] @ diag(zooms), written out.
    rr, cr = cos * row_zoom, sin * row_zoom
    rc = -(cos * tf.sin(shear) + sin * tf.cos(shear)) * column_zoom
    cc = (cos * tf.cos(shear) - sin * tf.sin(shear)) * column_zoom
    middle_row, middle_column = height / 2 - 0.5, width / 2 - 0.5
    row = middle_row + cos * down - sin * right - rr * middle_row - rc * middle_column
    column = middle_column + sin * down + cos * right - cr * middle_row - cc * middle_column
    return tf.stack([tf.stack([rr, rc, row], axis=1), tf.stack([cr, cc, column], axis=1)], axis=1)


def resample(augmentation: Augmentation, images: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Resample each image by its matrix from `matrices`, with bilinear interpolation.

    Fill modes are those of SciPy: nearest, reflect, grid-wrap and grid-constant.
    """
    count, height, width, channels = tf.unstack(tf.shape(images))
    # Products of float32 numbers are exact in float64. In float32, XLA may compute a coordinate twice, with and without
    # a fused addition, and the last bits differ: near whole numbers, floor and fraction would disagree.
    down, right = tf.cast(tf.range(height)[:, None], tf.float64), tf.cast(tf.range(width), tf.float64)
    parts = tf.unstack(tf.reshape(tf.cast(where, tf.float64), (-1, 6))[:, :, None, None], axis=1)
    row = parts[0] * down + parts[1] * right + parts[2]
    column = parts[3] * down + parts[4] * right + parts[5]
    top, left = tf.floor(row), tf.floor(column)
    below, beside = (tf.cast(each[..., None], tf.float32) for each in (row - top, column - left))
    top, left = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
    pixels = tf.reshape(images, (-1, channels))
    start = tf.range(count)[:, None, None] * (height * width)

    def pixel(r: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        found_r, found_c = _inside(r, height, augmentation.fill_mode), _inside(c, width, augmentation.fill_mode)
        values = tf.cast(tf.gather(pixels, start + found_r * width + found_c), tf.float32)
        if augmentation.fill_mode == "constant":
            values = tf.where(((found_r == r) & (found_c == c))[..., None], values, augmentation.cval)
        return values

    upper = pixel(top, left) * (1 - beside) + pixel(top, left + 1) * beside
    lower = pixel(top + 1, left) * (1 - beside) + pixel(top + 1, left + 1) * beside
    return upper * (1 - below) + lower * below


def _inside(index: tf.Tensor, side: tf.Tensor, fill_mode: str) -> tf.Tensor:
    """Map a row or column, which may lie beyond the border, to one inside."""
    if fill_mode == "wrap":
        return tf.math.floormod(index, side)
    if fill_mode == "reflect":
        index = tf.math.floormod(index, 2 * side)
        return tf.minimum(index, 2 * side - 1 - index)
    return tf.clip_by_value(index, 0, side - 1)
