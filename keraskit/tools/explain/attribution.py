"""Where in its input a model's answer comes from: Grad-CAM, gradient saliency, and a test of such maps.

Neither guided backpropagation nor guided Grad-CAM: they hardly change when a network's weights are drawn anew (Adebayo
et al. 2018, https://arxiv.org/abs/1810.03292), so they show the picture, not the network.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keraskit.errors import UserError, did_you_mean

SHUFFLES, TRIED = 3, 12  # maps of shuffled weights to compare with, for one may be alike by chance, and at most tried
SQUEEZED = 2  # by how much the sides of a map may differ from those of the picture, each in proportion to the other
ALIKE = 0.5  # rank correlation from which a map shows the picture rather than the network
FOLLOWS = (keras.layers.BatchNormalization, keras.layers.Activation, keras.layers.ReLU)
Score = Callable[[Any], tf.Tensor]
Fed = Callable[
    [np.ndarray], Any
]  # makes a model's input of uint8 pictures, (n, height, width) or (n, height, width, 3)


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Where in a picture a model saw a class, and how far that can be believed.

    Args:
        map: float32 of shape (height, width), from 0 to 1.
        method: how it was made, with the layer's name.
        alike: rank correlation with the map of the same network after its weights were shuffled, the median of
            several shuffles; near 0 is good. NaN where shuffled weights give no map to compare with.
    """

    map: np.ndarray
    method: str
    alike: float

    @property
    def failure(self) -> str:
        """Why this map explains nothing; empty where it does."""
        if not np.ptp(self.map) > 0:
            return "the map is the same everywhere"
        if np.isnan(self.alike):
            return "shuffled weights give no map to compare it with"
        if self.alike > ALIKE:
            return f"a network that knows nothing has much the same map (rank correlation {self.alike:.2f})"
        return ""


@contextmanager
def recorded(layer: keras.Layer) -> Iterator[list[tf.Tensor]]:
    """What a layer gives out while models are called eagerly, wherever in them it lies."""
    outputs: list[tf.Tensor] = []
    call = layer.call

    def recording(*args: Any, **kwargs: Any) -> Any:
        outputs.append(call(*args, **kwargs))
        return outputs[-1]

    layer.call = recording
    try:
        yield outputs
    finally:
        del layer.call


def score_of(model: keras.Model, k: int) -> Score:
    """The logit of class `k`, shape (n,), of a model that ends in one unit for two classes, or in one for each.

    A saturated softmax or sigmoid has no gradient to follow, so what went into it is taken, wherever it lies.
    """

    def score(x: Any) -> tf.Tensor:
        outputs = model(x, training=False)
        logits = getattr(outputs, "_keras_logits", outputs)  # as Keras's own losses look for them
        return logits[:, k] if logits.shape[-1] > 1 else (1 if k else -1) * logits[:, 0]

    return score


def last_convolution(model: keras.Model, size: tuple[int, ...]) -> keras.Layer | None:
    """The last convolution that tells places of a picture apart, within nested models too, or what activates it."""
    found, near = None, False
    for layer in _in_order(model):
        if "Conv" in type(layer).__name__ and _has_places(layer, size):
            found, near = layer, True
        elif near and isinstance(layer, FOLLOWS):
            found = layer
        else:
            near = False
    return found


def _has_places(layer: keras.Layer, size: tuple[int, ...]) -> bool:
    """Whether a layer's output has rows and columns as a picture of this height and width has them."""
    shape: tuple[Any, ...] = tuple(getattr(layer.output, "shape", ()))
    if len(shape) != 4 or shape[1:3] == (1, 1):  # MobileNet's head is one of 1x1
        return False
    squeezed = (shape[1] or size[0]) / (shape[2] or size[1]) * size[1] / size[0]
    return 1 / SQUEEZED <= squeezed <= SQUEEZED


def _in_order(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _in_order(layer)
        else:
            yield layer


def grad_cam(model: keras.Model, layer: keras.Layer, x: Any, score: Score) -> np.ndarray:
    """Grad-CAM: a layer's channels, each weighed by the mean of its gradient, what speaks against the class left out.

    Args:
        model: built.
        layer: of it, with an output of shape (n, rows, columns, channels).
        x: a batch of its inputs.
        score: of the class, from `score_of`.

    Returns:
        float32 of shape (n, rows, columns), from 0 up.

    Source: https://arxiv.org/abs/1610.02391, equations 1 and 2.
    """
    with tf.GradientTape() as tape, recorded(layer) as outputs:
        total = tf.reduce_sum(score(x))
    features = outputs[-1]
    weights = tf.reduce_mean(tape.gradient(total, features), axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * features, axis=-1)).numpy()


def saliency(model: keras.Model, x: Any, score: Score) -> Any:
    """The gradient of the class's score in each input value, without its sign; in the shape of `x`."""
    inputs = keras.tree.map_structure(tf.convert_to_tensor, x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(score(inputs))
    gradients = tape.gradient(total, inputs)
    if any(g is None for g in keras.tree.flatten(gradients)):
        raise UserError(f"{model.name} does not pass gradients on to its input, so nothing explains its answer.")
    return keras.tree.map_structure(lambda g: np.abs(g.numpy()), gradients)


def explain(model: keras.Model, fed: Fed, picture: np.ndarray, k: int, layer: str | None = None) -> Explanation:
    """Grad-CAM where the model has convolutions over the picture, else saliency, and its test.

    Args:
        model: built; its one output is of a softmax, or of a sigmoid for the second of two classes.
        fed: makes the model's input of pictures.
        picture: uint8 of shape (height, width) or (height, width, 3).
        k: the class to explain.
        layer: whose channels Grad-CAM weighs (default: the last convolution).

    Raises:
        UserError: the model has no such layer, or the layer's output has no places; or its input is no one picture.
    """
    size = picture.shape[:2]
    chosen = layer_of(model, layer, size)
    score = score_of(model, k)

    def map_of() -> np.ndarray:
        x = fed(picture[None])
        if chosen:
            heat = grad_cam(model, chosen, x, score)
        else:  # the largest gradient at each pixel, of an input that has the picture's values in order
            values = keras.tree.flatten(saliency(model, x, score))
            if len(values) > 1 or values[0].size % (size[0] * size[1]):
                raise UserError(f"{model.name} has no convolution over a picture, and its input is no one picture.")
            heat = values[0].reshape(1, *size, -1).max(axis=-1)
        heat = tf.image.resize(heat[..., None], size).numpy()[0, ..., 0]
        return heat / heat.max() if heat.max() > 0 else heat

    heat, alike = map_of(), list[float]()
    for seed in range(TRIED):
        with shuffled(model, seed):
            other = map_of()
        alike += [rank_correlation(heat, other)] if np.ptp(other) > 0 else []
        if len(alike) == SHUFFLES:
            break
    known = float(np.median(alike)) if len(alike) == SHUFFLES else np.nan
    return Explanation(heat, f"Grad-CAM of {chosen.name}" if chosen else "saliency", known)


def layer_of(model: keras.Model, name: str | None, size: tuple[int, ...]) -> keras.Layer | None:
    """The layer of this name, within nested models too, or the last convolution, if there is one.

    Raises UserError where the model has no such layer, or the layer's output has no places.
    """
    if name is None:
        return last_convolution(model, size)
    layers = {layer.name: layer for layer in _in_order(model)}
    if name not in layers:
        raise UserError(f"The model has no layer {name}. {did_you_mean(name, layers)}", f"It has {', '.join(layers)}.")
    if not _has_places(layers[name], size):
        raise UserError(f"The output of {name} has no rows and columns of a picture.", "Name a convolution or a pool.")
    return layers[name]


@contextmanager
def shuffled(model: keras.Model, seed: int = 0) -> Iterator[None]:
    """The model with the values of each of its weights in a random order, for the length of a block."""
    random, weights = np.random.default_rng(seed), model.get_weights()
    model.set_weights([random.permutation(w.reshape(-1)).reshape(w.shape) for w in weights])
    try:
        yield
    finally:
        model.set_weights(weights)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's, ties sharing their rank; 0 where one of the two is constant."""

    def ranks(values: np.ndarray) -> np.ndarray:
        _, inverse, counts = np.unique(values.reshape(-1), return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[inverse]

    one, other = ranks(a), ranks(b)
    return float(np.corrcoef(one, other)[0, 1]) if one.std() and other.std() else 0.0
