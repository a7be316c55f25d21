"""LSTM layers with XLA on a CPU: Keras's outputs, with the weight gradients computed in a few large matrix products.

Keras leaves the loop's gradient to TensorFlow, which adds one matrix product per step to the weight gradient and makes
XLA recompute the gates at each use. Here each step stores its gates, and backpropagation runs in blocks of steps: a
block's gradients stay in the core's cache until a single product gives its contribution to all weight gradients. All
stored values share one array, since XLA fills each array with zeros first and copies when it concatenates.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

LONGEST = 16  # steps per block: times from 14 to 56 were within 3 %, with 64 and with 128 units
SHORTEST = 4  # without a divisor this large, all steps are one block: 784 steps took 5 and 9 % longer
ROWS = 6  # stored per step: the initial output and carry, and four gates, each (batch, units)


@contextmanager
def in_blocks(model: keras.Model) -> Iterator[None]:
    """Patch the model's LSTM layers inside this context; trace the training step in it."""
    found = plain_layers(model)
    for layer in found:
        layer.inner_loop = functools.partial(_inner_loop, layer, layer.inner_loop)
    try:
        yield
    finally:
        for layer in found:
            del layer.inner_loop


def plain_layers(model: keras.Model) -> list[keras.layers.LSTM]:
    """Return the layers that `in_blocks` patches."""
    return [layer for layer in model._flatten_layers() if is_plain(layer)]


def is_plain(layer: Any) -> bool:
    """Whether a layer is a stateless float32 LSTM with Keras's default activations, a bias and no dropout."""
    if type(layer) is not keras.layers.LSTM or layer.compute_dtype != "float32":
        return False
    called = (layer.activation, layer.recurrent_activation) == (keras.activations.tanh, keras.activations.sigmoid)
    other = layer.dropout or layer.recurrent_dropout or layer.stateful or layer.unroll
    return called and layer.use_bias and not other


def _inner_loop(
    layer: keras.layers.LSTM,
    of_keras: Callable[..., Any],
    sequences: tf.Tensor,
    initial_state: Any,
    mask: Any,
    training: bool = False,
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
        size = next((each for each in range(LONGEST, SHORTEST - 1, -1) if steps % each == 0), steps)  # or all
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
            # The inputs of the matrix product, with ones for the biases.
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
