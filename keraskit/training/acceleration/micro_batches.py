"""MicroBatched: computes a batch's gradients in shares side by side, as one recurrent loop keeps one core busy."""

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from unittest import mock

import keras
import tensorflow as tf
from keras import layers

from keraskit.training.acceleration import lstm

Found = tuple[tf.Tensor, Any, list[tf.Tensor], list[tf.Tensor]]
BY_EXAMPLE = {  # layers that do with an example what they would do if it came alone
    *(layers.InputLayer, layers.Embedding, layers.Dense, layers.Activation, layers.LayerNormalization, layers.Dropout),
    *(layers.LSTM, layers.GRU, layers.SimpleRNN, layers.RNN, layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell),
    *(layers.StackedRNNCells, layers.Bidirectional, layers.TimeDistributed, layers.SpatialDropout1D, layers.Rescaling),
    *(layers.Conv1D, layers.Conv2D, layers.MaxPooling1D, layers.MaxPooling2D, layers.AveragePooling1D),
    *(layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D, layers.Flatten, layers.Reshape, layers.Permute),
    *(layers.RepeatVector, layers.Concatenate, layers.Add, layers.Multiply, layers.ReLU, layers.LeakyReLU),
}
OF_A_BATCH = ("dice", "tversky", "circle")  # losses
UNKNOWN = ("cosinesimilarity", "lossfunctionwrapper")  # they do not say along which axis, or which function they call


def hindrance(model: keras.Model) -> str:
    """Why a batch of this model, which is compiled, cannot be taken apart; empty where it can."""
    operations = {id(o): o for each in model._flatten_layers() for o in (each, *getattr(each, "operations", ()))}
    if not all(map(_goes_by_example, operations.values())):
        return "a layer, or something of one's own, may look at the whole batch"
    return "" if all(map(_is_mean, keras.tree.flatten(model.loss))) else "the loss may be no mean over examples"


def _goes_by_example(operation: Any) -> bool:
    """Whether a layer, or another operation of a graph, treats each example as if it came alone."""
    known = type(operation) in BY_EXAMPLE or (isinstance(operation, keras.Model) and _is_keras(type(operation)))
    called = [getattr(operation, name, None) for name in ("activation", "recurrent_activation", "activity_regularizer")]
    return (
        known
        and all(each is None or _is_keras(each) for each in called)
        and not any(getattr(operation, name, False) for name in ("mask_zero", "stateful"))
        and 0 not in keras.tree.flatten(getattr(operation, "axis", -1))
    )


def _is_mean(loss: Any) -> bool:
    """Whether it is one of Keras's that are the mean of each example's."""
    loss = keras.losses.get(loss)
    kind = loss if inspect.isfunction(loss) else type(loss)
    mean = getattr(loss, "reduction", "mean") in ("mean", "sum_over_batch_size")
    each = getattr(loss, "axis", -1) == -1 and getattr(loss, "ignore_class", None) is None
    return mean and each and _is_keras(kind) and kind.__name__.lower() not in OF_A_BATCH + UNKNOWN


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
    def of(cls, model: keras.Model, micro_batches: int, jit_compile: bool) -> Self:
        """The same layers and weights. XLA compiles what is computed for one micro-batch: together they take turns."""
        inputs = model.input if len(model.inputs) > 1 else model.inputs[0]
        made = cls(inputs, model.output if len(model.outputs) > 1 else model.outputs[0], name=model.name)
        made.dtype_policy = model.dtype_policy  # by which Keras decides whether the loss is to be scaled
        made.micro_batches, made.by_xla = micro_batches, jit_compile
        made._micro = tf.function(made._gradients, jit_compile=jit_compile, reduce_retracing=True, autograph=False)
        return made

    def _gradients(self, x: Any, y: Any, weights: tf.Tensor | None, share: tf.Tensor) -> Found:
        """What a micro-batch adds to the loss, its predictions, what it adds to gradients and to each output's loss."""
        with ExitStack() as stack:
            tape = stack.enter_context(tf.GradientTape())
            of_outputs = stack.enter_context(_kept(self._compile_loss))
            if self.by_xla:
                stack.enter_context(lstm.in_blocks(self))
                stack.enter_context(_unchecked())
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


@contextmanager
def _kept(compile_loss: Any) -> Iterator[list[tf.Tensor]]:
    """Keep each output's loss, where there are several: metrics would have micro-batches wait for each other."""
    found: list[tf.Tensor] = []

    class Kept:
        def update_state(self, value: tf.Tensor, sample_weight: Any = None) -> None:
            found.append(value)

    metrics, compile_loss._metrics = compile_loss._metrics, [Kept() for _ in compile_loss._metrics]
    try:
        yield found
    finally:
        compile_loss._metrics = metrics


@contextmanager
def _unchecked() -> Iterator[None]:
    """Losses without a comparison of shapes while it runs, which XLA leaves out with a line for each to the user."""
    from tensorflow.python.ops import check_ops

    with mock.patch.object(check_ops, "assert_equal", lambda *_, **__: tf.no_op()):
        yield


def _rows(batch: Any, first: tf.Tensor, end: tf.Tensor) -> Any:
    """Some examples of a batch, which may hold NumPy's arrays, as in `train_on_batch`."""
    return keras.tree.map_structure(lambda v: None if v is None else tf.convert_to_tensor(v)[first:end], batch)
