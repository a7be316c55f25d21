"""MicroBatched: a batch's gradients in micro-batches side by side, as one recurrent loop keeps one core busy."""

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
BY_EXAMPLE = {  # layers that treat each example by itself
    *(layers.InputLayer, layers.Embedding, layers.Dense, layers.Activation, layers.LayerNormalization, layers.Dropout),
    *(layers.LSTM, layers.GRU, layers.SimpleRNN, layers.RNN, layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell),
    *(layers.StackedRNNCells, layers.Bidirectional, layers.TimeDistributed, layers.SpatialDropout1D, layers.Rescaling),
    *(layers.Conv1D, layers.Conv2D, layers.MaxPooling1D, layers.MaxPooling2D, layers.AveragePooling1D),
    *(layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D, layers.Flatten, layers.Reshape, layers.Permute),
    *(layers.RepeatVector, layers.Concatenate, layers.Add, layers.Multiply, layers.ReLU, layers.LeakyReLU),
}
OF_A_BATCH = ("dice", "tversky", "circle")  # losses
UNKNOWN = ("cosinesimilarity", "lossfunctionwrapper")  # which do not say along which axis, or what they call


def hindrance(model: keras.Model, loss: Any = None) -> str:
    """Why a batch of this model cannot be split, or ''. The loss is that of a compiled model, unless it is given."""
    operations = {id(o): o for each in model._flatten_layers() for o in (each, *getattr(each, "operations", ()))}
    if not all(map(_goes_by_example, operations.values())):
        return "a layer, or something of one's own, may look at the whole batch"
    losses = keras.tree.flatten(model.loss if loss is None else loss)
    return "" if all(map(_is_mean, losses)) else "the loss may be no mean over examples"


def _goes_by_example(operation: Any) -> bool:
    """Whether a layer, or another operation of a graph, treats each example by itself."""
    known = type(operation) in BY_EXAMPLE or (isinstance(operation, keras.Model) and _is_keras(type(operation)))
    called = [getattr(operation, name, None) for name in ("activation", "recurrent_activation", "activity_regularizer")]
    return (
        known
        and all(each is None or _is_keras(each) for each in called)
        and not any(getattr(operation, name, False) for name in ("mask_zero", "stateful"))
        and 0 not in keras.tree.flatten(getattr(operation, "axis", -1))
    )


def _is_mean(loss: Any) -> bool:
    """Whether a loss is one of Keras's, and the mean over examples."""
    loss = keras.losses.get(loss)
    made = loss if inspect.isfunction(loss) else type(loss)
    mean = getattr(loss, "reduction", "mean") in ("mean", "sum_over_batch_size")
    each = getattr(loss, "axis", -1) == -1 and getattr(loss, "ignore_class", None) is None
    return mean and each and _is_keras(made) and made.__name__.lower() not in OF_A_BATCH + UNKNOWN


def _is_keras(thing: Any) -> bool:
    return getattr(thing, "__module__", "").startswith("keras.")


class MicroBatched(keras.Model):
    """A model that computes the gradients of several micro-batches of a batch at once.

    The loss is the mean over the batch and the gradients are those of that mean, as in `keras.Model`; sums are taken
    micro-batch by micro-batch, so the last bits differ.
    """

    micro_batches = 1
    by_xla = False

    @classmethod
    def of(cls, model: keras.Model, micro_batches: int, by_xla: bool) -> Self:
        """Return a model of the same layers and weights. XLA compiles each micro-batch by itself."""
        inputs = model.input if len(model.inputs) > 1 else model.inputs[0]
        made = cls(inputs, model.output if len(model.outputs) > 1 else model.outputs[0], name=model.name)
        made.dtype_policy = model.dtype_policy  # by which Keras decides whether the loss is to be scaled
        made.micro_batches, made.by_xla = micro_batches, by_xla
        made._micro = tf.function(made._gradients, jit_compile=by_xla, reduce_retracing=True, autograph=False)
        return made

    @property
    def jit_compile(self) -> bool:
        """False, whatever it is set to: in a step that XLA compiles as a whole, micro-batches would take turns."""
        return False

    @jit_compile.setter
    def jit_compile(self, value: bool) -> None:
        pass

    def _gradients(self, x: Any, y: Any, weights: tf.Tensor | None, share: tf.Tensor) -> Found:
        """Return what a micro-batch adds to the loss, its predictions, its gradients, and each output's loss."""
        of_outputs: list[tf.Tensor] = []  # Keras's metrics of these would have micro-batches wait for each other
        kept = SimpleNamespace(update_state=lambda value, sample_weight=None: of_outputs.append(value))
        with contextlib.ExitStack() as stack:
            trackers = [kept for _ in self._compile_loss.metrics]
            stack.enter_context(mock.patch.object(self._compile_loss, "_metrics", trackers))
            tape = stack.enter_context(tf.GradientTape())
            if self.by_xla:
                stack.enter_context(lstm.in_blocks(self))
                # Losses compare shapes as they run, which XLA leaves out with a line for each to the user.
                stack.enter_context(mock.patch.object(*keras_internals.ASSERT_EQUAL, lambda *_, **__: tf.no_op()))
            predictions = self(x, training=True)
            loss = share * self.compute_loss(x, y, predictions, weights)
            scaled = self.optimizer.scale_loss(loss)  # for float16; the optimizer scales gradients back
        gradients = tape.gradient(scaled, self.trainable_weights)
        return loss, predictions, gradients, [share * each for each in of_outputs]

    def train_step(self, data: tuple[Any, ...]) -> dict[str, tf.Tensor]:
        """One step on a batch: the micro-batches' gradients, summed, are applied once."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        size = tf.shape(keras.tree.flatten(x)[0])[0]
        found = []
        for i in range(self.micro_batches):
            begin, end = size * i // self.micro_batches, size * (i + 1) // self.micro_batches
            share = tf.cast((end - begin) / size, tf.float32)
            first = tf.minimum(begin, size - 1)  # a batch smaller than that: an example that counts nothing
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
    """Return some examples of a batch, which may hold NumPy's arrays, as in `train_on_batch`."""
    return keras.tree.map_structure(lambda v: None if v is None else tf.convert_to_tensor(v)[first:end], batch)
