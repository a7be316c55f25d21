"""Training steps that are faster than Keras's; `--no-acceleration` disables them.

Micro-batches: a batch's gradients are computed in parallel shares, since a recurrent loop uses only one core.

LSTM layers with XLA on a CPU: Keras's outputs, with the weight gradients computed in a few large matrix products. Keras
leaves the loop's gradient to TensorFlow, which adds one matrix product per step to the weight gradient and makes XLA
recompute the gates at each use. Here each step stores its gates, and backpropagation runs in blocks of steps: a block's
gradients stay in the core's cache until a single product gives its contribution to all weight gradients. All stored
values share one array, since XLA fills each array with zeros first and copies when it concatenates.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace
from typing import Any
from unittest import mock

import keras
import tensorflow as tf
from keras import layers

from keraskit.models import keras_internals

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
FUNCTIONS = ("activation", "recurrent_activation", "activity_regularizer", "function", "fn", "_fn")  # called by layers
NO_MEANS = ("dice", "tversky", "circle", "cosinesimilarity", "lossfunctionwrapper")  # over examples
LONGEST = 16  # steps per block: times from 14 to 56 were within 3%, with 64 and with 128 units
SHORTEST = 4  # without a divisor this large, all steps are one block: 784 steps took 5 and 9% longer
ROWS = 6  # stored per step: the initial output and carry, and four gates, each (batch, units)


def hindrance(model: keras.Model) -> str:
    """Return why a batch of a compiled model cannot be split, or ''."""
    if not all(map(_goes_by_example, operations_of(model))):
        return "a layer, or something of one's own, may look at the whole batch"
    return "" if all(map(_is_mean, keras.tree.flatten(model.loss))) else "the loss may be no mean over examples"


def operations_of(model: keras.Model) -> list[Any]:
    """Return the layers of a model, and of models within, and the other operations of their graphs."""
    found = {id(o): o for each in model._flatten_layers() for o in (each, *getattr(each, "operations", ()))}
    return list(found.values())


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
    with suppress(ValueError):  # an unknown name, which the first step will tell
        loss = keras.losses.get(loss)
    made = loss if inspect.isfunction(loss) else type(loss)
    mean = getattr(loss, "reduction", "mean") in ("mean", "sum_over_batch_size")
    each = getattr(loss, "axis", -1) == -1 and getattr(loss, "ignore_class", None) is None
    return mean and each and is_keras(made) and made.__name__.lower() not in NO_MEANS


def all_of_keras(model: keras.Model, metrics: bool = True, inner: bool = True) -> bool:
    """Whether a compiled model's steps, losses, metrics and inner layers are Keras's, as are functions they call."""
    compiled = {k: v for k, v in model._compile_config.config.items() if metrics or "metrics" not in k}
    parts = [*(model._flatten_layers() if inner else [model]), *keras.tree.flatten(compiled)]
    called = [each for part in parts for each in (part, *(getattr(part, name, None) for name in FUNCTIONS))]
    return all(is_keras(getattr(each, "func", each), ("keras.", "tensorflow.")) for each in called if callable(each))


def is_keras(thing: Any, packages: tuple[str, ...] = ("keras.",)) -> bool:
    """Whether a function or class, or an object's class, is defined in Keras, or in these packages."""
    return (getattr(thing, "__module__", None) or "").startswith(packages)


def accelerate(model: keras.Model, micro_batches: int, by_xla: bool) -> None:
    """Replace a model's training step by one that computes the gradients of a batch's micro-batches in parallel.

    As in `keras.Model`, the loss is the mean over the batch and the gradients are its gradients; they are summed per
    micro-batch first, so the last bits differ. With `by_xla`, XLA compiles each micro-batch by itself.
    """

    @tf.function(jit_compile=by_xla, reduce_retracing=True, autograph=False)
    def gradients_of(x: Any, y: Any, weights: tf.Tensor | None, share: tf.Tensor) -> Found:
        """Return a micro-batch's share of the loss, its predictions, gradients, and share of each output's loss."""
        of_outputs: list[tf.Tensor] = []  # Keras's loss metrics would serialise the micro-batches
        kept = SimpleNamespace(update_state=lambda value, sample_weight=None: of_outputs.append(value))
        with ExitStack() as stack:
            trackers = [kept for _ in model._compile_loss.metrics]
            stack.enter_context(mock.patch.object(model._compile_loss, "_metrics", trackers))
            tape = stack.enter_context(tf.GradientTape())
            if by_xla:
                stack.enter_context(in_blocks(model))
                # Losses assert shapes at run time; XLA drops each assertion with a warning.
                stack.enter_context(mock.patch.object(*keras_internals.ASSERT_EQUAL, lambda *_, **__: tf.no_op()))
            predictions = model(x, training=True)
            loss = share * model.compute_loss(x, y, predictions, weights)
            scaled = model.optimizer.scale_loss(loss)  # for float16; the optimizer unscales the gradients
        gradients = tape.gradient(scaled, model.trainable_weights)
        return loss, predictions, gradients, [share * each for each in of_outputs]

    def train_step(data: tuple[Any, ...]) -> dict[str, tf.Tensor]:
        """Train on one batch: sum the gradients of the micro-batches and apply them once."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        size = tf.shape(keras.tree.flatten(x)[0])[0]
        found = []
        for i in range(micro_batches):
            begin, end = size * i // micro_batches, size * (i + 1) // micro_batches
            share = tf.cast((end - begin) / size, tf.float32)
            first = tf.minimum(begin, size - 1)  # an empty micro-batch takes an example of weight 0
            batch = _rows((x, y, weights), first, tf.maximum(end, first + 1))
            loss, predictions, *others = gradients_of(*batch, share)
            found.append((loss, _rows(predictions, 0, end - begin), *others))
        losses, predictions, gradients, of_outputs = zip(*found, strict=True)
        model._loss_tracker.update_state(tf.add_n(losses), sample_weight=size)
        for tracker, values in zip(model._compile_loss.metrics, zip(*of_outputs, strict=True), strict=False):
            tracker.update_state(tf.add_n(values), sample_weight=keras.tree.flatten(x)[0].shape[0])  # as in Keras
        model.optimizer.apply_gradients(zip(map(_summed, *gradients), model.trainable_weights, strict=True))
        whole = keras.tree.map_structure(lambda *each: tf.concat(each, 0), *predictions)
        return model.compute_metrics(x, y, whole, weights)

    model.train_step = train_step


def _rows(batch: Any, first: tf.Tensor, end: tf.Tensor) -> Any:
    """Return examples `first` to `end` of a batch, which may hold NumPy arrays, as in `train_on_batch`."""
    return keras.tree.map_structure(lambda v: None if v is None else tf.convert_to_tensor(v)[first:end], batch)


def _summed(*parts: Any) -> Any:
    """Sum a variable's gradients; join an embedding's rows, which some optimizers square before they add a word's."""
    if isinstance(parts[0], tf.IndexedSlices):
        values, indices = (tf.concat([getattr(each, name) for each in parts], 0) for name in ("values", "indices"))
        return tf.IndexedSlices(values, indices, parts[0].dense_shape)
    return None if parts[0] is None else tf.add_n(parts)  # no loss reaches the variable


@contextmanager
def in_blocks(model: keras.Model) -> Iterator[None]:
    """Patch the model's plain LSTM layers inside this context; trace the training step in it."""
    with ExitStack() as stack:
        for layer in filter(is_plain, model._flatten_layers()):
            in_place = functools.partial(_inner_loop, layer, layer.inner_loop)
            stack.enter_context(mock.patch.object(layer, "inner_loop", in_place))
        yield


def is_plain(layer: Any) -> bool:
    """Whether a layer is a stateless float32 LSTM with Keras's default activations, a bias and no dropout."""
    if type(layer) is not keras.layers.LSTM or layer.compute_dtype != "float32":
        return False
    called = (layer.activation, layer.recurrent_activation) == (keras.activations.tanh, keras.activations.sigmoid)
    other = layer.dropout or layer.recurrent_dropout or layer.stateful or layer.unroll
    return called and layer.use_bias and not other


def _inner_loop(
    layer: Any, of_keras: Any, sequences: tf.Tensor, initial_state: Any, mask: Any, training: bool = False
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """Replace `LSTM.inner_loop`: return the last output, outputs (batch, steps, units), and the last states."""
    if mask is not None or sequences.shape[1] is None:
        return of_keras(sequences, initial_state, mask, training)
    x = tf.transpose(sequences, (1, 0, 2))
    cell = layer.cell
    weights = map(tf.convert_to_tensor, (cell.kernel, cell.recurrent_kernel, cell.bias))
    computed = tf.custom_gradient(lambda *given: lstm(layer.return_sequences, *given))
    hs, h, c = computed(tf.reverse(x, [0]) if layer.go_backwards else x, *initial_state, *weights)
    return h, tf.transpose(hs, (1, 0, 2)), [h, c]


def lstm(
    every: bool, x: tf.Tensor, h0: tf.Tensor, c0: tf.Tensor, kernel: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor
) -> tuple[tuple[tf.Tensor, tf.Tensor, tf.Tensor], Callable[..., Any]]:
    """Return all outputs (steps, batch, units), the last output and the last carry; and their gradient function.

    Unless `every` output is used, their gradient is ignored. `x` is (steps, batch, features), with a static number of
    steps; the weights are as in Keras, with gates in the order input, forget, carry, output.
    """
    steps, batch, features = x.shape
    units = recurrent.shape[0]

    def array(size: int, *shape: int | None) -> tf.TensorArray:
        return tf.TensorArray(tf.float32, size, element_shape=shape, clear_after_read=False)

    def step(t: Any, h: Any, c: Any, kept: Any) -> tuple[Any, ...]:
        of_input = x[t] * kernel if features == 1 else tf.matmul(x[t], kernel)
        i, f, g, o = tf.split(tf.matmul(h, recurrent) + of_input + bias, 4, 1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        for row, each in enumerate((h, c, i, f, g, o)):
            kept = kept.write(t * ROWS + row, each)
        c = f * c + i * g
        return t + 1, o * tf.tanh(c), c, kept

    start = (0, h0, c0, array(steps * ROWS, batch, units))
    _, h, c, kept = tf.while_loop(lambda t, *_: t < steps, step, start, maximum_iterations=steps)
    kept = kept.stack()

    def gradient(of_hs: tf.Tensor, of_h: tf.Tensor, of_c: tf.Tensor) -> tuple[tf.Tensor, ...]:
        size = next((each for each in range(LONGEST, SHORTEST - 1, -1) if steps % each == 0), steps)  # else all steps
        back_to_input, back_to_h = tf.transpose(kernel), tf.transpose(recurrent)
        kept_of_blocks = tf.reshape(kept, (steps // size, size, ROWS, -1, units))
        x_of_blocks = tf.reshape(x, (steps // size, size, -1, features))
        ones = tf.ones_like(x_of_blocks[0, ..., :1])

        def block(n: Any, dh: Any, dc: Any, dw: Any, dx: Any) -> tuple[Any, ...]:
            n -= 1

            def back(s: Any, dh: Any, dc: Any, dzs: Any) -> tuple[Any, ...]:
                s -= 1
                t = n * size + s
                c, i, f, g, o = (kept[t * ROWS + row] for row in range(1, ROWS))
                dh += of_hs[t] if every else 0
                tanh_c = tf.tanh(f * c + i * g)
                dc += dh * o * (1 - tanh_c**2)
                of_gates = [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2)]
                dz = tf.concat([*of_gates, dh * tanh_c * o * (1 - o)], 1)
                return s, tf.matmul(dz, back_to_h), dc * f, dzs.write(s, dz)

            start = (size, dh, dc, array(size, batch, 4 * units))
            _, dh, dc, dzs = tf.while_loop(lambda s, *_: s > 0, back, start, maximum_iterations=size)
            dz = tf.reshape(dzs.stack(), (-1, 4 * units))
            # One product gives all three weight gradients; the row of ones gives the bias's.
            fed = tf.concat([kept_of_blocks[n][:, 0], x_of_blocks[n], ones], 2)
            dw += tf.matmul(tf.reshape(fed, (-1, units + features + 1)), dz, transpose_a=True)
            of_x = tf.reshape(tf.matmul(dz, back_to_input), (size, -1, features))
            return n, dh, dc, dw, dx.write(n, of_x)

        dx = array(steps // size, size, batch, features)
        start = (steps // size, of_h, of_c, tf.zeros((units + features + 1, 4 * units)), dx)
        _, dh, dc, dw, dx = tf.while_loop(lambda n, *_: n > 0, block, start, maximum_iterations=steps // size)
        of_recurrent, of_kernel, of_bias = tf.split(dw, (units, features, 1), 0)
        return tf.reshape(dx.stack(), tf.shape(x)), dh, dc, of_kernel, of_recurrent, of_bias[0]

    return (tf.concat([kept[ROWS::ROWS], h[None]], 0), h, c), gradient
