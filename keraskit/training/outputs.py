"""Whether a compiled model's class output holds probabilities or logits, found by evaluating its loss."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keraskit.datasets.splits import Split

EXAMPLES = 16
FAR = 1e3  # factor of the inputs: the output of a softmax or sigmoid lies between 0 and 1 even then


def examine(model: keras.Model, split: Split, output: str | None) -> tuple[str | None, list[str]]:
    """Find whether a compiled model's loss expects logits or probabilities, by evaluating it on made-up outputs.

    Args:
        model: compiled.
        split: the examples; the first ones are fed to the model.
        output: the name of the layer that outputs classes (default: the first output).

    Returns:
        "softmax" or "sigmoid", the activation that turns logits into probabilities, or None if the model outputs
        probabilities or has no classes; and a list of warnings.
    """
    if split.labels is None:
        return None, []
    chosen = np.arange(min(EXAMPLES, split.size))
    x, y, *_ = split.fetch(tf.constant(chosen, tf.int64))
    tensor = model.get_layer(output).output if output else model.outputs[0]
    place = next(i for i, each in enumerate(model.outputs) if each is tensor)

    def called(x: Any) -> tuple[Any, Any]:
        """The outputs, and what went into the softmax or sigmoid at the end, which Keras's losses use; else None."""
        given = model(x, training=False)
        return given, getattr(keras.tree.flatten(given)[place], "_keras_logits", None)

    if not model.run_eagerly:  # an eager loop over the time of an LSTM takes seconds
        called = tf.function(called, autograph=False)
    given, inner = called(x)
    flat, true = keras.tree.flatten(given), keras.tree.flatten(y)
    found, columns = flat[place], flat[place].shape[-1]
    if len(true) == len(flat):  # set other outputs to their targets, so that their loss is small
        pairs = zip(true, flat, strict=True)
        flat = [tf.reshape(t, o.shape) if np.prod(t.shape) == np.prod(o.shape) else o for t, o in pairs]
    hot = np.eye(max(2, columns), dtype=np.float32)[split.labels[chosen]][:, -columns:]

    def loss(values: Any) -> float:
        outputs = keras.tree.pack_sequence_as(given, [*flat[:place], values, *flat[place + 1 :]])
        return float(model.compute_loss(x, y, outputs, training=False))

    def certain(scale: float) -> float:
        """Return the loss if the true class has the value `scale`; one column gets 1 - `scale` for the first class."""
        return loss(scale * hot if columns > 1 else scale * (hot - 0.5) + 0.5)

    ends = inner is not None
    if ends:
        found._keras_logits = inner
    relative, logits, activation = columns > 1, False, None
    try:
        falls = certain(1) - certain(1.1)
        logits = falls > 0 and certain(50) - certain(100) < 0.01 * falls  # falls beyond 1, down to 0
        if logits and not (ends and abs(loss(found) - loss(np.asarray(found))) > 1e-6):
            together = columns > 1 and abs(loss(hot + 1) - loss(hot)) < 0.1 * falls  # shift-invariant, as softmax
            activation = "softmax" if together else "sigmoid"
        relative = columns > 1 and abs(loss(hot / 4 + 0.1) - loss(hot / 2 + 0.2)) < 1e-4  # it normalises
    except (TypeError, ValueError):  # a model with custom steps may have no such loss
        pass
    word, wrong = "softmax" if columns > 1 else "sigmoid", []
    if logits and ends:
        wrong.append(f"The loss expects logits, and the model ends in a {word}: leave from_logits=True out.")
    if not logits and not _are_probabilities(called, x, place, relative):
        wrong.append(f"The model gives no probabilities: end it in a {word}, or take a loss with from_logits=True.")
    if activation and columns == 1:
        model.compute_metrics(x, y, given)  # creates them
        model.reset_metrics()
        metrics = [metric for each in model.metrics for metric in getattr(each, "metrics", [each])]
        if any(getattr(each, "threshold", None) == 0.5 for each in metrics):
            advice = "report and compare count by that. Say keras.metrics.BinaryAccuracy(threshold=0.0)."
            wrong.append(f"The threshold of accuracy is 0.5, that of logits is 0: {advice}")
    return activation, wrong


def _are_probabilities(called: Any, x: Any, place: int, relative: bool) -> bool:
    """Whether outputs lie in [0, 1] for normal and extreme inputs; if `relative`, rows must also sum to 1."""

    def output(factor: float) -> Any:
        scaled = keras.tree.map_structure(lambda v: v * factor if v.dtype.is_floating else v, x)
        return keras.tree.flatten(called(scaled)[0])[place]

    values = np.concatenate([output(factor) for factor in (1, FAR, -FAR)]).astype(np.float32)  # NaN passes
    beyond = values.min() < -0.01 or values.max() > 1.01
    return not (beyond or (relative and abs(values.sum(axis=1) - 1).max() > 0.01))
