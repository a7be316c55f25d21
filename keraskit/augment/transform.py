"""The random part: one matrix per picture, one resampling per batch."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from keraskit.augment.description import Augmentation

DRAWS = 10  # random numbers per picture; the columns are named in `matrices` and `transform`


def draws(count: Any, seed: Any) -> tf.Tensor:
    """Numbers from 0 to 1, shape (count, DRAWS), that depend on the two integers of `seed` alone."""
    return tf.random.stateless_uniform((count, DRAWS), seed=seed)


def transform(augmentation: Augmentation, images: Any, numbers: tf.Tensor) -> tf.Tensor:
    """Transform each picture as its row of `numbers` says.

    Args:
        augmentation: what may happen.
        images: any real dtype, shape (n, height, width, channels) or (n, height, width), from 0 to 255.
        numbers: from `draws`, shape (n, DRAWS).

    Returns:
        float32, the shape of `images`.
    """
    images = tf.cast(images, tf.float32)
    flat = images.shape.rank == 3
    first = augmentation.data_format == "channels_first"
    if flat:
        images = images[..., None]
    elif first:
        images = tf.transpose(images, (0, 2, 3, 1))
    if augmentation.moves:
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        images = tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=matrices(augmentation, numbers, height, width),
            output_shape=[height, width],
            interpolation="BILINEAR",
            fill_mode=augmentation.fill_mode.upper(),
            fill_value=augmentation.cval,
        )
    if augmentation.channel_shift_range:
        low, high = (reduce(images, axis=(1, 2, 3), keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
        shift = augmentation.channel_shift_range * (2 * numbers[:, 8] - 1)
        images = tf.clip_by_value(images + shift[:, None, None, None], low, high)
    if augmentation.brightness_range is not None:
        dark, bright = augmentation.brightness_range
        factor = dark + (bright - dark) * numbers[:, 9]
        images = tf.clip_by_value(images * factor[:, None, None, None], 0.0, 255.0)
    if flat:
        return images[..., 0]
    return tf.transpose(images, (0, 3, 1, 2)) if first else images


def matrices(augmentation: Augmentation, numbers: tf.Tensor, height: Any, width: Any) -> tf.Tensor:
    """For each picture the eight numbers of ImageProjectiveTransformV3, shape (n, 8).

    ImageDataGenerator's convention: a matrix on (row, column), counted from the centre, says where in the original each
    pixel of the result comes from: rotation @ shift @ shear @ zoom, and flips first of all.
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
    none = tf.zeros_like(theta)
    return tf.stack([cc, cr, column, rc, rr, row, none, none], axis=1)  # the operation has columns before rows


def _pixels(share: float, side: tf.Tensor) -> tf.Tensor:
    """A shift's range in pixels: a share of the side below 1, else pixels."""
    return share * side if share < 1 else tf.constant(float(share))
