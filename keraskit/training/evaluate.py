"""Evaluation: one inference of a split, from which metrics and predictions both come."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keraskit.datasets.splits import Split


def infer(
    model: keras.Model, split: Split, batch_size: int, output: str | None = None, shown: int = 0
) -> tuple[dict[str, float], Any, tuple[Any, Any]]:
    """What `Model.evaluate` and `Model.predict` would give for a split, in one pass.

    Args:
        model: compiled.
        split: read in its order.
        batch_size: examples in one call of the model.
        output: of several outputs, the one whose predictions are kept (default: all).
        shown: how many examples are kept whole.

    Returns:
        Its metrics by name; the predictions, shape (examples, ...); of the first `shown` examples targets and outputs.
    """

    @tf.function
    def step(x: Any, y: Any) -> tuple[tf.Tensor, Any]:
        predictions = model(x, training=False)
        loss = model.compute_loss(x, y, predictions, training=False)
        model.compute_metrics(x, y, predictions)
        return loss, predictions

    def arrays(tensors: Any) -> Any:
        return keras.tree.map_structure(lambda tensor: tensor.numpy(), tensors)

    def joined(batches: list[Any], most: int | None = None) -> Any:
        return keras.tree.map_structure(lambda *several: np.concatenate(several)[:most], *batches)

    model.reset_metrics()
    losses, sizes, kept, first = [], [], [], []
    for x, y, *_ in split.in_order(batch_size):
        loss, predictions = step(x, y)
        losses.append(float(loss))
        sizes.append(len(tf.nest.flatten(x)[0]))
        first += [arrays((y, predictions))] if sum(sizes[:-1]) < shown else []
        kept.append(arrays(predictions[output] if output else predictions))
    loss = float(np.average(losses, weights=sizes))
    measured = {name: float(value) for name, value in model.get_metrics_result().items()}
    return measured | {"loss": loss}, joined(kept), joined(first, shown) if first else ((), ())
