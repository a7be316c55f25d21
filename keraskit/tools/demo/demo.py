"""`keraskit demo`: a page with a run's model that classifies what is drawn or dropped, layer by layer."""

import base64
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraskit.datasets.array_files import reading
from keraskit.datasets.images import decode, digit_pictures
from keraskit.errors import UserError
from keraskit.files import write_text
from keraskit.runs import report
from keraskit.runs.opening import open_run

FAR = 1_000  # where a scale is measured: nearer, a large offset would leave few of its digits
MOST_WEIGHTS = 10_000_000  # a page of 27 MB
KINDS = (  # layers that demo_network.js has, besides those that scale and offset each value
    *("InputLayer", "Dense", "Conv2D", "DepthwiseConv2D", "MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D"),
    *("ZeroPadding2D", "LSTM", "Concatenate", "Add", "Activation", "ReLU", "Resize"),
)
ACTIVATIONS = ("linear", "relu", "relu6", "silu", "sigmoid", "tanh", "softmax")
ALLOWED: dict[str, tuple[Any, ...]] = {  # settings, and the values that it supports
    **dict.fromkeys(("activation", "recurrent_activation"), ACTIVATIONS),
    **dict.fromkeys(("dilation_rate", "groups", "depth_multiplier"), (1, (1, 1), [1, 1])),
    **dict.fromkeys(("go_backwards", "return_state", "negative_slope", "threshold", "antialias"), (0,)),
    **dict(data_format=("channels_last",), interpolation=("bilinear",), max_value=(None, 6), axis=(-1, 1, 2, 3)),
}
SETTINGS = ("kernel_size", "pool_size", "strides", "padding", "return_sequences", *ALLOWED)


def write_demo(run: Path, output: Path | None = None, recipe: Path | None = None) -> Path:
    """Write the page of a run to `output`, or to demo.html in its folder; return its path.

    `recipe` is a trusted recipe file that defines custom layers. Raises UserError if no page can run the model.
    """
    opened = open_run(run, recipe)
    inputs, weights = opened.inputs, opened.model.count_params()
    if inputs.bits not in (None, 16):
        raise UserError(f"{run}: its pictures have {inputs.bits} bits, and browsers read all of 16 as dark.")
    if weights > MOST_WEIGHTS:
        raise UserError(f"The model has {weights:,} weights; a page has room for {MOST_WEIGHTS:,}.", "Train a smaller.")
    layers, known = list[dict[str, Any]](), dict[int, int]()
    x = inputs.preprocess(keras.Input((*inputs.size, 3)[: 3 if inputs.channels == 3 else 2]), opened.augmentation)
    hidden = 1 + max(place(tensor, layers, known) for tensor in keras.tree.flatten(x))  # layers of preprocessing
    classifier = opened.classifier
    place(classifier([x[each.name] for each in classifier.inputs] if isinstance(x, dict) else x), layers, known)
    for layer in layers:
        arrays = [array.astype("<f2").tobytes() for array in layer.get("weights", [])]
        layer["weights"] = [base64.b64encode(array).decode() for array in arrays]
    described = {
        **{"size": inputs.size, "channels": inputs.channels, "digits": digit_pictures.as_mnist(inputs, opened.trained)},
        **{"crop": inputs.crop, "trained": opened.trained, "classes": opened.facts["classes"]},
        **{"hidden": hidden, "layers": layers},
    }
    values = {"run": opened.facts, "parameters": weights, "sheets": report.read_sheets(opened.folder)}

    def light(data: bytes) -> bytes:
        with reading(opened.folder.path / report.PICTURES):
            read = decode.read(data, most=max(int(np.prod(inputs.size)), report.LARGEST**2))
            return report.encoded(np.asarray(read), max(inputs.size))

    page = report.render("tools/demo/demo.html", described=described, image=report.image, light=light, **values)
    write_text(output := output or opened.folder.path / "demo.html", page)
    return output


def place(tensor: Any, layers: list[dict[str, Any]], known: dict[int, int]) -> int:
    """Return the index in `layers` of the layer that outputs a tensor; add missing layers.

    `known` maps ids of tensors to indices, anew for each call of a nested model. Raises UserError for other layers.
    """
    if id(tensor) not in known:
        operation, index, position = tensor._keras_history
        node = operation._inbound_nodes[index]
        sources = [place(each, layers, known) for each in node.input_tensors]
        if isinstance(operation, keras.Model) and getattr(operation, "inputs", None):
            inner = dict(zip(map(id, operation.inputs), sources, strict=True))
            known[id(tensor)] = place(operation.outputs[position], layers, inner)
        else:
            layer = {"name": operation.name, "from": sources, "shape": tensor.shape[1:]}
            layers.append(layer | _described(operation, node))
            known[id(tensor)] = len(layers) - 1
    return known[id(tensor)]


def _described(operation: Any, node: Any) -> dict[str, Any]:
    """Describe a layer: class, settings and weights. `node` is a call of it."""
    kind, inputs = type(operation).__name__, node.input_tensors
    if len(inputs) == 1 and (kind not in (*KINDS, "Masking") or kind == "Add") and (found := _affine(node)):
        return {"kind": "Affine", **found}
    own = isinstance(operation, keras.Layer)
    config = operation.get_config() if own else vars(operation)
    odd = [f"{name} {config[name]}" for name in ALLOWED if name in config and config[name] not in ALLOWED[name]]
    shapes = [each.shape[1:] for each in (*inputs, *node.output_tensors)]
    enlarged = kind != "Resize" or (shapes[0][2] == 1 and all(map(int.__le__, *shapes[:2])))
    odd += ["initial_state"] * (kind == "LSTM" and len(inputs) > 1)
    if None in sum(shapes, ()) or (kind == "Add" and len(set(shapes)) > 1) or not enlarged:
        odd.append(f"sizes {shapes}")
    weights = operation.get_weights() if own else []
    odd += [] if all(np.isfinite(array.astype("f2")).all() for array in weights) else ["weights above 65,504"]
    if odd or kind not in KINDS:
        raise UserError(f"No page can compute the layer {operation.name} ({', '.join([kind, *odd])}).")
    return {"kind": kind, "weights": weights, **{name: config[name] for name in SETTINGS if name in config}}


def _affine(node: Any) -> dict[str, list[float]] | None:
    """Return scale and offset of an affine layer, such as Rescaling, Reshape and RandomFlip; None for other layers."""
    tensor, random, outputs = node.input_tensors[0], np.random.default_rng(0), []
    shape = (1, *tensor.shape[1:])
    tried = random.normal(size=shape) * 10 ** random.uniform(-2, 4, shape)
    called = keras.Model(tensor, node.output_tensors[0])  # of one layer
    for x in (np.zeros(shape), np.full(shape, FAR), tried):
        outputs.append(np.asarray(called(x.astype("float32"), training=False)).ravel())
    offset, scale = outputs[0], (outputs[1] - outputs[0]) / FAR
    if offset.size != tried.size or not np.allclose(outputs[2], tried.ravel() * scale + offset, rtol=1e-4, atol=1e-4):
        return None
    found = np.stack([scale, offset]).reshape(2, -1, shape[-1])
    found = found[:, :1] if (found == found[:, :1]).all() else found
    return {"scale": found[0].ravel().tolist(), "offset": found[1].ravel().tolist()}
