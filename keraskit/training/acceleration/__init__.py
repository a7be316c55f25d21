"""How a training step is computed faster than Keras does it; off by one flag, `--no-acceleration`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from keraskit.training.acceleration import lstm
from keraskit.training.acceleration.micro_batches import MicroBatched, hindrance

if TYPE_CHECKING:
    from keraskit.training.hardware import Choices

__all__ = ["all_in_blocks", "applied", "hindrance"]


def applied(model: keras.Model, choices: Choices, loss: Any) -> keras.Model:
    """Return a model of the same layers whose training step is faster, to be compiled; where there is none, this one.

    `loss` is as `compile` is given it.
    """
    by_xla = choices.xla.value == "on" and choices.device.value.startswith("cpu")
    blocks = by_xla and any(lstm.plain_layers(model))
    if (choices.micro_batches.value > 1 or blocks) and not hindrance(model, loss):
        return MicroBatched.of(model, choices.micro_batches.value, by_xla)
    return model


def all_in_blocks(model: keras.Model) -> bool:
    """Whether it has recurrent layers, and all are LSTMs whose gradient is computed in blocks."""
    recurrent = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN)]
    return bool(recurrent) and all(map(lstm.is_plain, recurrent))
