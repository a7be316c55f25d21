"""Evaluation: one inference of a split, from which metrics and predictions both come."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keraskit.datasets.splits import Split
from keraskit.results.split_predictions import SplitPredictions

Evaluated = tuple[dict[str, float], SplitPredictions]


def infer(model: keras.Model, splits: Mapping[str, Split], batch_size: int) -> dict[str, Evaluated]:
    """What `Model.evaluate` and `Model.predict` would give for each split, in one pass over it.

    Returns metrics by name, and targets and predictions, of each split, in the order given. The model is compiled.
    """

    @tf.function(autograph=False)  # as Keras has it of its own steps
    def step(x: Any, y: Any) -> tuple[tf.Tensor, Any]:
        predictions = model(x, training=False)
        loss = model.compute_loss(x, y, predictions, training=False)
        model.compute_metrics(x, y, predictions)
        return loss, predictions

    return {name: _infer(model, step, split, batch_size) for name, split in splits.items()}


def _infer(model: keras.Model, step: Any, split: Split, batch_size: int) -> Evaluated:
    model.reset_metrics()
    losses, sizes = [], []
    kept: list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = []
    batches = split.in_order(batch_size)
    step = step.get_concrete_function(*batches.element_spec[:2])  # for batches of any size, and all splits alike
    for x, y, *_ in batches:
        loss, given = step(x, y)
        losses.append(float(loss))
        sizes.append(len(tf.nest.flatten(x)[0]))
        true = by_output(y)
        kept.append((true, {name: _classes(answer, true.get(name)) for name, answer in by_output(given).items()}))
    measured = {name: float(value) for name, value in model.get_metrics_result().items()}
    targets, predictions = ({k: np.concatenate([each[i][k] for each in kept]) for k in kept[0][i]} for i in (0, 1))
    names = list(split.names)[: split.size] if split.names is not None else None
    loss = float(np.average(losses, weights=sizes))
    return measured | {"loss": loss}, SplitPredictions(split.labels, targets, predictions, names)


def by_output(values: Any) -> dict[str, np.ndarray]:
    """Each output's values; a model's only one is called ""."""
    if isinstance(values, list | tuple):
        values = {str(i): value for i, value in enumerate(values)}
    return {str(k): v.numpy() for k, v in values.items()} if isinstance(values, dict) else {"": values.numpy()}


def _classes(answer: np.ndarray, target: np.ndarray | None) -> np.ndarray:
    """Of a sequence of classes the most probable ones, for their probabilities would fill the disk."""
    if answer.ndim > 2 and target is not None and target.shape == answer.shape[:-1] and target.dtype.kind in "iu":
        return answer.argmax(axis=-1).astype(np.uint8 if answer.shape[-1] <= 256 else np.int32)
    return answer
