"""Draws a model's graph to a file, with the system's `dot` or with graphviz-pure where there is none."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import keras

from keraskit.errors import UserError

FORMATS = ("svg", "png", "jpg", "dot")


def layout_program() -> str | None:
    """The layout program's path: `dot`, else graphviz-pure beside this Python, else None."""
    beside_python = str(Path(sys.executable).parent)
    return shutil.which("dot") or shutil.which("graphviz-pure", path=beside_python) or shutil.which("graphviz-pure")


def draw(model: keras.Model, *paths: Path) -> None:
    """Write the graph of layers with shapes and activations. Each path's ending names its format.

    Raises:
        UserError: no layout program, or an ending that is no format of it.
    """
    program = layout_program()
    if program is None:
        raise UserError("No program to lay out graphs.", "`pip install graphviz-pure` brings one.")
    graph = keras.utils.model_to_dot(
        model, show_shapes=True, show_layer_names=True, show_layer_activations=True, dpi=96
    )
    for path in paths:
        kind = path.suffix.lstrip(".")
        if kind not in FORMATS:
            raise UserError(f"{path} does not end in one of {', '.join('.' + f for f in FORMATS)}.", "Rename it.")
        graph.write(str(path), prog=program, format=kind)
