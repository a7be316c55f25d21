"""Keras layers around a model: preprocessing, so that it takes uint8 pictures, and probabilities of its classes."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import layers

from keraskit.augment import Augmentation
from keraskit.datasets.preprocessing import Inputs


def with_raw_input(model: keras.Model, inputs: Inputs, augmentation: Augmentation) -> keras.Model:
    """The model with its preprocessing in front.

    Args:
        model: takes what `Inputs.preprocess` makes.
        inputs: how its pictures were scaled and shaped.
        augmentation: standardised them, perhaps, with its statistics.

    Returns:
        A model of uint8 pictures, shape (n, height, width) or (n, height, width, 3).
    """
    picture = keras.Input((*inputs.size, 3)[: 3 if inputs.channels == 3 else 2], dtype="uint8", name="picture")
    known = augmentation.statistics
    if known is None or known.zca is None:
        return keras.Model(picture, model(inputs.preprocess(picture, augmentation)), name=model.name)
    unwhitened = augmentation.with_statistics(dataclasses.replace(known, zca=None))
    x = unwhitened.standardize(inputs.scaled(picture, augmentation))
    whiten = layers.Dense(len(known.zca), use_bias=False, name="zca", trainable=False)  # weights, not a constant
    x = layers.Reshape(x.shape[1:])(whiten(layers.Flatten()(x)))
    whiten.set_weights([known.zca])
    return keras.Model(picture, model(inputs.arranged(x)), name=model.name)


def as_probabilities(outputs: Any, activation: str | None) -> Any:
    """As `scores.probabilities`: shape (n, classes), from (n, classes) or (n, 1), of which the second of two."""
    p = layers.Activation(activation, dtype="float32", name="class_probabilities")(outputs) if activation else outputs
    return p if p.shape[1] > 1 else layers.Concatenate(name="both_classes")([1 - p, p])
