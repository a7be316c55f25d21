"""Counts a model's arithmetic: the additions and multiplications of its dense, convolutional and recurrent layers."""

from __future__ import annotations

import math

import keras


def operations(model: keras.Model) -> float:
    """Additions and multiplications for one example, forward; backward takes twice as many.

    Each matrix of a layer, or kernel, is used once at each place of its output, or at each step of a recurrent layer's
    input; channels come last. A layer that is used several times counts once. Infinite where a
    size is open, or nothing can be counted.
    """
    total = 0.0
    for layer in model._flatten_layers():
        products = sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)
        if not products or isinstance(layer, keras.Model | keras.layers.Embedding):
            continue
        try:
            places = (layer.input if isinstance(layer, keras.layers.RNN) else layer.output).shape[1:-1]
        except (AttributeError, ValueError):  # a layer within another, which counts its weights
            continue
        total += 2 * products * math.prod(math.inf if size is None else size for size in places)
    return total or math.inf
