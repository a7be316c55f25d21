"""`keraskit demo`: one page with a run's model in it, which classifies what is drawn or dropped, layer by layer."""

from __future__ import annotations

import base64
import dataclasses
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraskit.datasets.images.digit_pictures import as_mnist
from keraskit.errors import UserError
from keraskit.files import write_text
from keraskit.runs import figures, predictions, report, templates
from keraskit.runs.opening import open_run

MOST_WEIGHTS, MOST_LAYERS = 10_000_000, 300  # the most make a page of 53 MB
AFFINE = ("BatchNormalization", "Normalization", "Rescaling", "TrueDivide", "Multiply", "Add", "Subtract")  # x * a + b
KINDS = (  # of layers in demo_network.js
    *("InputLayer", "Dense", "Conv2D", "DepthwiseConv2D", "MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D"),
    *("ZeroPadding2D", "LSTM", "Concatenate", "Add", "Activation", "ReLU", "Flatten", "Reshape", "Dropout"),
)
ALLOWED: dict[str, tuple[Any, ...]] = {  # settings that have these values there
    **dict.fromkeys(
        ("activation", "recurrent_activation"), ("linear", "relu", "relu6", "silu", "sigmoid", "tanh", "softmax")
    ),
    **dict.fromkeys(("dilation_rate", "groups", "depth_multiplier"), (1, (1, 1), [1, 1])),
    **dict.fromkeys(("go_backwards", "return_state", "negative_slope", "threshold"), (0,)),
    **{"data_format": ("channels_last",), "max_value": (None, 6), "axis": (-1, 1, 2, 3)},
}
SETTINGS = ("kernel_size", "pool_size", "strides", "padding", "return_sequences", *ALLOWED)


def write_demo(run: Path, output: Path | None = None, recipe: Path | None = None) -> Path:
    """Write the page of a run, or of the newest of several: `output`, or demo.html in its folder. Returns its path.

    `recipe` is a file of the user's own, whose layers the model has.

    Raises UserError where the run has not finished, or knows no pictures; and where a layer, or all, are beyond a page.
    """
    opened = open_run(run, recipe)
    folder, facts = opened.folder, opened.facts
    if opened.augmentation.standardizes:
        raise UserError(f"{folder.path}: its pictures were standardised by flags, which no page does.")
    if opened.inputs.bits != 16:
        problem = f"{folder.path}: its pictures have {opened.inputs.bits} bits, and browsers read all of 16 as dark."
        raise UserError(problem, "`keraskit predict` and `export` read them as the run did.")
    network = Network(opened.model)
    described = {
        **dataclasses.asdict(opened.inputs),
        "classes": opened.classes,
        "trained": opened.trained,
        "digits": as_mnist(opened.inputs, opened.trained),
        "output": network.place(opened.classifier.outputs[0], network.known),
        "layers": network.layers,
    }
    answered = predictions.read(folder)
    known = answered.of_classes(facts) if answered else None
    page = templates.render(
        "demo.html",
        "keraskit.tools.demo",
        run=facts,
        accuracy=float((known[1].argmax(axis=1) == known[0]).mean()) if known else None,
        parameters=opened.model.count_params(),
        described=described,
        weights=network.encoded(),
        sheets=figures.read(folder),
        image=report.image,
    )
    write_text(output := output or folder.path / "demo.html", page)
    return output


class Network:
    """A model as demo_network.js takes it: its layers in their order, and all weights in a row; or a UserError."""

    def __init__(self, model: keras.Model) -> None:
        weights, count = model.count_params(), len(model._flatten_layers(include_self=False))
        if weights > MOST_WEIGHTS or count > MOST_LAYERS:
            problem = f"{model.name} has {weights:,} weights in {count} layers"
            limits = f"a page has room for {MOST_WEIGHTS:,} in {MOST_LAYERS}."
            raise UserError(f"{problem}; {limits}", "Train a smaller one.")
        self.layers: list[dict[str, Any]] = []
        self.known: dict[int, int] = {}  # index in `layers` by the id of the tensor that it makes
        self._stored: dict[int, list[tuple[int, int]]] = {}  # where the weights of each layer begin and end
        self._weights: list[np.ndarray] = []
        for tensor in model.outputs:
            self.place(tensor, self.known)

    def place(self, tensor: Any, known: dict[int, int]) -> int:
        """Index in `layers` of the one that makes a tensor. Each call of an inner model knows its own inputs."""
        if id(tensor) not in known:
            layer, index, position = tensor._keras_history
            node = layer._inbound_nodes[index]
            sources = [self.place(each, known) for each in node.input_tensors]
            if isinstance(layer, keras.Model):
                inner = dict(zip(map(id, layer.inputs), sources, strict=True))
                known[id(tensor)] = self.place(layer.outputs[position], inner)
            else:
                name = tensor.name if isinstance(layer, keras.layers.InputLayer) else layer.name
                described = self._described(layer, tensor.shape[1:], node)
                self.layers.append({"name": name, "from": sources, **described})
                known[id(tensor)] = len(self.layers) - 1
        return known[id(tensor)]

    def encoded(self) -> str:
        """All weights as little-endian float32, in base64."""
        return base64.b64encode(b"".join(array.astype("<f4").tobytes() for array in self._weights)).decode()

    def _described(self, layer: Any, shape: tuple[int, ...], node: Any) -> dict[str, Any]:
        """Class, settings and weights (by begin and end) of a layer. `node` is a call of it."""
        kind, config = type(layer).__name__, layer.get_config() if isinstance(layer, keras.Layer) else {}
        given = node.input_tensors
        if kind in AFFINE and given and [*map(id, node.arguments.args[:1])] == [*map(id, given)]:
            return {"kind": "Affine", "shape": shape, **_affine(layer, node)}
        odd = [f"{name} {config[name]}" for name in ALLOWED if name in config and config[name] not in ALLOWED[name]]
        odd += [f"size {shape}"] * (None in shape or (kind == "Add" and any(each.shape[1:] != shape for each in given)))
        if odd or kind not in KINDS or not isinstance(layer, keras.Layer):
            what = f"No page can compute the layer {layer.name} ({', '.join([kind, *odd])})."
            raise UserError(what, f"It knows {', '.join(dict.fromkeys((*KINDS, *AFFINE)))}.")
        if id(layer) not in self._stored:
            arrays = [array.ravel() for array in layer.get_weights()]
            ends = itertools.accumulate(map(len, arrays), initial=sum(map(len, self._weights)))
            self._stored[id(layer)] = [*itertools.pairwise(ends)]
            self._weights += arrays
        settings = {name: config[name] for name in SETTINGS if name in config}
        return {"kind": kind, "shape": shape, "weights": self._stored[id(layer)], **settings}


def _affine(layer: Any, node: Any) -> dict[str, list[float]]:
    """Scale and offset of an affine layer, per channel or per value."""
    shape = (1, *node.input_tensors[0].shape[1:])
    made = [np.asarray(layer(fill(shape, "float32"), *node.arguments.args[1:])) for fill in (np.zeros, np.ones)]
    found = np.stack([made[1] - made[0], made[0]]).reshape(2, -1, shape[-1])
    found = found[:, :1] if (found == found[:, :1]).all() else found
    return {"scale": found[0].ravel().tolist(), "offset": found[1].ravel().tolist()}
