"""`keraskit explain`: explain predictions by maps of Grad-CAM or saliency, each of them tested.

No guided backpropagation: it hardly changes when weights are randomised, so it shows the picture, not the network
(Adebayo et al. 2018, https://arxiv.org/abs/1810.03292).
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from PIL import Image

from keraskit.datasets.array_files import explained, reading
from keraskit.datasets.images import decode
from keraskit.errors import UserError, printable
from keraskit.runs import opening, pictures, plots, report
from keraskit.runs.pictures import Network
from keraskit.runs.plots import Sheet

SHUFFLES = 5  # maps of shuffled weights to compare with, as one may be similar by chance
ALIKE = 0.5  # rank correlation from which a map shows the picture rather than the network


def explain(run: Path, paths: Sequence[Path], mistakes: bool, target: Path, recipe: Path | None = None) -> None:
    """Explain predictions for picture files, and with `mistakes` for the run's own, in its report too.

    `target` is the PNG to write, `recipe` a trusted recipe file that defines custom layers of the model.
    """
    opened = opening.open_run(run, recipe)
    network = pictures.network(opened)
    shown = kept(opened) if mistakes else []
    for path in paths:
        with explained(str(path), "Name pictures."):
            shown.append((path.name, network.read(path)[0]))
    sheet = write(network, shown, opened.facts["classes"], target)
    if mistakes:
        report.pack(opened.folder, {"explained": sheet}, f"explained.{report.PICTURES}")
        report.write_report(opened.folder)


def kept(run: opening.OpenedRun) -> list[tuple[str, np.ndarray]]:
    """Return the run's most confident mistakes and some correct predictions: names and pictures of the model's size."""
    sheets, chosen = report.read_sheets(run.folder), []
    for word, sheet in (("wrong", sheets.get("mistakes")), ("right", sheets.get("right"))):
        for data, caption in list(zip(sheet.pictures, sheet.captions, strict=True))[: report.WHOLE] if sheet else ():
            with reading(run.folder.path / report.PICTURES):
                read = decode.read(data, most=max(int(np.prod(run.inputs.size)), report.LARGEST**2))
                picture = decode.pixels(read, run.inputs.size, run.inputs.channels)
                chosen.append((f"{word}: {caption.splitlines()[0]}", picture))
    if not chosen:
        raise UserError(f"{run.folder.path} has kept no pictures of its test.", "Name pictures in place of --mistakes.")
    return chosen


def write(network: Network, shown: Sequence[tuple[str, np.ndarray]], classes: Sequence[str], target: Path) -> Sheet:
    """Write and return a sheet of pictures, given as (name, array), each with the map of its predicted class."""
    sheet, captions, passed = [], [], 0
    for name, picture in shown:
        probabilities = network.probabilities(picture[None])[0]
        k = int(probabilities.argmax())
        heat, method, failure = locate(network.model, network.fed(picture[None]), picture.shape[:2], k)
        result = f"NO EXPLANATION, {failure}" if failure else f"{method} passes its test"
        print(printable(f"{name}: {classes[k]} ({probabilities[k]:.1%}); {result}"), flush=True)
        grey, share = np.asarray(Image.fromarray(picture).convert("L"))[..., None], 0.25 + 0.5 * heat[..., None]
        colours = 255 * matplotlib.colormaps["inferno"](heat)[..., :3]
        sheet += [picture, (grey * (1 - share) + colours * share).astype(np.uint8)]
        reason = f"no explanation:\n{failure}" if failure else method
        captions += [name, f"{classes[k]}, {probabilities[k]:.2f}\n{reason}"]
        passed += not failure
    found = Sheet(sheet, captions, f"Where the network saw its answer: {passed} of {len(shown)} maps pass their test")
    plots.save(plots.sheet(found, side=2.0), target)
    print(f"sheet: {printable(target)}")
    return found


def locate(model: keras.Model, x: Any, size: tuple[int, ...], k: int) -> tuple[np.ndarray, str, str]:
    """Explain class `k` by Grad-CAM if the model has convolutions over the picture, else by saliency; test the map.

    The model ends in a softmax, or in a sigmoid for the second of two classes; `x` is one preprocessed picture.
    Returns a map, float32, shape `size`, from 0 to 1; the method; and why the map explains nothing, or ''.
    """
    layer, weights, alike = convolution(model), model.get_weights(), []

    def heat() -> np.ndarray:
        found = grad_cam(model, layer, x, k) if layer else saliency(model, x, k, size)
        found = tf.image.resize(found[..., None], size).numpy()[0, ..., 0]
        return found / max(found.max(), np.finfo(np.float32).tiny)

    own, method = heat(), f"Grad-CAM of {layer.name}" if layer else "saliency"
    if not np.ptp(own) > 0:
        return own, method, "the map is the same everywhere"
    try:
        for seed in range(SHUFFLES):
            random = np.random.default_rng(seed)
            model.set_weights([random.permutation(w.reshape(-1)).reshape(w.shape) for w in weights])
            if np.ptp(other := heat()) > 0:
                alike.append(np.corrcoef(ranks(own), ranks(other))[0, 1])
    finally:
        model.set_weights(weights)
    if not alike:
        return own, method, "shuffled weights give no map to compare"
    return own, method, "shuffled weights give much the same map" if np.median(alike) > ALIKE else ""


def logit(model: keras.Model, x: Any, k: int) -> tf.Tensor:
    """Return the logit of class `k`, shape (n,); the model has one output unit for two classes, or one per class.

    A saturated softmax or sigmoid has no gradient, so its input is taken, wherever it is in the model.
    """
    outputs = model(x, training=False)
    logits = getattr(outputs, "_keras_logits", outputs)  # as in Keras's losses
    return logits[:, k] if logits.shape[-1] > 1 else tf.cast(2 * k - 1, logits.dtype) * logits[:, 0]


def grad_cam(model: keras.Model, layer: keras.Layer, x: Any, k: int) -> np.ndarray:
    """Weight each channel of a layer by its mean gradient, sum them, and drop evidence against class `k`.

    The layer may be in nested models. Returns non-negative float32, shape (n, rows, columns).

    Source: https://arxiv.org/abs/1610.02391, equations 1 and 2.
    """
    outputs, call = [], layer.call

    def recording(*args: Any, **kwargs: Any) -> Any:
        outputs.append(call(*args, **kwargs))
        return outputs[-1]

    with mock.patch.object(layer, "call", recording), tf.GradientTape() as tape:
        total = tf.reduce_sum(logit(model, x, k))
    weights = tf.reduce_mean(tape.gradient(total, outputs[-1]), axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * outputs[-1], axis=-1)).numpy()


def saliency(model: keras.Model, x: Any, k: int, size: tuple[int, ...]) -> np.ndarray:
    """Largest absolute gradient of the logit of class `k` at each pixel, shape (1, *size)."""
    found = _gradient(model)(keras.tree.map_structure(tf.convert_to_tensor, x), tf.constant(k))
    gradient, *others = keras.tree.flatten(found)
    if others or gradient is None or gradient.shape.num_elements() % (size[0] * size[1]):
        problem = f"{model.name} has no convolution over the picture, and its input is no one picture"
        raise UserError(f"{problem} that passes gradients on, so nothing explains its answer.")
    return np.abs(gradient.numpy()).reshape(1, *size, -1).max(axis=-1)


@functools.lru_cache(1)  # one trace for all pictures and shuffled weights
def _gradient(model: keras.Model) -> Callable[[Any, tf.Tensor], Any]:
    """Return the gradient of a logit by the inputs as a compiled function: eager loops over time take minutes."""

    @tf.function(autograph=False)
    def gradient(x: Any, k: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(logit(model, x, k))
        return tape.gradient(total, x)

    return gradient


def convolution(model: keras.Model, found: keras.Layer | None = None) -> keras.Layer | None:
    """Return the last convolution over the picture, or a later layer but pooling and dropout; None if there is none."""
    for layer in model.layers:
        name, shape = type(layer).__name__, getattr(getattr(layer, "output", None), "shape", ())
        if isinstance(layer, keras.Model) and getattr(layer, "inputs", None):
            found = convolution(layer, found)
        elif len(shape) == 4 and 1 not in shape[1:3]:  # MobileNet's head is a convolution of 1x1 pixels
            found = layer if "Conv" in name or (found and "Pool" not in name and "Dropout" not in name) else found
    return found


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank values, averaging ties: Spearman's correlation is the correlation of ranks."""
    _, inverse, counts = np.unique(values.reshape(-1), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
