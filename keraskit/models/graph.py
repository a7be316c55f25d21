"""Summarise a model, draw its graph of layers, and count its operations."""

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
from keraskit.files import atomic

WIDE = 120  # characters
FONT = "Courier"
FORMATS = ("svg", "png", "jpg", "dot")


def layout_program() -> str | None:
    """Return the path of `dot`, else of graphviz-pure, also beside this Python; else None."""
    path = os.pathsep.join((os.environ.get("PATH", ""), str(Path(sys.executable).parent)))
    return shutil.which("dot") or shutil.which("graphviz-pure", path=path)


def draw(model: keras.Model, *paths: Path) -> None:
    """Draw the graph of layers with shapes and activations. The suffix of each path sets the format.

    Raises UserError without a layout program, for an unknown suffix, or for a model that it cannot draw.
    """
    program = layout_program()
    if program is None:
        raise UserError("No program to lay out graphs.", "`pip install graphviz-pure` brings one.")
    shown = dict.fromkeys(("show_shapes", "show_layer_names", "show_layer_activations"), True)
    text = keras.utils.model_to_dot(model, **shown, dpi=96).to_string()
    text = text.replace("<lambda>", "lambda")  # an activation's name, which would be read as markup
    # Boxes are sized in one font and may be shown in another; fixed-pitch fonts are equally wide.
    text = text.replace("fontname=Helvetica", f"fontname={FONT}")
    for path in paths:
        suffix = path.suffix.lstrip(".")
        if suffix not in FORMATS:
            raise UserError(f"{path} does not end in one of {', '.join('.' + f for f in FORMATS)}.", "Rename it.")
        done = subprocess.run([program, f"-T{suffix}"], input=text.encode(), capture_output=True)
        if done.returncode:
            raise UserError(f"{program} cannot draw this model: {sentence(done.stderr.decode(errors='replace'))}")
        drawn = done.stdout
        if suffix == "svg":
            drawn = re.sub(rb'font-family="[^"]*"', f'font-family="{FONT},monospace"'.encode(), drawn)
        with atomic(path) as beside:
            beside.write_bytes(drawn)


def summary(model: keras.Model) -> str:
    """Return Keras's summary as text, wide enough that cells are hardly ever wrapped."""
    texts: list[str] = []
    with mock.patch.dict(os.environ, COLUMNS=str(WIDE), JUPYTER_COLUMNS=str(WIDE)):  # else rich cuts at the terminal's
        model.summary(line_length=WIDE, print_fn=lambda text, **_: texts.append(text))
    return "\n".join(texts)


def operations(model: keras.Model) -> float:
    """Count operations of the forward pass on one example; infinite if a size is unknown or nothing is counted.

    Each kernel is applied once at each position of the output, or at each step of a recurrent layer's input. A layer
    that is used several times counts once.
    """
    total = 0.0
    for layer in model._flatten_layers():
        products = sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)
        if not products or isinstance(layer, keras.Model | keras.layers.Embedding):
            continue
        try:
            positions = (layer.input if isinstance(layer, keras.layers.RNN) else layer.output).shape[1:-1]
        except (AttributeError, ValueError):  # a nested layer, which the outer one counts
            continue
        total += 2 * products * math.prod(math.inf if size is None else size for size in positions)
    return total or math.inf
