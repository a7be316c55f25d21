"""MicroBatched: compute a batch's gradients in parallel micro-batches, since a recurrent loop uses only one core."""

import contextlib
import inspect
from types import SimpleNamespace
from typing import Any, Self
from unittest import mock

import keras
import tensorflow as tf
from keras import layers

from keraskit.models import keras_internals
from keraskit.training.acceleration import lstm

Found = tuple[tf.Tensor, Any, list[tf.Tensor], list[tf.Tensor]]
BY_EXAMPLE = {  # layers that treat each example independently
    *(layers.InputLayer, layers.Embedding, layers.Dense, layers.Activation, layers.LayerNormalization, layers.Dropout),
    *(layers.LSTM, layers.GRU, layers.SimpleRNN, layers.RNN, layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell),
    *(layers.StackedRNNCells, layers.Bidirectional, layers.TimeDistributed, layers.SpatialDropout1D, layers.Rescaling),
    *(layers.Conv1D, layers.Conv2D, layers.MaxPooling1D, layers.MaxPooling2D, layers.AveragePooling1D),
    *(layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D, layers.Flatten, layers.Reshape, layers.Permute),
    *(layers.RepeatVector, layers.Concatenate, layers.Add, layers.Multiply, layers.ReLU, layers.LeakyReLU),
    keras_internals.TAKE,
}
FUNCTIONS = ("activation", "recurrent_activation", "activity_regularizer", "function", "fn", "_fn")  # that are called
NO_MEANS = ("dice", "tversky", "circle", "cosinesimilarity", "lossfunctionwrapper")  # over examples, or not known to be


def hindrance(model: keras.Model) -> str:
    """Return why a batch of a compiled model cannot be split, or ''."""
    operations = {id(o): o for each in model._flatten_layers() for o in (each, *getattr(each, "operations", ()))}
    if not all(map(_goes_by_example, operations.values())):
        return "a layer, or something of one's own, may look at the whole batch"
    return "" if all(map(_is_mean, keras.tree.flatten(model.loss))) else "the loss may be no mean over examples"


def _goes_by_example(operation: Any) -> bool:
    """Whether a layer, or another operation of a graph, treats each example independently."""
    known = type(operation) in BY_EXAMPLE or (isinstance(operation, keras.Model) and is_keras(type(operation)))
    called = [getattr(operation, name, None) for name in FUNCTIONS]
    return (
        known
        and all(each is None or is_keras(each) for each in called)
        and not any(getattr(operation, name, False) for name in ("mask_zero", "stateful"))
        and not {0, None} & {*keras.tree.flatten(getattr(operation, "axis", -1))}
    )


def _is_mean(loss: Any) -> bool:
    """Whether a loss is a built-in Keras loss that is the mean over examples."""
    with contextlib.suppress(ValueError):  # of a name that is unknown, as the first step will tell
        loss = keras.losses.get(loss)
    made = loss if inspect.isfunction(loss) else type(loss)
    mean = getattr(loss, "reduction", "mean") in ("mean", "sum_over_batch_size")
    each = getattr(loss, "axis", -1) == -1 and getattr(loss, "ignore_class", None) is None
    return mean and each and is_keras(made) and made.__name__.lower() not in NO_MEANS


def all_of_keras(model: keras.Model, metrics: bool = True) -> bool:
    """Whether a compiled model's steps, layers, losses and metrics are Keras's, and so are functions they call."""
    compiled = {k: v for k, v in model._compile_config.config.items() if metrics or "metrics" not in k}
    parts = [*model._flatten_layers(), *keras.tree.flatten(compiled)]
    called = [each for part in parts for each in (part, *(getattr(part, name, None) for name in FUNCTIONS))]
    return all(is_keras(getattr(each, "func", each), ("keras.", "tensorflow.")) for each in called if callable(each))


def is_keras(thing: Any, packages: tuple[str, ...] = ("keras.",)) -> bool:
    """Whether a function or class, or an object's class, is defined in Keras, or in these packages."""
    return (getattr(thing, "__module__", None) or "").startswith(packages)


class MicroBatched(keras.Model):
    """A model that computes the gradients of a batch's micro-batches in parallel.

    As in `keras.Model`, the loss is the mean over the batch and the gradients are its gradients; they are summed per
    micro-batch first, so the last bits differ.
    """

    micro_batches = 1
    by_xla = False

    @classmethod
    def of(cls, model: keras.Model, micro_batches: int, by_xla: bool) -> Self:
        """Return a model that shares the layers and weights. With `by_xla`, XLA compiles each micro-batch by itself."""
        inputs = model.input if len(model.inputs) > 1 else model.inputs[0]
        made = cls(inputs, model.output if len(model.outputs) > 1 else model.outputs[0], name=model.name)
        made.dtype_policy = model.dtype_policy  # decides whether Keras scales the loss
        made.micro_batches, made.by_xla = micro_batches, by_xla
        made._micro = tf.function(made._gradients, jit_compile=by_xla, reduce_retracing=True, autograph=False)
        return made

    def _gradients(self, x: Any, y: Any, weights: tf.Tensor | None, share: tf.Tensor) -> Found:
        """Return a micro-batch's share of the loss, its predictions, gradients, and share of each output's loss."""
        of_outputs: list[tf.Tensor] = []  # Keras's loss metrics would serialise the micro-batches
        kept = SimpleNamespace(update_state=lambda value, sample_weight=None: of_outputs.append(value))
        with contextlib.ExitStack() as stack:
            trackers = [kept for _ in self._compile_loss.metrics]
            stack.enter_context(mock.patch.object(self._compile_loss, "_metrics", trackers))
            tape = stack.enter_context(tf.GradientTape())
            if self.by_xla:
                stack.enter_context(lstm.in_blocks(self))
                # Losses assert shapes at run time; XLA drops each assertion with a warning.
                stack.enter_context(mock.patch.object(*keras_internals.ASSERT_EQUAL, lambda *_, **__: tf.no_op()))
            predictions = self(x, training=True)
            loss = share * self.compute_loss(x, y, predictions, weights)
            scaled = self.optimizer.scale_loss(loss)  # for float16; the optimizer unscales the gradients
        gradients = tape.gradient(scaled, self.trainable_weights)
        return loss, predictions, gradients, [share * each for each in of_outputs]

    def train_step(self, data: tuple[Any, ...]) -> dict[str, tf.Tensor]:
        """Train on one batch: sum the gradients of the micro-batches and apply them once."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        size = tf.shape(keras.tree.flatten(x)[0])[0]
        found = []
        for i in range(self.micro_batches):
            begin, end = size * i // self.micro_batches, size * (i + 1) // self.micro_batches
            share = tf.cast((end - begin) / size, tf.float32)
            first = tf.minimum(begin, size - 1)  # an empty micro-batch takes an example of weight 0
            loss, predictions, gradients, of_outputs = self._micro(
                *_rows((x, y, weights), first, tf.maximum(end, first + 1)), share
            )
            found.append((loss, _rows(predictions, 0, end - begin), gradients, of_outputs))
        losses, predictions, gradients, of_outputs = zip(*found, strict=True)
        self._loss_tracker.update_state(tf.add_n(losses), sample_weight=size)
        for tracker, values in zip(self._compile_loss.metrics, zip(*of_outputs, strict=True), strict=False):
            tracker.update_state(tf.add_n(values), sample_weight=keras.tree.flatten(x)[0].shape[0])  # as Keras has it
        summed = [tf.add_n(each) for each in zip(*gradients, strict=True)]
        self.optimizer.apply_gradients(zip(summed, self.trainable_weights, strict=True))
        whole = keras.tree.map_structure(lambda *each: tf.concat(each, 0), *predictions)
        return self.compute_metrics(x, y, whole, weights)


def _rows(batch: Any, first: tf.Tensor, end: tf.Tensor) -> Any:
    """Return examples `first` to `end` of a batch, which may hold NumPy arrays, as in `train_on_batch`."""
    return keras.tree.map_structure(lambda v: None if v is None else tf.convert_to_tensor(v)[first:end], batch)
