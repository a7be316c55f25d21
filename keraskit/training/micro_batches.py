"""MicroBatched: computes a batch's gradients in shares side by side, as one recurrent loop keeps one core busy."""

from __future__ import annotations

import keras
import tensorflow as tf

Found = tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]


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

    def _gradients(self, x: tf.Tensor, y: tf.Tensor, share: tf.Tensor) -> Found:
        """What a micro-batch adds to the loss, its predictions, and what it adds to the gradients."""
        with tf.GradientTape() as tape:
            predictions = self(x, training=True)
            loss = share * self.compute_loss(x, y, predictions)
            scaled = self.optimizer.scale_loss(loss)  # for float16; the optimizer scales gradients back
        return loss, predictions, tape.gradient(scaled, self.trainable_weights)

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step on a batch: the micro-batches' gradients, summed, are applied once."""
        x, y = data
        size = tf.shape(x)[0]
        found = []
        for i in range(self.micro_batches):
            begin, end = size * i // self.micro_batches, size * (i + 1) // self.micro_batches
            share = tf.cast((end - begin) / size, tf.float32)
            first = tf.minimum(begin, size - 1)  # a batch smaller than that: an example that counts nothing
            chosen = slice(first, tf.maximum(end, first + 1))
            loss, predictions, gradients = self._micro(x[chosen], y[chosen], share)
            found.append((loss, predictions[: end - begin], gradients))
        losses, predictions, gradients = zip(*found, strict=True)
        self._loss_tracker.update_state(tf.add_n(losses), sample_weight=size)
        summed = [tf.add_n(each) for each in zip(*gradients, strict=True)]
        self.optimizer.apply_gradients(zip(summed, self.trainable_weights, strict=True))
        return self.compute_metrics(x, y, tf.concat(predictions, 0))
