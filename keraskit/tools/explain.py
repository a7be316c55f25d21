"""`keraskit explain`: where in a picture a run's model saw its answer, by Grad-CAM or saliency, each map tested.

Neither guided backpropagation nor guided Grad-CAM: they hardly change when a network's weights are drawn anew (Adebayo
et al. 2018, https://arxiv.org/abs/1810.03292), so they show the picture, not the network.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from PIL import Image

from keraskit.datasets.images import decode
from keraskit.errors import UserError, did_you_mean, printable
from keraskit.files import atomic
from keraskit.runs import figures, pictures, plots, report
from keraskit.runs.opening import OpenedRun, open_run
from keraskit.runs.pictures import CAPTION, Network, Prediction
from keraskit.runs.plots import Sheet

FIRST = 24  # pictures of predictions that are explained
SHUFFLES = 5  # maps of shuffled weights to compare with: one may be alike by chance
ALIKE = 0.5  # rank correlation from which a map shows the picture rather than the network
SQUEEZED = 2  # by how much the sides of a map may differ from those of the picture, each in proportion to the other
FOLLOWS = (keras.layers.BatchNormalization, keras.layers.Activation, keras.layers.ReLU)


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Where in a picture, uint8 as the model was shown it, a model saw its answer, and how far that can be believed.

    `map` is float32 of shape (height, width), from 0 to 1. `alike` is the median rank correlation with maps of the same
    network after its weights were shuffled: near 0 is good, NaN where these give no map to compare with.
    """

    name: str
    picture: np.ndarray
    answer: str
    probability: float
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
        return "a network that knows nothing has much the same map" if self.alike > ALIKE else ""

    def __str__(self) -> str:
        why = f"NO EXPLANATION, {self.failure}" if self.failure else f"{self.method} passes its test"
        return f"{self.name}: {self.answer} ({self.probability:.1%}); {why}; shuffled weights alike {self.alike:.2f}"


def explain(
    run: Path, paths: Sequence[Path], mistakes: bool, layer: str | None, target: Path, recipe: Path | None = None
) -> None:
    """Explain a run's answers for picture files; or with `mistakes` for its worst and as many right ones, in its page.

    Args:
        run: its folder, or one of several, of which the newest is taken.
        paths: the files.
        mistakes: take the test examples that the run has kept in place of files.
        layer: whose channels Grad-CAM weighs (default: the last convolution).
        target: the PNG to write.
        recipe: the file of a recipe of the user's own, whose layers the model has.
    """
    opened = open_run(run, recipe)
    network = pictures.network(opened)
    shown = kept(opened) if mistakes else [(path.name, _opened(network, path)) for path in paths]
    found = [explained(network, name, picture, opened.classes, layer) for name, picture in shown]
    sheet = write(found, target)
    if mistakes:
        figures.pack(opened.folder, {"explained": sheet}, f"explained.{figures.PICTURES}")
        report.write_report(opened.folder)


def kept(run: OpenedRun) -> list[tuple[str, np.ndarray]]:
    """The run's most confident mistakes and some right predictions, as the model saw them."""
    sheets = figures.read(run.folder)
    chosen = [
        (f"{kind}: {caption.partition(chr(10))[0]}", data)
        for name, kind in (("mistakes", "wrong"), ("right", "right"))
        if name in sheets
        for data, caption in list(zip(sheets[name].pictures, sheets[name].captions, strict=True))[: figures.WHOLE]
    ]
    if not chosen or not all(data.startswith(b"\x89PNG") for _, data in chosen):  # a JPEG is not what the model saw
        raise UserError(f"{run.folder.path} has kept no pictures of its test.", "Name pictures in place of --mistakes.")
    size, channels = run.inputs.size, run.inputs.channels
    return [(name, decode.pixels(decode.read(data), size, channels)) for name, data in chosen]


def _opened(network: Network, path: Path) -> np.ndarray:
    """Read a picture file in the run's size. Raises UserError where it is none."""
    try:
        return network.read(path)[0]
    except (OSError, decode.BadPicture) as error:
        raise UserError(f"{path} {error}.") from error


def of_predictions(network: Network, rows: Sequence[Prediction], classes: Sequence[str]) -> list[Explanation]:
    """Explain the first pictures that were predicted: as many as a sheet shows well."""
    return [
        explained(network, " ".join(filter(None, (row.path.name, row.network))), network.read(row.path)[0], classes)
        for row in [row for row in rows if row.best][:FIRST]
    ]


def explained(
    network: Network, name: str, picture: np.ndarray, classes: Sequence[str], layer: str | None = None
) -> Explanation:
    """Explain the most probable class of a picture of the model's size, and print what was found."""
    probabilities = network.probabilities(picture[None])[0]
    k = int(probabilities.argmax())
    found = locate(network.model, network.fed(picture[None]), picture.shape[:2], k, layer)
    explanation = Explanation(name, picture, classes[k], float(probabilities[k]), *found)
    print(printable(explanation), flush=True)
    return explanation


def write(found: Sequence[Explanation], target: Path | None) -> Sheet:
    """Write and return a sheet with each picture, and beside it where the model saw its answer."""
    shown, captions = [], []
    for each in found:
        why = textwrap.fill(each.failure, CAPTION)
        shown += [each.picture, overlaid(each.picture, each.map)]
        said = f"no explanation:\n{why}" if why else each.method
        captions += [each.name, f"{each.answer}, {each.probability:.2f}\n{said}"]
    passed = sum(not each.failure for each in found)
    title = f"Where the network saw its answer: {passed} of {len(found)} maps pass their test"
    sheet = Sheet(shown, captions, title, columns=min(8, 2 * len(found)))
    if found and target:
        with atomic(target) as beside:
            plots.save(plots.sheet(sheet, side=2.0), beside)
        print(f"sheet: {printable(target)}")
    return sheet


def overlaid(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay heat from 0 to 1 over a picture in grey; uint8 of shape (height, width, 3)."""
    grey = np.asarray(Image.fromarray(picture).convert("L"), np.float32)[..., None]
    share = 0.25 + 0.5 * heat[..., None]
    colours = 255 * matplotlib.colormaps["inferno"](heat)[..., :3]
    return np.clip(grey * (1 - share) + colours * share, 0, 255).astype(np.uint8)


def locate(
    model: keras.Model, x: Any, size: tuple[int, ...], k: int, layer: str | None = None
) -> tuple[np.ndarray, str, float]:
    """Grad-CAM where the model has convolutions over the picture, else saliency, and its test.

    Args:
        model: built; it has one output, of a softmax, or of a sigmoid for the second of two classes.
        x: its inputs for one picture.
        size: the picture's height and width.
        k: the class to explain.
        layer: whose channels Grad-CAM weighs (default: the last convolution).

    Returns:
        `map`, `method` and `alike` of an Explanation.

    Raises:
        UserError: the model has no such layer, or the layer's output has no places; or its input is no one picture.
    """
    chosen, weights = layer_of(model, layer, size), model.get_weights()

    def heat() -> np.ndarray:
        found = grad_cam(model, chosen, x, k) if chosen else saliency(model, x, k, size)
        found = tf.image.resize(found[..., None], size).numpy()[0, ..., 0]
        return found / found.max() if found.max() > 0 else found

    own, alike = heat(), []
    try:
        for seed in range(SHUFFLES):
            random = np.random.default_rng(seed)
            model.set_weights([random.permutation(w.reshape(-1)).reshape(w.shape) for w in weights])
            if np.ptp(other := heat()) > 0:
                alike.append(rank_correlation(own, other))
    finally:
        model.set_weights(weights)
    method = f"Grad-CAM of {chosen.name}" if chosen else "saliency"
    return own, method, float(np.median(alike)) if alike else np.nan


def logit(model: keras.Model, x: Any, k: int) -> tf.Tensor:
    """The logit of class `k`, shape (n,), of a model that ends in one unit for two classes, or in one for each.

    A saturated softmax or sigmoid has no gradient to follow, so what went into it is taken, wherever it lies.
    """
    outputs = model(x, training=False)
    logits = getattr(outputs, "_keras_logits", outputs)  # as Keras's own losses look for them
    return logits[:, k] if logits.shape[-1] > 1 else (1 if k else -1) * logits[:, 0]


def grad_cam(model: keras.Model, layer: keras.Layer, x: Any, k: int) -> np.ndarray:
    """Weigh a layer's channels, each by the mean of its gradient; what speaks against class `k` is left out.

    The layer may lie in nested models. Returns float32 of shape (n, rows, columns), from 0 up.

    Source: https://arxiv.org/abs/1610.02391, equations 1 and 2.
    """
    outputs, call = [], layer.call

    def recording(*args: Any, **kwargs: Any) -> Any:
        outputs.append(call(*args, **kwargs))
        return outputs[-1]

    layer.call = recording
    try:
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(logit(model, x, k))
    finally:
        del layer.call
    weights = tf.reduce_mean(tape.gradient(total, outputs[-1]), axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * outputs[-1], axis=-1)).numpy()


def saliency(model: keras.Model, x: Any, k: int, size: tuple[int, ...]) -> np.ndarray:
    """The largest gradient of the class's score at each pixel, without its sign; shape (1, *size).

    Raises UserError where the input does not hold the picture's values in order, or the model passes no gradients on.
    """
    values, *more = map(tf.convert_to_tensor, keras.tree.flatten(x))
    if more or values.shape.num_elements() % (size[0] * size[1]):
        raise UserError(f"{model.name} has no convolution over a picture, and its input is no one picture.")
    with tf.GradientTape() as tape:
        tape.watch(values)
        total = tf.reduce_sum(logit(model, values, k))
    gradient = tape.gradient(total, values)
    if gradient is None:
        raise UserError(f"{model.name} does not pass gradients on to its input, so nothing explains its answer.")
    return np.abs(gradient.numpy()).reshape(1, *size, -1).max(axis=-1)


def layer_of(model: keras.Model, name: str | None, size: tuple[int, ...]) -> keras.Layer | None:
    """The layer of this name, or the last convolution over the picture, or what activates it, if there is one.

    Raises UserError where the model has no such layer, or the layer's output has no places.
    """
    layers = list(_in_order(model))
    if name is None:
        found, near = None, False
        for layer in layers:
            convolution = "Conv" in type(layer).__name__ and _has_places(layer, size)
            near = convolution or (near and isinstance(layer, FOLLOWS))
            found = layer if near else found
        return found
    known = {layer.name: layer for layer in layers}
    if name not in known:
        raise UserError(f"The model has no layer {name}. {did_you_mean(name, known)}", f"It has {', '.join(known)}.")
    if not _has_places(known[name], size):
        raise UserError(f"The output of {name} has no rows and columns of a picture.", "Name a convolution or a pool.")
    return known[name]


def _in_order(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        yield from _in_order(layer) if isinstance(layer, keras.Model) else [layer]


def _has_places(layer: keras.Layer, size: tuple[int, ...]) -> bool:
    """Whether a layer's output has rows and columns as a picture of this height and width has them."""
    shape: tuple[Any, ...] = tuple(getattr(layer.output, "shape", ()))
    if len(shape) != 4 or shape[1:3] == (1, 1):  # MobileNet's head is one of 1x1
        return False
    squeezed = (shape[1] or size[0]) / (shape[2] or size[1]) * size[1] / size[0]
    return 1 / SQUEEZED <= squeezed <= SQUEEZED


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's, ties sharing their rank; 0 where one of the two is constant."""

    def ranks(values: np.ndarray) -> np.ndarray:
        _, inverse, counts = np.unique(values.reshape(-1), return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[inverse]

    one, other = ranks(a), ranks(b)
    return float(np.corrcoef(one, other)[0, 1]) if one.std() and other.std() else 0.0
