"""Evaluation: one inference of a split, from which metrics and predictions both come."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keraskit.datasets.splits import Split


def infer(model: keras.Model, split: Split, batch_size: int, output: str | None = None) -> tuple[dict[str, float], Any]:
    """What `Model.evaluate` and `Model.predict` would give for a split, in one pass.

    Args:
        model: compiled.
        split: read in its order.
        batch_size: examples in one call of the model.
        output: of several outputs, the one whose predictions are kept (default: all).

    Returns:
        Its metrics by name, and the predictions, shape (examples, ...).
    """

    @tf.function
    def step(x: Any, y: Any) -> tuple[tf.Tensor, Any]:
        predictions = model(x, training=False)
        loss = model.compute_loss(x, y, predictions, training=False)
        model.compute_metrics(x, y, predictions)
        return loss, predictions[output] if output else predictions

    model.reset_metrics()
    losses, sizes, kept = [], [], []
    for x, y, *_ in split.in_order(batch_size):
        loss, predictions = step(x, y)
        losses.append(float(loss))
        sizes.append(len(tf.nest.flatten(x)[0]))
        kept.append(keras.tree.map_structure(lambda tensor: tensor.numpy(), predictions))
    loss = float(np.average(losses, weights=sizes))
    measured = {name: float(value) for name, value in model.get_metrics_result().items()}
    return measured | {"loss": loss}, keras.tree.map_structure(lambda *several: np.concatenate(several), *kept)
