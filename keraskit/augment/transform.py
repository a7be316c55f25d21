"""The random part: one matrix per picture, one resampling per batch, compiled into one kernel by XLA.

TensorFlow's own ImageProjectiveTransformV3 works out where a pixel comes from once per channel; the kernel here does it
once, reads bytes, and is faster on a CPU (docs/performance.md has both).
"""

from __future__ import annotations

import functools
import math
from typing import Any

from keraskit.augment.description import Description
from keraskit.errors import UserError
from keraskit.start import tf

DRAWS = 10  # random numbers per picture; the columns are named in `parameters`


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
    single = images.shape.rank == 3 and images.shape[-1] in (1, 3, 4)
    if images.shape.rank not in (3, 4) or single:
        problem = f"Pictures of shape {tuple(images.shape)} are no batch of shape (n, height, width, channels)"
        raise UserError(f"{problem}.", "Give a single picture as x[None], or to random_transform.")
    if images.dtype != tf.uint8:
        images = tf.cast(images, tf.float32)
    if not augmentation.is_random:
        return tf.cast(images, tf.float32)
    return tf.ensure_shape(_compiled(augmentation)(images, tf.convert_to_tensor(numbers)), images.shape)


@functools.cache
def _compiled(augmentation: Description) -> Any:
    """The whole transform as one compiled function; one compilation per description and shape."""

    def whole(images: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        changes = parameters(augmentation, numbers, *tf.unstack(tf.shape(images)[1:3]))
        return apply(augmentation, images, changes, augmentation.moves)

    return tf.function(whole, jit_compile=True, autograph=False)


def parameters(augmentation: Description, numbers: tf.Tensor, height: Any, width: Any) -> dict[str, Any]:
    """What happens to each picture, under ImageDataGenerator's names, shape (n,) each; None for what never happens.

    `theta` and `shear` in degrees, `tx` down the rows and `ty` along the columns in pixels, `zx` and `zy` likewise.
    """
    signed = 2 * numbers - 1
    low, high = augmentation.zoom
    dark, bright = augmentation.brightness_range or (1.0, 1.0)
    return {
        "theta": augmentation.rotation_range * signed[:, 0],
        "tx": _shift(augmentation.height_shift_range, signed[:, 1], height),
        "ty": _shift(augmentation.width_shift_range, signed[:, 2], width),
        "shear": augmentation.shear_range * signed[:, 3],
        "zx": low + (high - low) * numbers[:, 4],
        "zy": low + (high - low) * numbers[:, 5],
        "flip_horizontal": (numbers[:, 6] < 0.5) & augmentation.horizontal_flip,
        "flip_vertical": (numbers[:, 7] < 0.5) & augmentation.vertical_flip,
        "channel_shift_intensity": augmentation.channel_shift_range * signed[:, 8]
        if augmentation.channel_shift_range
        else None,
        "brightness": dark + (bright - dark) * numbers[:, 9] if augmentation.brightness_range is not None else None,
    }


def _shift(most: float, signed: tf.Tensor, side: Any) -> tf.Tensor:
    """Pixels, up to `most` to either side; a share of the side where that is below 1."""
    return most * (tf.cast(side, tf.float32) if most < 1 else 1.0) * signed


def apply(augmentation: Description, images: tf.Tensor, changes: dict[str, Any], moves: bool) -> tf.Tensor:
    """Pictures of shape (n, height, width, channels) or (n, height, width), changed as `parameters` says; float32."""
    flat = images.shape.rank == 3
    if flat:
        images = images[..., None]
    if moves:
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        images = resample(images, matrices(changes, height, width), augmentation)
    images = tf.cast(images, tf.float32)
    if (shift := changes["channel_shift_intensity"]) is not None:
        low, high = (reduce(images, axis=(1, 2, 3), keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
        images = tf.clip_by_value(images + shift[:, None, None, None], low, high)
    if (factor := changes["brightness"]) is not None:
        images = tf.clip_by_value(images * factor[:, None, None, None], 0.0, 255.0)
    return images[..., 0] if flat else images


def resample(images: tf.Tensor, where: tf.Tensor, augmentation: Description) -> tf.Tensor:
    """Resampling of each picture where its matrix says: bilinear, or the nearest pixel.

    Beyond the border lies what scipy's modes nearest, reflect, grid-wrap and grid-constant put there.

    Args:
        images: shape (n, height, width, channels).
        where: from `matrices`, shape (n, 2, 3): the row and column in the original, from a result's row, column, and 1.
        augmentation: for the fill mode, cval, and how to interpolate.
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
    if augmentation.interpolation_order == 0:
        row, column = tf.floor(row + 0.5), tf.floor(column + 0.5)
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

    if augmentation.interpolation_order == 0:
        return pixel(top, left)
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


def matrices(changes: dict[str, Any], height: Any, width: Any) -> tf.Tensor:
    """For each picture a matrix of shape (2, 3): where in the original each row and column of the result comes from.

    ImageDataGenerator's convention, counted from the centre: rotation @ shift @ shear @ zoom, and flips first of all.
    """
    theta, shear = (math.pi / 180 * changes[name] for name in ("theta", "shear"))
    down, right = changes["tx"], changes["ty"]
    row_zoom = changes["zx"] * tf.where(changes["flip_vertical"], -1.0, 1.0)
    column_zoom = changes["zy"] * tf.where(changes["flip_horizontal"], -1.0, 1.0)
    cos, sin = tf.cos(theta), tf.sin(theta)
    # The product [[cos, -sin], [sin, cos]] @ [[1, -sin(shear)], [0, cos(shear)]] @ diag(zooms), written out.
    rr, cr = cos * row_zoom, sin * row_zoom
    rc = -(cos * tf.sin(shear) + sin * tf.cos(shear)) * column_zoom
    cc = (cos * tf.cos(shear) - sin * tf.sin(shear)) * column_zoom
    middle_row, middle_column = (tf.cast(side, tf.float32) / 2 - 0.5 for side in (height, width))
    row = middle_row + cos * down - sin * right - rr * middle_row - rc * middle_column
    column = middle_column + sin * down + cos * right - cr * middle_row - cc * middle_column
    return tf.stack([tf.stack([rr, rc, row], axis=1), tf.stack([cr, cc, column], axis=1)], axis=1)
