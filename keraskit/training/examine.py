"""Examine model and data before training: logits or probabilities, metrics, indices, the inputs' scale and digits.

Probabilities are told from logits by evaluating the loss on made-up outputs; a scale is measured at the first weights,
which are fed black, white and colours.
"""

import functools
import math
import threading
from contextlib import suppress
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from keraskit.datasets.splits import Split, Splits
from keraskit.errors import UserError
from keraskit.models import applications
from keraskit.runs import metrics, predictions
from keraskit.training.acceleration import all_of_keras, is_keras
from keraskit.training.user_callbacks import compiled

EXAMPLES = 16
FAR = 1e3  # factor of the inputs: the output of a softmax or sigmoid lies between 0 and 1 even then
COLOURS = np.array([[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
FAINT, SHRUNK = 0.1, 20  # white less black, which is 1 or more on any usual scale; how far a layer scaled it down
WIDE = 10  # a typical value where the mean of absolute values over the training data is at most 1
CLASSLESS = "has no effect, as the data has no classes: only the compiled metrics are measured. Leave it out."
COARSE = 0.02  # of the deviation between examples, lost by rounding: bfloat16 takes 0.002 of pixels
PIXELS = 'data from 0 to 255 (scale="pixels", or cats_and_dogs.pixels)'


def outputs(model: keras.Model, split: Split, output: str | None) -> tuple[str | None, list[str]]:
    """Find whether a compiled model's loss expects logits or probabilities, by evaluating it on made-up outputs.

    `output` is the layer that outputs classes (default: the first output, or the first of labels 0 and 1). Returns
    "softmax" or "sigmoid", which turns logits into probabilities, or None if the model outputs probabilities, or has
    neither classes nor labels; and warnings. Where the loss tells nothing, as within a step of the model's own,
    values below 0 or above 1 are logits.
    """
    chosen = np.linspace(0, split.size - 1, min(EXAMPLES, split.size)).astype(int)  # stored by class, perhaps
    x, y, *_ = split.fetch(tf.constant(chosen, tf.int64))
    true, tensor = keras.tree.flatten(y), model.get_layer(output).output if output else model.outputs[0]
    if isinstance(y, dict):  # Keras finds targets by name
        names = sorted(model.output) if isinstance(model.output, dict) else model.output_names
        true = [y.get(name, np.empty(0)) for name in names]
    wrong = [f"class_output={output!r} {CLASSLESS}"] if output and split.labels is None else []
    if split.labels is None:
        pairs = [*zip(model.outputs, true, strict=False)]
        single = [(o, t, math.prod(o.shape[1:])) for o, t in pairs if o.shape[-1] == 1 and None not in o.shape[1:]]
        one = [(o, np.reshape(t, (-1, *o.shape[1:]))) for o, t, n in single if np.size(t) == n * len(chosen)]
        several = [(o, t) for o, t in pairs if predictions.several_labels(t, o.shape)]
        several = several or [(o, t) for o, t in one if np.isin(t, (0, 1)).all()]  # floats
        if not several:
            for o, t in pairs:
                end = o._keras_history.operation
                if getattr(end, "activation", None) is keras.activations.sigmoid and np.max(t, initial=0) > 1:
                    wrong.append(f"{end.name} gives at most 1, and its targets go to {np.max(t):g}: divide them.")
            known = _misread(model, x, y, one[0][1], "It is for classes.") if one and len(true) == 1 else []
            return None, wrong + known
        tensor, _ = min(several, key=lambda pair: (np.sum(pair[1], axis=1) == 1).all())  # one-hot rows last
    place = next(i for i, each in enumerate(model.outputs) if each is tensor)

    def called(x: Any) -> tuple[Any, bool]:
        """The outputs, and whether the softmax or sigmoid at the end says what went into it, as Keras's losses ask."""
        given = model(x, training=False)
        return given, hasattr(keras.tree.flatten(given)[place], "_keras_logits")

    if not model.run_eagerly:  # an eager loop over the time of an LSTM takes seconds
        called = tf.function(called, autograph=False)
    given, ends = called(x)
    flat = keras.tree.flatten(given)
    columns = flat[place].shape[-1]
    if len(true) == len(flat):  # set other outputs to their targets, so that their loss is small
        flat = [tf.reshape(t, o.shape) if np.size(t) == np.size(o) else o for t, o in zip(true, flat, strict=True)]
    exclusive = split.labels is not None and columns > 1
    one_hot = np.eye(max(2, columns), dtype=np.float32)
    hot = one_hot[split.labels[chosen]][:, -columns:] if split.labels is not None else np.asarray(true[place], "f4")
    hot = hot.reshape(flat[place].shape)

    def packed(values: Any) -> Any:
        return keras.tree.pack_sequence_as(given, [*flat[:place], values, *flat[place + 1 :]])

    def loss(values: Any) -> float:
        with keras.StatelessScope([(each, each) for each in model.variables]):  # a loss may count its calls
            return float(model.compute_loss(x, y, packed(values), training=False))

    def certain(scale: float) -> float:
        """Return the loss if the true class has the value `scale`; without others, 1 - `scale` is for the first."""
        return loss(scale * hot if exclusive else scale * (hot - 0.5) + 0.5)

    told, relative, logits = False, False, False
    word = activation = "softmax" if exclusive else "sigmoid"
    with suppress(TypeError, ValueError):  # a model with custom steps may have no such loss
        told = loss(hot) != loss(1 - hot)
        falls = certain(1) - certain(1.1) or float(certain(-3) - certain(-2) > 0.5)  # a categorical hinge ends at 1
        logits = falls > 1e-6 and -1e3 < (certain(50) - certain(100)) / falls < 0.01  # to a limit, or slowly up again
        if logits and ends and certain(10) != certain(20):  # hinge and the like end at 0
            wrong.append(f"The loss expects logits, and the model ends in a {word}: leave from_logits=True out.")
        together = columns > 1 and abs(loss(hot + 1) - loss(hot)) < 0.1 * falls  # shift-invariant, as softmax
        activation = word if not told else "softmax" if together else "sigmoid"
        relative = exclusive and abs(loss(hot / 4 + 0.1) - loss(hot / 2 + 0.2)) < 1e-4  # the loss normalises
    parts = []
    for far in (1, FAR, -FAR):
        with suppress(tf.errors.OpError):  # an Embedding has no such rows
            fed = keras.tree.map_structure(lambda v, far=far: v * far if v.dtype.is_floating else v, x)
            parts.append(keras.tree.flatten(called(fed)[0])[place])
    values = np.concatenate(parts).astype(np.float32)  # NaN passes
    beyond = values.min() < -0.01 or values.max() > 1.01
    linear = getattr(tensor._keras_history.operation, "activation", None) is keras.activations.linear
    sure = told or (columns == 1 and split.labels is None and not np.ptp(hot))  # zeros may stand for no targets
    found = activation if not ends and (logits if sure else beyond or linear) else None
    improper = beyond or (relative and abs(values.sum(axis=1) - 1).max() > 0.01)
    if split.labels is not None and told and not logits and improper:
        wrong.append(f"The model gives no probabilities: end it in a {word}, or take a loss with from_logits=True.")
    take = "Take keras.metrics.BinaryAccuracy(threshold=0.0)." if found == "sigmoid" else 'Say metrics=["accuracy"].'
    begin = f"{model.output_names[place]}_" if len(flat) > 1 else ""
    end = found if told and found else ""
    right = packed(0.8 * hot + (-0.4 if end else 0.1))
    return found, wrong + _misread(model, x, y, right, take, begin, end)


def _misread(model: keras.Model, x: Any, y: Any, right: Any, take: str, begin: str = "", end: str = "") -> list[str]:
    """Return warnings of accuracies of `right` outputs that are not 1, and of metrics that take logits as they are.

    The names of the output's metrics `begin` so; the activation `end` makes its logits probabilities.
    """
    figures, wrong = _figures(model, x, y, right), list[str]()
    for metric in {each.name: each for each in compiled(model)}.values():
        if metric.name.endswith(("accuracy", "acc")) and (value := figures.get(begin + metric.name, 1)) < 1:
            wrong.append(f"{begin}{metric.name} would be {value:.2f} if every answer were right. {take}")
        elif end and not begin and is_keras(metric) and not getattr(metric, "_from_logits", False):
            cut = getattr(metric, "thresholds", None) or [getattr(metric, "threshold", None) or 0]
            give = ", or give it from_logits=True" * hasattr(metric, "_from_logits")
            give += ", or give it thresholds=0.0" * hasattr(metric, "init_thresholds")
            if max(cut) > 0:
                wrong.append(f"{metric.name} takes logits for probabilities. End the model in a {end}{give}.")
    return wrong


def _figures(model: keras.Model, x: Any, y: Any, answers: Any) -> dict[str, float]:
    """Return the metrics of made-up answers; none if code of one's own does not take them."""
    with suppress(Exception), keras.StatelessScope():
        return metrics.flat(model.compute_metrics(x, y, keras.tree.map_structure(tf.convert_to_tensor, answers)))
    return {}


def unpaired(model: keras.Model, split: Split) -> list[str]:
    """Return warnings of losses and metrics that set each answer against every target, as (n, 1) and (n,) broadcast."""
    x, y, *_ = split.fetch(tf.constant(np.linspace(0, split.size - 1, EXAMPLES), tf.int64))
    end, flat = model.outputs[0].shape, isinstance(y, tf.Tensor) and y.shape.rank == 1
    if flat and len(end) > 2 and model.loss and all_of_keras(model, inner=False):
        missing = "Is a Flatten, a pooling layer or return_sequences=False missing?"
        return [f"The model ends in {end[1:]}, and each example has one target. {missing}"]
    if not isinstance(y, tf.Tensor) or y.shape[1:] not in ((), (1,)) or end != (None, 1):
        return []
    y = tf.constant(np.sort(y, axis=0))  # turned, the closest pairs are the farthest
    least, most = float(np.min(y)), float(np.max(y))
    made = tf.constant(np.interp(np.linspace(0.05, 0.95, EXAMPLES), (0, 1), (least, most))[:, None], tf.float32)

    def figures(targets: tf.Tensor) -> dict[str, float]:
        found = {n: v for n, v in _figures(model, x, targets, made).items() if n != "loss"}  # of the tracker, 0
        with suppress(Exception), keras.StatelessScope([(each, each) for each in model.variables]):
            found["loss"] = float(model.compute_loss(x, targets, made, training=False))  # Keras aligns only its own
        return found

    one, turned, other = map(figures, (y, y[::-1], y[:, None] if flat else y[:, 0]))
    same = functools.partial(np.isclose, equal_nan=True)
    shared = one.keys() & turned.keys() & other.keys() if least < most else ()  # else order says nothing
    odd = [n for n in one if n in shared and same(one[n], turned[n]) and not same(one[n], other[n])]
    shape = "(n, 1): y.reshape(-1, 1)" if flat else "(n,): y.reshape(-1)"
    return [f"{name} sets each answer against every target. Give targets of the shape {shape}." for name in odd]


def check_indices(model: keras.Model, splits: Splits) -> None:
    """Raise UserError for inputs beyond the rows of an Embedding, which XLA takes for its last row without a word."""
    places = dict[int, keras.layers.Embedding]()
    for layer in [each for each in model._flatten_layers() if type(each) is keras.layers.Embedding]:
        taken = {id(tensor) for node in layer._inbound_nodes for tensor in node.input_tensors}
        places |= {i: layer for i, each in enumerate(model.inputs) if id(each) in taken}
    for split in (splits.train, splits.validation, splits.test) if places else ():
        for x, *_ in split.in_order(1_024):  # Keras takes a dict by name, or in the structure that the model has
            named = isinstance(x, dict) and {each.name for each in model.inputs} <= x.keys()
            given = [x[each.name] for each in model.inputs] if named else keras.tree.flatten(x)
            for i, layer in places.items():
                least, most = float(np.min(given[i])), float(np.max(given[i]))
                if least < 0 or most >= layer.input_dim:
                    problem = f"{layer.name} has {layer.input_dim} rows, and its inputs go from {least:g} to {most:g}."
                    raise UserError(problem, "They count from 0: Embedding's first argument is the largest plus 1.")


def too_coarse(split: Split, dtype: str) -> str:
    """Return why a `dtype` of fewer digits than float32 would blur a split's examples, or ''."""
    x, y, *_ = split.fetch(tf.constant(np.linspace(0, split.size - 1, EXAMPLES), tf.int64))
    if split.labels is None and not all(np.isin(each, (0, 1)).all() for each in keras.tree.flatten(y)):
        return "targets that are values need its digits"
    for values in (tf.cast(each, tf.float32).numpy() for each in keras.tree.flatten(x)):
        parts = values - tf.cast(tf.cast(values, dtype), tf.float32).numpy(), values - values.mean(axis=0)
        lost, spread = (part.reshape(-1, part.shape[-1]).std(axis=0) for part in parts)  # of each channel
        if not (lost <= COARSE * spread).all():  # NaN is beyond the range of float16
            return f"{dtype} would round away much of what inputs differ in"
    return ""


def scale(model: keras.Model, split: Split) -> list[str]:
    """Return warnings of inputs that are scaled twice, or not as an application's `preprocess_input` does."""
    x, *_ = split.fetch(tf.constant(np.linspace(0, split.size - 1, EXAMPLES), tf.int64))
    wrong = []
    for layer, _, output in _calls(model, x):
        if isinstance(layer, keras.layers.Normalization):
            typical = np.median(abs(output).reshape(EXAMPLES, -1).mean(axis=1))
            if typical > WIDE:
                advice = "Call its adapt with inputs as the model gets them, or take the scale it was adapted to."
                wrong.append(f"{layer.name} is not adapted to this data: its values are about {typical:.3g}. {advice}")
    if (pictures := _pictures(split, x)) is None or not (calls := _calls(model, pictures)):
        return wrong
    layer, value, _ = calls[-1]
    fed, spread = np.asarray(keras.tree.flatten(pictures)[0]), _spread(value)
    raw = fed.min() > -1 and fed.max() > 100
    affine = abs(value[2] - value[:2].mean(axis=0)).max() < 0.05 * spread  # layers that normalise are not
    if affine and spread < min(FAINT, _spread(fed) / SHRUNK):
        scaling = [each for each, before, after in calls[:-1] if _spread(after) < _spread(before) / SHRUNK]
        own = " or ".join(each.name for each in scaling if each in model.layers)  # not an application's own
        change = f"Leave {own or 'one scaling'} out" if raw else f"Take {PIXELS}{own and f', or leave {own} out'}"
        return [*wrong, f"Pictures are scaled twice: black and white differ by {spread:.2g} in {layer.name}. {change}."]
    if not (name := applications.holding(model, layer)) or value.shape[-1] != 3:
        return wrong
    rows = COLOURS if split.inputs and split.inputs.channels == 3 else COLOURS[:2]  # the order of channels is unknown
    wanted = getattr(keras.applications, name).preprocess_input(255 * rows)
    found = value[: len(rows), value.shape[1] // 2, value.shape[2] // 2]
    if abs(found - wanted).max() > 0.25 * np.ptp(wanted):  # of the range from black to white
        change = f"Give it keras.applications.{name}.preprocess_input(inputs){'' if raw else f' of {PIXELS}'}."
        wrong.append(f"{layer.name} of {name} gets {_range(found)}, and was made for {_range(wanted)}. {change}")
    return wrong


def _range(colours: np.ndarray) -> str:
    """Return the values of black and white, and the order of channels where colours follow."""
    order = f" {'BGR' if (colours[3] - colours[0]).argmax() == 2 else 'RGB'}" if len(colours) > 3 else ""
    return f"{colours[:2].min():.3g} to {colours[:2].max():.3g}{order}"


def _spread(values: Any) -> float:
    """Return the largest difference between pictures at any one place, so that padding and offsets do not count."""
    return float(np.ptp(np.asarray(values, np.float32), axis=0).max())


def _pictures(split: Split, x: Any) -> Any:
    """Return pictures of one colour each, and one half black, half white, as inputs of the model; None if unknown."""
    inputs = split.inputs
    shape = (*inputs.size, inputs.channels) if inputs else tuple(x.shape)[1:] if isinstance(x, tf.Tensor) else ()
    shape += (1,) if len(shape) == 2 and shape[0] == shape[1] else ()
    if len(shape) != 3 or shape[2] not in (1, 3):
        return None
    low, high = np.zeros(shape[2]), np.full(shape[2], 255)
    if not inputs and x.dtype != tf.uint8 and not (np.min(x) >= 0 and np.max(x) > 5):
        values = np.reshape(x, (-1, shape[2]))  # of pictures that are scaled already
        low, high = values.min(axis=0), values.max(axis=0)
    plain = np.broadcast_to(COLOURS[:, None, None, : shape[2]], (len(COLOURS), *shape))
    half = np.broadcast_to(np.arange(shape[1])[:, None] >= shape[1] // 2, (1, *shape))
    made = np.asarray(low + (high - low) * np.concatenate([plain, half]), np.float32)
    if not inputs:
        return made.reshape(-1, *x.shape[1:])
    return inputs.preprocess(made if shape[2] == 3 else made[..., 0], split.augmentation)


def _calls(model: keras.Model, x: Any) -> list[tuple[Any, np.ndarray, np.ndarray]]:
    """Call a model up to its first weights but Normalization's: each layer, its input and output (the last: input)."""
    calls, call, own = [], keras.Operation.__call__, threading.get_ident()

    def recording(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model) or threading.get_ident() != own:
            return call(layer, *args, **kwargs)
        given = np.asarray(keras.tree.flatten((args, kwargs))[0])
        end = getattr(layer, "weights", None) and not isinstance(layer, keras.layers.Normalization)
        outputs = given if end else call(layer, *args, **kwargs)
        calls.append((layer, given, np.asarray(keras.tree.flatten(outputs)[0])))
        if end:
            raise RuntimeError("far enough")
        return outputs

    # It ends by an error: that one, or a layer's own, which training will tell.
    with suppress(Exception), mock.patch.object(keras.Operation, "__call__", recording):
        model(x, training=False)
    return calls
