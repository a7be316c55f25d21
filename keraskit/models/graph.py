"""A model's layers: summarised as text, drawn as a graph, their arithmetic counted."""

import math
import os
import re
import shutil
import subprocess
import sys
from itertools import accumulate
from pathlib import Path
from unittest import mock

import keras

from keraskit.errors import UserError, sentence

WIDE = 4_000  # characters; a quarter of it has room for the names of fifty inputs
FONT = "Courier"
FORMATS = ("svg", "png", "jpg", "dot")


def layout_program() -> str | None:
    """The layout program's path: `dot`, else graphviz-pure beside this Python, else None."""
    beside_python = str(Path(sys.executable).parent)
    return shutil.which("dot") or shutil.which("graphviz-pure", path=beside_python) or shutil.which("graphviz-pure")


def draw(model: keras.Model, *paths: Path) -> None:
    """Write the graph of layers with shapes and activations. Each path's ending names its format.

    Raises UserError without a layout program, for an ending that is no format of it, or a model that it cannot draw.
    """
    program = layout_program()
    if program is None:
        raise UserError("No program to lay out graphs.", "`pip install graphviz-pure` brings one.")
    graph = keras.utils.model_to_dot(
        model, show_shapes=True, show_layer_names=True, show_layer_activations=True, dpi=96
    )
    text = graph.to_string().replace("<lambda>", "lambda")  # an activation's name, which Keras takes for markup
    # Boxes are as wide as the letters of one font, and others are shown in another: all of fixed pitch are as wide.
    text = text.replace("fontname=Helvetica", f"fontname={FONT}")
    for path in paths:
        kind = path.suffix.lstrip(".")
        if kind not in FORMATS:
            raise UserError(f"{path} does not end in one of {', '.join('.' + f for f in FORMATS)}.", "Rename it.")
        done = subprocess.run([program, f"-T{kind}"], input=text.encode(), capture_output=True)
        if done.returncode:
            raise UserError(f"{program} cannot draw this model: {sentence(done.stderr.decode(errors='replace'))}")
        drawn = done.stdout
        if kind == "svg":
            drawn = re.sub(rb'font-family="[^"]*"', f'font-family="{FONT},monospace"'.encode(), drawn)
        path.write_bytes(drawn)


def summary(model: keras.Model) -> str:
    """Keras's own summary, each column as wide as its longest cell, so that none is wrapped or cut.

    Keras counts the optimizer's variables too once it has any, which is from the first step of training.
    """
    cells = [re.split("[│┃|]", line)[1:-1] for line in _printed(model, WIDE).splitlines() if re.match("[│┃|] ", line)]
    widths = [max(len(cell.strip()) for cell in column) for column in zip(*cells, strict=True)]
    length = sum(widths) + 3 * len(widths) + 1  # with a space on both sides of each cell, and the lines
    return _printed(model, length, [(end + 0.5) / length for end in accumulate(widths)])


def _printed(model: keras.Model, line_length: int, positions: list[float] | None = None) -> str:
    """Keras's summary as text. It prints through rich, which cuts lines that it thinks no screen has room for."""
    texts: list[str] = []
    with mock.patch.dict(os.environ, COLUMNS=str(WIDE), JUPYTER_COLUMNS=str(WIDE)):
        model.summary(line_length, positions, print_fn=lambda text, **_: texts.append(text))
    return "\n".join(texts)


def operations(model: keras.Model) -> float:
    """Additions and multiplications for one example, forward; backward takes twice as many.

    Each matrix of a layer, or kernel, is used once at each place of its output, or at each step of a recurrent layer's
    input; channels come last. A layer that is used several times counts once. Infinite where a
    size is open, or nothing can be counted.
    """
    total = 0.0
    for layer in model._flatten_layers():
        products = sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)
        if not products or isinstance(layer, keras.Model | keras.layers.Embedding):
            continue
        try:
            places = (layer.input if isinstance(layer, keras.layers.RNN) else layer.output).shape[1:-1]
        except (AttributeError, ValueError):  # a layer within another, which counts its weights
            continue
        total += 2 * products * math.prod(math.inf if size is None else size for size in places)
    return total or math.inf
