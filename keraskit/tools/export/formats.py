"""Writes a model in a format with the program that asks it, and asks it in a process of its own."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keraskit import files, start
from keraskit.datasets.images import decode
from keraskit.errors import UserError
from keraskit.runs import templates
from keraskit.tools.export import answers

if TYPE_CHECKING:
    import keras

Arrays = dict[str, np.ndarray]

FILES = {"keras": "model.keras", "saved_model": "model", "onnx": "model.onnx", "litert": "model.tflite"}
MODULES = {"onnx": ("onnx", "tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}  # besides TensorFlow
NEEDS = {"keras": "tensorflow", "saved_model": "tensorflow", "onnx": "onnxruntime", "litert": "ai-edge-litert"}
INT8 = "litert_int8"
ABOUT, PREDICT = "model.json", "predict.py"
INSTALL = "pip install 'keraskit[export]' brings what is missing."
WAIT = 3_600  # seconds for a runtime to answer all examples


@dataclasses.dataclass(frozen=True)
class Answers:
    """A runtime's answers by output, the median time of one example, and what its predict.py made of picture files."""

    answers: Arrays
    milliseconds: float
    read: np.ndarray


def chosen(asked: Sequence[str], int8: bool = False) -> list[str]:
    """The formats to make: those asked for, or all that can be made here; with `int8`, LiteRT's beside its float32.

    Raises UserError for one that cannot be made.
    """
    missing = {name: [m for m in MODULES.get(name, ()) if importlib.util.find_spec(m) is None] for name in FILES}
    wanted = list(FILES) if not asked or "all" in asked else list(dict.fromkeys([*asked, *["litert"] * int8]))
    left = [name for name in wanted if missing[name]]
    needed = ", ".join(module for name in left for module in missing[name])
    if left and (asked or (int8 and "litert" in left)):
        raise UserError(f"--format {' '.join(left)} needs {needed}.", INSTALL)
    if left:
        print(f"left out       {', '.join(left)}, which need {needed}: {INSTALL}", flush=True)
    return [name for name in wanted if name not in left] + [INT8] * int8


def write(name: str, model: keras.Model, training: Arrays, about: dict[str, Any], folder: Path) -> int:
    """Write the model's file, what is to be known of it, and a program that asks it.

    Args:
        name: of `FILES`, or `INT8`.
        model: float32; several inputs, and several outputs, by name.
        training: examples by input; int8 takes its ranges from them.
        about: for `ABOUT`.
        folder: where.

    Returns:
        The bytes of the model.
    """
    kind = "litert" if name == INT8 else name
    path = folder / FILES[kind]
    # What TensorFlow's converters say of themselves concerns nobody who exports.
    with start.quietly(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"In the future `np\.object`", category=FutureWarning)
        if kind == "keras":
            model.save(path)
        elif kind == "litert":
            _write_litert(model, training, path, name == INT8)
        else:
            model.export(str(path), format="tf_saved_model" if kind == "saved_model" else kind, verbose=False)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    files.write_text(folder / ABOUT, json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    outputs = list(model.output) if isinstance(model.output, dict) else ["output"]
    known = {"format": kind, "file": FILES[kind], "needs": NEEDS[kind], "about": about}
    page = templates.render(
        "predict.py", "keraskit.tools", inputs=list(training), outputs=outputs, reader=_reader(), **known
    )
    files.write_text(folder / PREDICT, f"{page}\n")
    return size


def _reader() -> str:
    """The text of `decode`, all but its docstring."""
    text = inspect.getsource(decode)
    return "\n".join(text.splitlines()[ast.parse(text).body[0].end_lineno :]).strip()


def _write_litert(model: keras.Model, training: Arrays, path: Path, int8: bool) -> None:
    """One example at a time: so recurrent layers need no operations beyond LiteRT's own."""
    import keras

    specs: dict[str, Any] = {
        name: keras.InputSpec(shape=(1, *x.shape[1:]), dtype=str(x.dtype), name=name) for name, x in training.items()
    }
    (only, *others), knobs = specs.values(), {}
    if int8:
        import tensorflow as tf

        if any(isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional) for layer in model._flatten_layers()):
            # TensorFlow 2.21 ends the whole process there, by a segmentation fault.
            raise ValueError("TensorFlow's quantisation breaks down at recurrent layers")

        def representative() -> Iterator[Any]:
            for i in range(len(next(iter(training.values())))):
                example = {name: x[i : i + 1] for name, x in training.items()}
                yield example if others else list(example.values())

        knobs = {"optimizations": [tf.lite.Optimize.DEFAULT], "representative_dataset": representative}
    model.export(str(path), format="litert", input_signature=[specs if others else only], verbose=False, **knobs)


def ask(name: str, folder: Path, x: Arrays, batch: int, pictures: Sequence[bytes] = ()) -> Answers:
    """What the format's own runtime answers, asked by the export's own predict.py in a fresh process.

    Args:
        name: of `FILES`, or `INT8`.
        folder: what `write` filled.
        x: examples by input.
        batch: how many of them at once.
        pictures: the bytes of picture files.

    Raises:
        ValueError: the runtime refuses the file.
    """
    with tempfile.TemporaryDirectory() as place:
        given, got = Path(place) / "x.npz", Path(place) / "answers.npz"
        np.savez(given, allow_pickle=False, **x)
        shown = [Path(place) / f"{i}.picture" for i in range(len(pictures))]
        for path, data in zip(shown, pictures, strict=True):
            path.write_bytes(data)
        # -P, and the script's own path: a numpy.py in the folder where the user works is none of ours.
        line = [sys.executable, "-P", answers.__file__, *map(str, (folder, given, got, batch, *shown))]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        done = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=WAIT, env=environment)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise ValueError(f"its runtime refuses it: {said[-1]}")
        with np.load(got, allow_pickle=False) as found:
            by_output = {output: found[output] for output in found.files}
    milliseconds, read = by_output.pop("milliseconds"), by_output.pop("read")
    return Answers(by_output, float(milliseconds), read)
