"""Counts a model's arithmetic: the additions and multiplications of its dense, convolutional and recurrent layers."""

from __future__ import annotations

import math

import keras


def operations(model: keras.Model) -> float:
    """Additions and multiplications for one example, forward; backward takes twice as many."""
    total = 0.0
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.LSTM):
            steps, features = layer.input.shape[1:]
            total += 8 * layer.units * (features + layer.units) * steps
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            total += 2 * math.prod(layer.output.shape[1:]) * math.prod(layer.kernel_size)
        elif isinstance(layer, keras.layers.Conv2D):
            total += 2 * math.prod(layer.output.shape[1:]) * math.prod(layer.kernel.shape[:3])
        elif isinstance(layer, keras.layers.Dense):
            total += 2 * math.prod(layer.output.shape[1:]) * layer.kernel.shape[0]
    return total
