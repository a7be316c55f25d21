"""The random part: one matrix per picture, one resampling per batch, compiled into one kernel by XLA.

TensorFlow's own ImageProjectiveTransformV3 works out where a pixel comes from once per channel; the kernel here does it
once, reads bytes, and is faster on a CPU (docs/performance.md has both).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import tensorflow as tf

from keraskit.augment.description import Description

DRAWS = 10  # random numbers per picture; the columns are named in `matrices` and `_change`


def draws(count: Any, seed: Any) -> tf.Tensor:
    """Numbers from 0 to 1, shape (count, DRAWS), that depend on the two integers of `seed` alone."""
    return tf.random.stateless_uniform((count, DRAWS), seed=seed)


def transform(augmentation: Description, images: Any, numbers: tf.Tensor) -> tf.Tensor:
    """Transform each picture as its row of `numbers` says.

    Args:
        augmentation: what may happen.
        images: any real dtype, shape (n, height, width, channels) or (n, height, width), from 0 to 255.
        numbers: from `draws`, shape (n, DRAWS).

    Returns:
        float32, the shape of `images`.
    """
    images = tf.convert_to_tensor(images)
    if images.dtype != tf.uint8:
        images = tf.cast(images, tf.float32)
    if not augmentation.is_random:
        return tf.cast(images, tf.float32)
    return tf.ensure_shape(_compiled(augmentation)(images, tf.convert_to_tensor(numbers)), images.shape)


@functools.cache
def _compiled(augmentation: Description) -> Any:
    """The whole transform as one compiled function; one compilation per description and shape."""
    return tf.function(functools.partial(_transform, augmentation), jit_compile=True, autograph=False)


def _transform(augmentation: Description, images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    flat = images.shape.rank == 3
    first = augmentation.data_format == "channels_first"
    if flat:
        images = images[..., None]
    elif first:
        images = tf.transpose(images, (0, 2, 3, 1))
    if augmentation.moves:
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        images = resample(images, matrices(augmentation, numbers, height, width), augmentation)
    images = _change(augmentation, tf.cast(images, tf.float32), numbers)
    if flat:
        return images[..., 0]
    return tf.transpose(images, (0, 3, 1, 2)) if first else images


def _change(augmentation: Description, images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Shift channels and change brightness."""
    if augmentation.channel_shift_range:
        low, high = (reduce(images, axis=(1, 2, 3), keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
        shift = augmentation.channel_shift_range * (2 * numbers[:, 8] - 1)
        images = tf.clip_by_value(images + shift[:, None, None, None], low, high)
    if augmentation.brightness_range is not None:
        dark, bright = augmentation.brightness_range
        factor = dark + (bright - dark) * numbers[:, 9]
        images = tf.clip_by_value(images * factor[:, None, None, None], 0.0, 255.0)
    return images


def resample(images: tf.Tensor, where: tf.Tensor, augmentation: Description) -> tf.Tensor:
    """Bilinear resampling of each picture where its matrix says.

    Beyond the border lies what scipy's modes nearest, reflect, grid-wrap and grid-constant put there.

    Args:
        images: shape (n, height, width, channels).
        where: from `matrices`, shape (n, 2, 3): the row and column in the original, from a result's row, column, and 1.
        augmentation: for the fill mode and cval.
    """
    count, height, width, channels = tf.unstack(tf.shape(images))
    rows = tf.range(height)[None, :, None]
    columns = tf.range(width)[None, None, :]
    # In float64 products of float32 numbers are exact. In float32 XLA, which may compute a coordinate twice, once fused
    # with an addition and once not, gets other last bits, and where a coordinate is whole, floor and fraction disagree.
    here = (tf.cast(rows, tf.float64), tf.cast(columns, tf.float64))
    parts = tf.unstack(tf.reshape(tf.cast(where, tf.float64), (-1, 6))[:, :, None, None], axis=1)
    row = parts[0] * here[0] + parts[1] * here[1] + parts[2]
    column = parts[3] * here[0] + parts[4] * here[1] + parts[5]
    top, left = tf.floor(row), tf.floor(column)
    down, right = (tf.cast(x[..., None], tf.float32) for x in (row - top, column - left))
    top, left = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
    pixels = tf.reshape(images, (-1, channels))
    start = tf.range(count)[:, None, None] * (height * width)

    def pixel(r: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        found_r, found_c = _inside(r, height, augmentation.fill_mode), _inside(c, width, augmentation.fill_mode)
        values = tf.cast(tf.gather(pixels, start + found_r * width + found_c), tf.float32)
        if augmentation.fill_mode == "constant":
            values = tf.where(((found_r == r) & (found_c == c))[..., None], values, augmentation.cval)
        return values

    above = pixel(top, left) * (1 - right) + pixel(top, left + 1) * right
    below = pixel(top + 1, left) * (1 - right) + pixel(top + 1, left + 1) * right
    return above * (1 - down) + below * down


def _inside(index: tf.Tensor, side: tf.Tensor, fill_mode: str) -> tf.Tensor:
    """The row or column that stands for one that may lie beyond the border."""
    if fill_mode == "wrap":
        return tf.math.floormod(index, side)
    if fill_mode == "reflect":
        index = tf.math.floormod(index, 2 * side)
        return tf.minimum(index, 2 * side - 1 - index)
    return tf.clip_by_value(index, 0, side - 1)


def matrices(augmentation: Description, numbers: tf.Tensor, height: Any, width: Any) -> tf.Tensor:
    """For each picture a matrix of shape (2, 3): where in the original each row and column of the result comes from.

    ImageDataGenerator's convention, counted from the centre: rotation @ shift @ shear @ zoom, and flips first of all.
    """
    height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    signed = 2 * numbers - 1
    theta = math.radians(augmentation.rotation_range) * signed[:, 0]
    down = _pixels(augmentation.height_shift_range, height) * signed[:, 1]
    right = _pixels(augmentation.width_shift_range, width) * signed[:, 2]
    shear = math.radians(augmentation.shear_range) * signed[:, 3]
    low, high = augmentation.zoom
    row_zoom, column_zoom = (low + (high - low) * numbers[:, i] for i in (4, 5))
    if augmentation.vertical_flip:
        row_zoom *= tf.where(numbers[:, 7] < 0.5, -1.0, 1.0)
    if augmentation.horizontal_flip:
        column_zoom *= tf.where(numbers[:, 6] < 0.5, -1.0, 1.0)

    cos, sin = tf.cos(theta), tf.sin(theta)
    # The product [[cos, -sin], [sin, cos]] @ [[1, -sin(shear)], [0, cos(shear)]] @ diag(zooms), written out.
    rr, cr = cos * row_zoom, sin * row_zoom
    rc = -(cos * tf.sin(shear) + sin * tf.cos(shear)) * column_zoom
    cc = (cos * tf.cos(shear) - sin * tf.sin(shear)) * column_zoom
    middle_row, middle_column = height / 2 - 0.5, width / 2 - 0.5
    row = middle_row + cos * down - sin * right - rr * middle_row - rc * middle_column
    column = middle_column + sin * down + cos * right - cr * middle_row - cc * middle_column
    return tf.stack([tf.stack([rr, rc, row], axis=1), tf.stack([cr, cc, column], axis=1)], axis=1)


def _pixels(share: float, side: tf.Tensor) -> tf.Tensor:
    """A shift's range in pixels: a share of the side below 1, else pixels."""
    return share * side if share < 1 else tf.constant(float(share))
