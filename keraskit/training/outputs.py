"""What a compiled model gives out for classes: probabilities or logits. Its loss is asked, however it was written."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keraskit.datasets.splits import Split

EXAMPLES = 16
FAR = 1e3  # times an input; what a softmax or sigmoid makes of that lies between 0 and 1 as well


def examine(model: keras.Model, split: Split, output: str | None) -> tuple[str | None, list[str]]:
    """Find how a compiled model's loss takes its class output, by what it makes of made-up values.

    Args:
        model: compiled.
        split: its first examples are fed.
        output: the layer that gives out classes (default: of the first output).

    Returns:
        "softmax" or "sigmoid", which makes probabilities of logits; None of a model that gives out probabilities, or
        that has no classes. And a sentence for each thing that is wrong.
    """
    if split.labels is None:
        return None, []
    chosen = np.arange(min(EXAMPLES, split.size))
    x, y, *_ = split.fetch(tf.constant(chosen, tf.int64))
    tensor = model.get_layer(output).output if output else model.outputs[0]
    place = next(i for i, each in enumerate(model.outputs) if each is tensor)
    given: Any = model(x, training=False)
    flat, true = keras.tree.flatten(given), keras.tree.flatten(y)
    found, columns = flat[place], flat[place].shape[-1]
    if len(true) == len(flat):  # other outputs are right, so that no loss of theirs drowns this one's
        pairs = zip(true, flat, strict=True)
        flat = [tf.reshape(t, o.shape) if np.prod(t.shape) == np.prod(o.shape) else o for t, o in pairs]
    hot = np.eye(max(2, columns), dtype=np.float32)[split.labels[chosen]][:, -columns:]

    def loss(values: Any) -> float:
        outputs = keras.tree.pack_sequence_as(given, [*flat[:place], values, *flat[place + 1 :]])
        return float(model.compute_loss(x, y, outputs, training=False))

    def certain(scale: float) -> float:
        """The loss where the true class has `scale`; of one column, which is the second's, the first 1 - `scale`."""
        return loss(scale * hot if columns > 1 else scale * (hot - 0.5) + 0.5)

    ends = hasattr(found, "_keras_logits")  # in a softmax or sigmoid; Keras's losses take what went into it
    relative, logits, activation = columns > 1, False, None
    try:
        falls = certain(1) - certain(1.1)
        logits = falls > 0 and certain(50) - certain(100) < 0.01 * falls  # better beyond certainty, until 0
        if logits and not (ends and abs(loss(found) - loss(np.asarray(found))) > 1e-6):
            together = columns > 1 and abs(loss(hot + 1) - loss(hot)) < 0.1 * falls  # all may rise, as in a softmax
            activation = "softmax" if together else "sigmoid"
        relative = columns > 1 and abs(loss(hot / 4 + 0.1) - loss(hot / 2 + 0.2)) < 1e-4  # it divides by their sum
    except (TypeError, ValueError):  # a model with steps of its own may have no such loss
        pass
    word, wrong = "softmax" if columns > 1 else "sigmoid", []
    if logits and ends:
        wrong.append(f"The loss expects logits, and the model ends in a {word}: leave from_logits=True out.")
    if not logits and not _are_probabilities(model, x, place, relative):
        wrong.append(f"The model gives no probabilities: end it in a {word}, or take a loss with from_logits=True.")
    if activation and columns == 1:
        model.compute_metrics(x, y, given)  # makes them
        model.reset_metrics()
        metrics = [metric for each in model.metrics for metric in getattr(each, "metrics", [each])]
        if any(getattr(each, "threshold", None) == 0.5 for each in metrics):
            advice = "report and compare count by that. Say keras.metrics.BinaryAccuracy(threshold=0.0)."
            wrong.append(f"The threshold of accuracy is 0.5, that of logits is 0: {advice}")
    return activation, wrong


def _are_probabilities(model: keras.Model, x: Any, place: int, relative: bool) -> bool:
    """Whether an output lies between 0 and 1, for inputs as they are and far out; the `relative` of a row sum to 1."""

    def output(factor: float) -> Any:
        scaled = keras.tree.map_structure(lambda v: v * factor if v.dtype.is_floating else v, x)
        return keras.tree.flatten(model(scaled, training=False))[place]

    values = np.concatenate([output(factor) for factor in (1, FAR, -FAR)]).astype(np.float32)  # NaN says nothing
    beyond = values.min() < -0.01 or values.max() > 1.01
    return not (beyond or (relative and abs(values.sum(axis=1) - 1).max() > 0.01))
