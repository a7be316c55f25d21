"""Summarise a model, draw its graph of layers, and count its operations."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import keras

from keraskit.errors import UserError, sentence
from keraskit.files import atomic

WIDE = 120  # characters
DEEP = 16  # layers from which on blocks are drawn as one box
BLOCK = re.compile(r"(.*?block_?\d+[a-z]?)_")  # as Keras's applications name their layers


def layout_program() -> str | None:
    """Return the path of `dot`, else of graphviz-pure, also beside this Python; else None."""
    path = os.pathsep.join((os.environ.get("PATH", ""), str(Path(sys.executable).parent)))
    return shutil.which("dot") or shutil.which("graphviz-pure", path=path)


def draw(model: keras.Model, *paths: Path, blocks: bool = False) -> None:
    """Draw the graph of layers with activations and shapes. The suffix of each path sets the format.

    With `blocks`, a block of layers such as block1_conv1 and block1_conv2 is one box in deep models. Raises UserError
    without a layout program, for an unknown suffix, or for a model that it cannot draw.
    """
    if not (program := layout_program()):
        raise UserError("No program to lay out graphs.", "`pip install graphviz-pure` brings one.")
    graph = keras.utils.model_to_dot(model)
    layers = [each for each in (model, *getattr(model, "operations", model.layers)) if graph.get_node(str(id(each)))]
    boxes, homes = dict[str, list[Any]](), dict[str, str]()
    for layer in layers:
        block = BLOCK.match(layer.name) if blocks and len(layers) > DEEP else None
        homes[str(id(layer))] = name = block[1] if block else layer.name
        boxes.setdefault(name, []).append(layer)
    # Boxes are sized in one font and may be shown in another; fixed-pitch fonts are equally wide.
    lines = ["digraph G { ranksep=0.25 node [shape=box style=rounded fontname=Courier fontsize=11 height=0.1]"]
    for name, inside in boxes.items():
        called = (getattr(getattr(layer, "activation", None), "__name__", "") for layer in inside)
        pairs = zip(inside, called, strict=True)
        kinds = Counter(f"{type(layer).__name__} {end}".removesuffix(" linear").strip() for layer, end in pairs)
        words = ", ".join(f"{count} {kind}" if count > 1 else kind for kind, count in kinds.items())
        shapes = [tensor.shape[1:] for tensor in keras.tree.flatten(getattr(inside[-1], "output", ()))]
        size = ", ".join(" × ".join("any" if side is None else str(side) for side in shape) for shape in shapes)
        lines.append(f"{json.dumps(name)} [label={json.dumps(f'{name}: {words}{chr(10)}{size}', ensure_ascii=False)}]")
    arrows = [(homes[edge.get_source()], homes[edge.get_destination()]) for edge in graph.get_edges()]
    lines += [f"{json.dumps(a)} -> {json.dumps(b)} [arrowsize=0.6]" for a, b in dict.fromkeys(arrows) if a != b]
    for path in paths:
        text = "\n".join([*lines, "}"]).encode()
        done = subprocess.run([program, f"-T{path.suffix[1:]}"], input=text, capture_output=True)
        if done.returncode:
            raise UserError(f"{path} cannot be drawn: {sentence(done.stderr.decode(errors='replace'))}")
        with atomic(path) as beside:
            beside.write_bytes(done.stdout.replace(b'"Courier"', b'"Courier,monospace"'))


def summary(model: keras.Model) -> str:
    """Return Keras's summary as text, wide enough that cells are hardly ever wrapped."""
    texts: list[str] = []
    with mock.patch.dict(os.environ, COLUMNS=str(WIDE), JUPYTER_COLUMNS=str(WIDE)):  # else rich cuts at the terminal's
        model.summary(line_length=WIDE, print_fn=lambda text, **_: texts.append(text))
    return "\n".join(texts)


def operations(model: keras.Model) -> float:
    """Count operations of the forward pass on one example; infinite if a size is unknown or nothing is counted.

    Each kernel is applied once at each position of the output. A layer that is used several times counts once.
    """
    total = 0.0
    for layer in model._flatten_layers():
        products = sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)
        if not products or isinstance(layer, keras.Model | keras.layers.Embedding):
            continue
        try:
            positions = layer.output.shape[1:-1]
        except (AttributeError, ValueError):  # a nested layer, which the outer one counts
            continue
        total += 2 * products * math.prod(math.inf if size is None else size for size in positions)
    return total or math.inf


def optimizers(model: keras.Model) -> dict[str, keras.optimizers.Optimizer]:
    """Return `optimizer`, and others that a model has as attributes, or in dicts or lists that are such, by name."""
    found = dict[str, keras.optimizers.Optimizer]()
    for name, value in vars(model).items():
        several = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        for i, each in enumerate(several if not name.startswith("_self_") else ()):  # TensorFlow's own copies
            found |= {f"{name}{i or ''}": each} if isinstance(each, keras.optimizers.Optimizer) else {}
    return found
