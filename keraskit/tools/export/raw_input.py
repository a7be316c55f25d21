"""Keras layers around a model: preprocessing, so that it takes uint8 pictures, and probabilities of its classes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keraskit.augment import Augmentation
from keraskit.augment.statistics import EPSILON
from keraskit.datasets.preprocessing import DEVIATION, IMAGENET_MEAN, MEAN, Inputs


def with_raw_input(model: keras.Model, inputs: Inputs, augmentation: Augmentation) -> keras.Model:
    """The model with its preprocessing in front.

    Args:
        model: takes what `Inputs.arranged` makes.
        inputs: how its pictures were scaled and shaped.
        augmentation: standardised them, perhaps, with its statistics.

    Returns:
        A model of uint8 pictures, shape (n, height, width) or (n, height, width, 3).
    """
    picture = keras.Input((*inputs.size, 3)[: 3 if inputs.channels == 3 else 2], dtype="uint8", name="picture")
    own = augmentation.rescale
    x = layers.Rescaling(own)(picture) if own else _scaled(picture, inputs)
    x = _standardized(x, augmentation)
    return keras.Model(picture, model(_arranged(x, inputs)), name=model.name)


def as_probabilities(outputs: Any, activation: str | None) -> Any:
    """As `scores.probabilities`: shape (n, classes), from (n, classes) or (n, 1), of which the second of two."""
    p = layers.Activation(activation, dtype="float32", name="class_probabilities")(outputs) if activation else outputs
    return p if p.shape[1] > 1 else layers.Concatenate(name="both_classes")([1 - p, p])


def _scaled(picture: Any, inputs: Inputs) -> Any:
    """As `Inputs.scaled`."""
    if inputs.scale == "unit":
        return layers.Rescaling(1 / 255)(picture)
    if inputs.scale == "standard":
        return layers.Rescaling(1 / 255 / DEVIATION, -MEAN / DEVIATION)(picture)
    if inputs.scale == "caffe":
        return layers.Rescaling(1.0, [-mean for mean in IMAGENET_MEAN])(ops.flip(picture, axis=-1))
    return layers.Rescaling(1.0)(picture)


def _standardized(x: Any, augmentation: Augmentation) -> Any:
    """As `statistics.standardize`."""
    axes = list(range(1, len(x.shape)))
    if augmentation.centers_samples:
        x = x - ops.mean(x, axis=axes, keepdims=True)
    if augmentation.samplewise_std_normalization:
        x = x / (ops.std(x, axis=axes, keepdims=True) + EPSILON)
    known = augmentation.statistics if augmentation.needs_fit else None
    if known is None:
        return x
    if known.mean is not None:
        x = layers.Rescaling(1.0, _constant(-known.mean, x))(x)
    if known.std is not None:
        x = layers.Rescaling(_constant(1 / (known.std + EPSILON), x))(x)
    if known.zca is not None:
        whiten = layers.Dense(len(known.zca), use_bias=False, name="zca", trainable=False)
        shape = x.shape[1:]
        x = layers.Reshape(shape)(whiten(layers.Flatten()(x)))
        whiten.set_weights([known.zca])
    return x


def _arranged(x: Any, inputs: Inputs) -> Any:
    """As `Inputs.arranged`."""
    if not isinstance(inputs.shape, dict):
        return layers.Reshape(inputs.shape)(x)
    x = x if inputs.channels == 3 else layers.Reshape((*inputs.size, 1))(x)
    return {name: _as(x, shape) for name, shape in inputs.shape.items()}


def _as(x: Any, shape: tuple[int, ...]) -> Any:
    if x.shape[-1] == 3 and shape[-1] == 1:
        x = ops.image.rgb_to_grayscale(x)
    if x.shape[1:3] != shape[:2]:
        x = layers.Resizing(*shape[:2])(x)
    return layers.Concatenate()([x, x, x]) if x.shape[-1] == 1 and shape[-1] == 3 else x


def _constant(statistic: np.ndarray, x: Any) -> Any:
    """Per-channel numbers for pictures with a channel axis, or for grey ones without."""
    return float(statistic.reshape(-1)[0]) if len(x.shape) == 3 and statistic.size == 1 else statistic.tolist()
