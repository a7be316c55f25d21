"""A model's layers: summarised as text, drawn as a graph, their arithmetic counted."""

import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import keras

from keraskit.errors import UserError, sentence

WIDE = 120  # characters
FONT = "Courier"
FORMATS = ("svg", "png", "jpg", "dot")


def layout_program() -> str | None:
    """The layout program's path: `dot`, else graphviz-pure, also beside this Python; else None."""
    path = os.pathsep.join((os.environ.get("PATH", ""), str(Path(sys.executable).parent)))
    return shutil.which("dot") or shutil.which("graphviz-pure", path=path)


def draw(model: keras.Model, *paths: Path) -> None:
    """Write the graph of layers with shapes and activations. Each path's ending names its format.

    Raises UserError without a layout program, for an ending that is no format of it, or a model that it cannot draw.
    """
    program = layout_program()
    if program is None:
        raise UserError("No program to lay out graphs.", "`pip install graphviz-pure` brings one.")
    shown = dict.fromkeys(("show_shapes", "show_layer_names", "show_layer_activations"), True)
    text = keras.utils.model_to_dot(model, **shown, dpi=96).to_string()
    text = text.replace("<lambda>", "lambda")  # an activation's name, which Keras takes for markup
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
    """Keras's own summary as text, so wide that hardly a cell is wrapped."""
    texts: list[str] = []
    with mock.patch.dict(os.environ, COLUMNS=str(WIDE), JUPYTER_COLUMNS=str(WIDE)):  # else rich cuts at a screen's
        model.summary(line_length=WIDE, print_fn=lambda text, **_: texts.append(text))
    return "\n".join(texts)


def operations(model: keras.Model) -> float:
    """Additions and multiplications for one example, forward; infinite where a size is open, or nothing is counted.

    Each matrix of a layer, or kernel, is used once at each place of its output, or at each step of a recurrent layer's
    input. A layer that is used several times counts once.
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
