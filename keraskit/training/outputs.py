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
    """Find how a compiled model's loss and metrics take its class output, by what they make of made-up values.

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

    def outputs(values: Any) -> Any:
        return keras.tree.pack_sequence_as(given, [*flat[:place], values, *flat[place + 1 :]])

    def loss(values: Any) -> float:
        return float(model.compute_loss(x, y, outputs(values), training=False))

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
    if not logits and (said := _no_probabilities(model, x, place, found if ends else None, relative)):
        wrong.append(
            f"The model gives no probabilities, {said}: end it in a {word}, or take a loss with from_logits=True."
        )
    if activation and columns == 1:
        near, far, out = (_metrics(model, x, y, outputs(margin * (2 * hot - 1))) for margin in (0.25, 4, 40))
        if unfit := [name for name, value in near.items() if value < far[name] == out[name]]:
            wrong.append(
                f"The threshold of {', '.join(unfit)} is 0.5, that of logits is 0, by which report and compare count: "
                "say keras.metrics.BinaryAccuracy(threshold=0.0)."
            )
    return activation, wrong


def _no_probabilities(model: keras.Model, x: Any, place: int, found: Any, relative: bool) -> str:
    """How an output of a model is seen to give no probabilities, in words; empty where it gives some.

    `found` are its values where it ends in a softmax or sigmoid, else None: then inputs far out tell it from one.
    `relative` are those that should sum to 1.
    """
    if found is None:
        scaled = [
            keras.tree.map_structure(lambda v, f=f: v * f if v.dtype.is_floating else v, x) for f in (1, FAR, -FAR)
        ]
        found = np.concatenate([keras.tree.flatten(model(each, training=False))[place] for each in scaled])
    values = np.asarray(found, np.float32)
    sums = values.sum(axis=1)
    if values.min() < -0.01 or values.max() > 1.01:
        return "but values below 0 or above 1"
    return f"since they sum to {sums.min():.2g} to {sums.max():.2g}" if relative and abs(sums - 1).max() > 0.01 else ""


def _metrics(model: keras.Model, x: Any, y: Any, outputs: Any) -> dict[str, float]:
    """What the compiled metrics make of outputs."""
    model.reset_metrics()
    found = {name: float(np.mean(value)) for name, value in model.compute_metrics(x, y, outputs).items()}
    model.reset_metrics()
    return found
