"""Chrono initialisation: LSTM gates that remember over a chosen span from the start (Tallec and Ollivier 2018)."""

import keras
import numpy as np


def spread_gates(layer: keras.layers.LSTM, span: int) -> None:
    """Set the gate biases of a built LSTM so that its units forget over 1 to `span` steps.

    The forget gate's bias is log(u) and the input gate's -log(u), u uniform from 1 to span - 1. Keras's default of 1
    forgets within a few steps, too few for a sequence of hundreds. Only weights change, so the saved model needs
    only Keras.

    Args:
        layer: a built LSTM.
        span: the longest memory, in steps.

    Source: https://arxiv.org/abs/1804.11188, equation 16.
    """
    units = layer.units
    forget = np.log(np.asarray(keras.random.uniform((units,), 1.0, span - 1.0)))
    # Keras keeps the biases of its gates in one vector: input, forget, cell, output.
    layer.cell.bias.assign(np.concatenate([-forget, forget, np.zeros(2 * units)]))
