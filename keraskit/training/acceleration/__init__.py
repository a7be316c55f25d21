"""Training steps that are faster than Keras's; `--no-acceleration` disables them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from keraskit.training.acceleration import lstm
from keraskit.training.acceleration.micro_batches import MicroBatched, hindrance

if TYPE_CHECKING:
    from keraskit.training.hardware import Choices

__all__ = ["MicroBatched", "all_in_blocks", "applied", "hindrance"]


def applied(model: keras.Model, choices: Choices) -> keras.Model:
    """Return an uncompiled model of the same layers with a faster training step, or `model` itself if there is none."""
    by_xla = choices.xla.value == "on" and choices.device.value.startswith("cpu")
    blocks = by_xla and any(lstm.plain_layers(model))
    if choices.micro_batches.value > 1 or blocks:
        return MicroBatched.of(model, choices.micro_batches.value, by_xla)
    return model


def all_in_blocks(model: keras.Model) -> bool:
    """Whether the model has recurrent layers and all are LSTMs that `in_blocks` can patch."""
    recurrent = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN)]
    return bool(recurrent) and all(map(lstm.is_plain, recurrent))
