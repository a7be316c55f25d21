"""InParts: trains on parts of each batch side by side, as a recurrent layer's loop over time keeps one core busy."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

Found = tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]


class InParts(keras.Model):
    """A model of one input and one output that computes the gradients of several parts of a batch at once.

    The loss is the mean over the batch and the gradients are those of that mean, as in `keras.Model`; sums are taken
    part by part, so the last bits differ. Where layers change variables (batch normalisation), parts take turns.
    """

    parts = 1

    @classmethod
    def of(cls, model: keras.Model, parts: int) -> InParts:
        """The same layers and weights, trained in so many parts."""
        made = cls(model.inputs[0], model.outputs[0], name=model.name)
        made.parts = parts
        return made

    def compile(self, *given: Any, jit_compile: bool = False, **named: Any) -> None:
        """As in `keras.Model`, but XLA compiles what is computed for one part: compiled together they take turns."""
        super().compile(*given, jit_compile=False, **named)
        self._part = tf.function(self._gradients, jit_compile=jit_compile, reduce_retracing=True)

    def _gradients(self, x: tf.Tensor, y: tf.Tensor, share: tf.Tensor) -> Found:
        """What a part adds to the loss, its answers, and what it adds to the gradients."""
        with tf.GradientTape() as tape:
            answers = self(x, training=True)
            loss = share * self.compute_loss(x, y, answers)
            scaled = self.optimizer.scale_loss(loss)  # for float16; the optimizer scales gradients back
        return loss, answers, tape.gradient(scaled, self.trainable_weights)

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step on a batch: the parts' gradients, summed, are applied once."""
        x, y = data
        size = tf.shape(x)[0]
        found = []
        for i in range(self.parts):
            begin, end = size * i // self.parts, size * (i + 1) // self.parts
            share = tf.cast((end - begin) / size, tf.float32)
            first = tf.minimum(begin, size - 1)  # a batch smaller than the parts: an example that counts nothing
            part = slice(first, tf.maximum(end, first + 1))
            loss, answers, gradients = self._part(x[part], y[part], share)
            found.append((loss, answers[: end - begin], gradients))
        losses, answers, gradients = zip(*found, strict=True)
        self._loss_tracker.update_state(tf.add_n(losses), sample_weight=size)
        summed = [tf.add_n(each) for each in zip(*gradients, strict=True)]
        self.optimizer.apply_gradients(zip(summed, self.trainable_weights, strict=True))
        return self.compute_metrics(x, y, tf.concat(answers, 0))
