"""Where in its input a model's answer comes from: Grad-CAM, gradient saliency, and tests of such maps.

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
from PIL import Image, ImageFilter

from keraskit.errors import UserError
from keraskit.suggest import did_you_mean

STEPS, ORDERS = 20, 5  # of a deletion curve, and random orders beside it
SHUFFLES = 3  # of the weights: a coarse map may resemble that of one by chance
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
            several shuffles; near 0 is good.
        deletion: the mean probability of the class while its pixels are blurred away, the map's highest first.
        random: the lowest such mean of several random orders; higher than `deletion` is good.
    """

    map: np.ndarray
    method: str
    alike: float
    deletion: float
    random: float

    @property
    def failure(self) -> str:
        """Why this map explains nothing; empty where it does."""
        if np.ptp(self.map) == 0:
            return "the map is the same everywhere"
        if self.alike > ALIKE:
            return f"a network that knows nothing has much the same map (rank correlation {self.alike:.2f})"
        if self.deletion >= self.random:
            return f"blurring a random order of pixels harms the answer as much ({self.random:.2f})"
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


@contextmanager
def before_activation(model: keras.Model) -> Iterator[None]:
    """The model with its last layers' softmax or sigmoid left out: a saturated one has no gradient to follow."""
    ends = {id(output) for output in model.outputs}
    outputs = {layer: keras.tree.flatten(getattr(layer, "output", ())) for layer in model.layers}
    last = [layer for layer, tensors in outputs.items() if ends & set(map(id, tensors))]
    known = {layer: layer.activation for layer in last if hasattr(layer, "activation")}
    for layer in known:
        layer.activation = keras.activations.linear
    try:
        yield
    finally:
        for layer, activation in known.items():
            layer.activation = activation


def score_of(model: keras.Model, k: int) -> Score:
    """The logit of class `k`, shape (n,), of a model that ends in one unit for two classes, or in one for each."""

    def score(x: Any) -> tf.Tensor:
        logits = model(x, training=False)
        return logits[:, k] if logits.shape[-1] > 1 else (1 if k else -1) * logits[:, 0]

    return score


def last_convolution(model: keras.Model) -> keras.Layer | None:
    """The last convolution that tells places apart, in nested models too, or what normalises and activates it."""
    found, near = None, False
    for layer in _in_order(model):
        if "Conv" in type(layer).__name__ and layer.output.shape[1:3] != (1, 1):  # MobileNet's head is one of 1x1
            found, near = layer, True
        elif near and isinstance(layer, FOLLOWS):
            found = layer
        else:
            near = False
    return found


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
    with before_activation(model), tf.GradientTape() as tape, recorded(layer) as outputs:
        total = tf.reduce_sum(score(x))
    features = outputs[-1]
    weights = tf.reduce_mean(tape.gradient(total, features), axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * features, axis=-1)).numpy()


def saliency(model: keras.Model, x: Any, score: Score) -> Any:
    """The gradient of the class's score in each input value, without its sign; in the shape of `x`."""
    inputs = keras.tree.map_structure(tf.convert_to_tensor, x)
    with before_activation(model), tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(score(inputs))
    return keras.tree.map_structure(lambda g: np.abs(g.numpy()), tape.gradient(total, inputs))


def explain(model: keras.Model, fed: Fed, picture: np.ndarray, k: int, layer: str | None = None) -> Explanation:
    """Grad-CAM where the model has convolutions, else saliency, tested twice.

    Args:
        model: built; its one output is of a softmax, or of a sigmoid for the second of two classes.
        fed: makes the model's input of pictures.
        picture: uint8 of shape (height, width) or (height, width, 3).
        k: the class to explain.
        layer: whose channels Grad-CAM weighs (default: the last convolution).

    Raises:
        UserError: the model has no such layer, or the layer's output has no places.
    """
    chosen = layer_of(model, layer)
    score = score_of(model, k)

    def map_of() -> np.ndarray:
        x = fed(picture[None])
        if chosen:
            heat = grad_cam(model, chosen, x, score)
        else:  # the largest gradient at each pixel, of an input with the picture's values in order
            (values,) = keras.tree.flatten(saliency(model, x, score))
            heat = values.reshape(1, *picture.shape[:2], -1).max(axis=-1)
        heat = tf.image.resize(heat[..., None], picture.shape[:2]).numpy()[0, ..., 0]
        return heat / heat.max() if heat.max() > 0 else heat

    def probability(pictures: np.ndarray) -> np.ndarray:
        found = model(fed(pictures), training=False).numpy()
        return found[:, k] if found.shape[-1] > 1 else found[:, 0] if k else 1 - found[:, 0]

    heat = map_of()
    alike = []
    for seed in range(SHUFFLES):
        with shuffled(model, seed):
            alike.append(rank_correlation(heat, map_of()))
    random = np.random.default_rng(0)
    orders = [random.permutation(heat.size) for _ in range(ORDERS)]
    lowest = min(deletion(probability, picture, order) for order in orders)
    ours = deletion(probability, picture, np.argsort(-heat, axis=None, kind="stable"))
    return Explanation(
        heat, f"Grad-CAM of {chosen.name}" if chosen else "saliency", float(np.median(alike)), ours, lowest
    )


def layer_of(model: keras.Model, name: str | None) -> keras.Layer | None:
    """The layer of this name, within nested models too, or the last convolution, if there is one.

    Raises UserError where the model has no such layer, or the layer's output has no places.
    """
    if name is None:
        return last_convolution(model)
    layers = {layer.name: layer for layer in _in_order(model)}
    if name not in layers:
        raise UserError(f"The model has no layer {name}. {did_you_mean(name, layers)}", f"It has {', '.join(layers)}.")
    if len(getattr(layers[name].output, "shape", ())) != 4:
        raise UserError(f"The output of {name} has no rows and columns.", "Name a convolution or a pool.")
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


def deletion(probability: Callable[[np.ndarray], np.ndarray], picture: np.ndarray, order: np.ndarray) -> float:
    """The mean probability while the pixels of a picture are blurred away in this order, in equal steps."""
    blurred = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(max(picture.shape[:2]) / 8))
    gone = np.asarray(blurred).reshape(order.size, -1)
    left = np.repeat(picture.reshape(1, order.size, -1), STEPS + 1, axis=0)
    for i, several in enumerate(left):
        cut = order[: round(order.size * i / STEPS)]
        several[cut] = gone[cut]
    return float(probability(left.reshape(-1, *picture.shape)).mean())
