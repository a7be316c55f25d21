"""MicroBatched: computes a batch's gradients in shares side by side, as one recurrent loop keeps one core busy."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import tensorflow as tf

Found = tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]
OF_A_BATCH = (keras.layers.BatchNormalization, keras.layers.SpectralNormalization, keras.layers.Masking)


def hindrance(model: keras.Model) -> str:
    """Why a batch of this model, which is compiled, cannot be taken apart; empty where it can."""
    layers = list(model._flatten_layers())
    if not all(type(each).__module__.startswith("keras.") for each in [model, *layers]):
        return "a model or layer of one's own may look at a whole batch"
    if any(isinstance(layer, OF_A_BATCH) or getattr(layer, "mask_zero", False) for layer in layers):
        return "a layer looks at the whole batch"
    return "" if all(map(_is_mean, keras.tree.flatten(model.loss))) else "the loss may be no mean over examples"


def _is_mean(loss: Any) -> bool:
    """Whether it is one of Keras's that are the mean of each example's."""
    loss = keras.losses.get(loss)
    kind = loss if inspect.isfunction(loss) else type(loss)
    mean = getattr(loss, "reduction", "mean") in ("mean", "sum_over_batch_size")
    return kind.__module__.startswith("keras.") and mean and kind.__name__.lower() not in ("dice", "tversky")


class MicroBatched(keras.Model):
    """A model of one input and one output that computes the gradients of several micro-batches of a batch at once.

    The loss is the mean over the batch and the gradients are those of that mean, as in `keras.Model`; sums are taken
    micro-batch by micro-batch, so the last bits differ.
    """

    micro_batches = 1

    @classmethod
    def of(cls, model: keras.Model, micro_batches: int, jit_compile: bool) -> MicroBatched:
        """The same layers and weights. XLA compiles what is computed for one micro-batch: together they take turns."""
        made = cls(model.inputs[0], model.outputs[0], name=model.name)
        made.micro_batches = micro_batches
        made._micro = tf.function(made._gradients, jit_compile=jit_compile, reduce_retracing=True)
        return made

    def _gradients(self, x: tf.Tensor, y: tf.Tensor, weights: tf.Tensor | None, share: tf.Tensor) -> Found:
        """What a micro-batch adds to the loss, its predictions, and what it adds to the gradients."""
        with tf.GradientTape() as tape:
            predictions = self(x, training=True)
            loss = share * self.compute_loss(x, y, predictions, weights)
            scaled = self.optimizer.scale_loss(loss)  # for float16; the optimizer scales gradients back
        return loss, predictions, tape.gradient(scaled, self.trainable_weights)

    def train_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """One step on a batch: the micro-batches' gradients, summed, are applied once."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        size = tf.shape(x)[0]
        found = []
        for i in range(self.micro_batches):
            begin, end = size * i // self.micro_batches, size * (i + 1) // self.micro_batches
            share = tf.cast((end - begin) / size, tf.float32)
            first = tf.minimum(begin, size - 1)  # a batch smaller than that: an example that counts nothing
            chosen = slice(first, tf.maximum(end, first + 1))
            loss, predictions, gradients = self._micro(
                x[chosen], y[chosen], None if weights is None else weights[chosen], share
            )
            found.append((loss, predictions[: end - begin], gradients))
        losses, predictions, gradients = zip(*found, strict=True)
        self._loss_tracker.update_state(tf.add_n(losses), sample_weight=size)
        summed = [tf.add_n(each) for each in zip(*gradients, strict=True)]
        self.optimizer.apply_gradients(zip(summed, self.trainable_weights, strict=True))
        return self.compute_metrics(x, y, tf.concat(predictions, 0), weights)
