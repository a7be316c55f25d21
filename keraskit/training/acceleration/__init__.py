"""Training steps that are faster than Keras's; `--no-acceleration` disables them."""

import keras

from keraskit.training.acceleration import lstm
from keraskit.training.acceleration.micro_batches import MicroBatched, all_of_keras, hindrance, is_keras

__all__ = ["MicroBatched", "all_in_blocks", "all_of_keras", "applied", "hindrance", "is_keras"]


def applied(model: keras.Model, micro_batches: int, by_xla: bool) -> keras.Model:
    """Return an uncompiled model of the same layers with a faster training step, or `model` itself if there is none.

    `by_xla` tells whether XLA compiles the step, for a CPU.
    """
    if micro_batches > 1 or (by_xla and any(lstm.plain_layers(model))):
        return MicroBatched.of(model, micro_batches, by_xla)
    return model


def all_in_blocks(model: keras.Model) -> bool:
    """Whether the model has recurrent layers and all are LSTMs that `in_blocks` can patch."""
    recurrent = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN)]
    return bool(recurrent) and all(map(lstm.is_plain, recurrent))
