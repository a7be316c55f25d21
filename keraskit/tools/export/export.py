"""`keraskit export`: a finished run's model for other runtimes, kept where the runtime answers as Keras does."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import runpy
import warnings
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keraskit import files, start
from keraskit.augment import Augmentation
from keraskit.datasets.images import decode
from keraskit.datasets.splits import Split
from keraskit.errors import RunStopped, UserError, sentence
from keraskit.runs import metrics, templates
from keraskit.text import print_table, short
from keraskit.tools.export.raw_input import as_probabilities, with_raw_input

HEAD = ["format", "bytes", "largest difference", "test accuracy", "folder"]
TOLERANCE = 1e-4  # of probabilities, and of other values relative to the largest; rounding alone makes some 1e-6
REPRESENTATIVE = 256  # training examples from which int8 takes its ranges
BATCH = 64
FILES = {"keras": "model.keras", "saved_model": "model", "onnx": "model.onnx", "litert": "model.tflite"}
MODULES = {"onnx": ("onnx", "tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}  # besides TensorFlow
INT8 = "litert_int8"
INSTALL = "pip install 'keraskit[export]' brings what is missing."
PROGRAMS = {  # in predict.py: packages, import, the model, its answer of one output, and of several
    "keras": (
        *("tensorflow", "import keras", 'keras.models.load_model(HERE / "model.keras", compile=False)'),
        *("model.predict_on_batch({x})", "model.predict_on_batch({x})"),
    ),
    "saved_model": (
        *("tensorflow", "import tensorflow as tf", 'tf.saved_model.load(HERE / "model")'),
        *("model.serve({x})", "model.serve({x})"),
    ),
    "onnx": (
        *("onnxruntime", "import onnxruntime", 'onnxruntime.InferenceSession(HERE / "model.onnx")'),
        *("model.run(None, x)[0]", "dict(zip(OUTPUTS, model.run(OUTPUTS, x)))"),
    ),
    "litert": (
        *("ai-edge-litert", "from ai_edge_litert.interpreter import Interpreter"),
        'Interpreter(model_path=str(HERE / "model.tflite")).get_signature_runner()',
        *("next(iter(model(**x).values()))", "model(**x)"),
    ),
}
Arrays = dict[str, np.ndarray]


def chosen(asked: Sequence[str], int8: bool = False) -> list[str]:
    """The formats to write: those asked for, or all that can be written here; with `int8`, LiteRT's in 8 bits too.

    Raises UserError for one that cannot be made.
    """
    missing = {name: [m for m in MODULES.get(name, ()) if importlib.util.find_spec(m) is None] for name in FILES}
    wanted = list(FILES) if not asked or "all" in asked else list(dict.fromkeys([*asked, *["litert"] * int8]))
    left = [name for name in wanted if missing[name]]
    needed = ", ".join(module for name in left for module in missing[name])
    if left and (asked or int8):
        raise UserError(f"--format {' '.join(left)} needs {needed}.", INSTALL)
    if left:
        print(f"left out       {', '.join(left)}, which need {needed}: {INSTALL}", flush=True)
    return [name for name in wanted if name not in left] + [INT8] * int8


class Exportable(NamedTuple):
    """A model and the examples that it is proven on.

    `model` takes `x`, by input uint8 pictures or what the run's model takes, shape (n, ...), and gives `expected`, by
    output, probabilities of all classes where `labels` are not None. `about` is what predict.py must know: name,
    classes, pictures' size and channels. int8 takes its ranges from `training`, examples by input.
    """

    model: keras.Model
    about: dict[str, Any]
    x: Arrays
    expected: Arrays
    labels: np.ndarray | None
    training: Arrays

    def accuracy(self, answers: Arrays) -> str:
        """The share of right classes; empty without classes."""
        if self.labels is None:
            return ""
        return f"{(answers[self.about['class_output']].argmax(axis=1) == self.labels).mean():.4f}"


def exportable(
    model: keras.Model, facts: dict[str, Any], test: Split, train: Split, raw_input: bool | None
) -> Exportable:
    """Put preprocessing and probabilities around a run's model, and predict the test examples.

    Args:
        model: the run's best, float32.
        facts: its manifest.
        test: the examples that every runtime is asked.
        train: gives int8 its ranges.
        raw_input: whether preprocessing is inside; None: for pictures.

    Raises:
        UserError: `raw_input` is asked for where there are no pictures.
    """
    if raw_input and not test.inputs:
        raise UserError(f"{facts['recipe']} learned from no pictures, so none can go in.", "Leave --raw-input out.")
    fed = [x for x, *_ in test.in_order(BATCH)]
    expected = _joined([_by_name(model.predict_on_batch(x)) for x in fed])
    sampled = np.random.default_rng(0).permutation(train.size)[:REPRESENTATIVE]
    known, activation = facts.get("class_output") or next(iter(expected)), facts.get("class_activation")
    about = {"name": facts["recipe"], "classes": facts.get("classes") or [], "class_output": known}
    if test.inputs and raw_input is not False:
        about["input"] = {name: getattr(test.inputs, name) for name in ("size", "channels", "bits")}
        model = with_raw_input(model, test.inputs, test.augmentation or Augmentation())
        x, training = {"picture": test.pictures(np.arange(test.size))}, {"picture": train.pictures(sampled)}
    else:
        names = [tensor.name for tensor in model.inputs]
        x = _joined([_by_input(each, names) for each in fed])
        training = _by_input(train.take(sampled)[0], names)
    gives = _by_name(model.outputs[0] if len(model.outputs) == 1 else model.output)
    if about["classes"]:
        gives = {**gives, known: as_probabilities(gives[known], activation)}
        expected[known] = metrics.probabilities(expected[known], activation)
    takes = {tensor.name: tensor for tensor in model.inputs}
    exported = keras.Model(_alone(takes), _alone(gives), name=model.name)
    exported.predict_on_batch(_alone({name: values[:1] for name, values in x.items()}))  # Keras asks for one call
    return Exportable(exported, about, x, expected, test.labels, training)


def _by_name(outputs: Any) -> dict[str, Any]:
    """Outputs by name; a single one is called output."""
    if isinstance(outputs, dict):
        return outputs
    values = keras.tree.flatten(outputs)
    return {f"output_{i}" if len(values) > 1 else "output": value for i, value in enumerate(values)}


def _alone(by_name: dict[str, Any]) -> Any:
    """Unwrap a dict of one, as Keras takes a single input or output."""
    return by_name if len(by_name) > 1 else next(iter(by_name.values()))


def _by_input(x: Any, names: Sequence[str]) -> Arrays:
    """Arrays by input; text as NumPy has it."""
    values = map(np.asarray, [x[name] for name in names] if isinstance(x, dict) else keras.tree.flatten(x))
    texts = [np.char.decode(v.astype(bytes), "utf-8") if v.dtype == object else v for v in values]
    return dict(zip(names, texts, strict=True))


def _joined(batches: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def export(asked: Exportable, names: Collection[str], to: Path) -> list[list[str]]:
    """Write a folder for each format, and keep it where its own predict.py answers as Keras does; print a table.

    Args:
        asked: the model and its examples.
        names: of `FILES`, or `INT8`.
        to: the folder that gets one for each.

    Returns:
        A row for Keras and for each format, as `HEAD` has it.

    Raises:
        RunStopped: something was not kept; says why.
    """
    rows, failed = [["Keras", "", "", asked.accuracy(asked.expected), ""]], []
    for name in names:
        print(f"export         {name}, asked {len(next(iter(asked.x.values()))):,} examples", flush=True)
        try:
            with files.new_folder(to / name) as folder:
                with start.quietly("XNNPACK delegate"), warnings.catch_warnings(action="ignore"):  # of converters
                    size = write(name, asked, folder)
                    answers = ask(folder, asked.x, 1 if name.startswith("litert") else BATCH)
                difference = _difference(asked.expected, answers)
                if name != INT8 and not difference <= TOLERANCE:
                    raise ValueError(f"differs from Keras by {difference:.2g}; {TOLERANCE:g} is allowed")
            rows.append([name, f"{size:,}", f"{difference:.1e}", asked.accuracy(answers), short(to / name)])
        except (KeyboardInterrupt, MemoryError, OSError, UserError):
            raise
        except Exception as error:  # converters and runtimes raise anything
            failed.append(f"{name}: {sentence(error)}")
    print_table(HEAD, rows, right=HEAD[1:4])
    if failed:
        raise RunStopped(f"Not exported, and nothing left of it: {' '.join(failed)}")
    return rows


def write(name: str, asked: Exportable, folder: Path) -> int:
    """Write the model's file, what is to be known of it, and a program that asks it. Returns the model's bytes."""
    kind, model = "litert" if name == INT8 else name, asked.model
    if kind == "keras":
        model.save(folder / FILES[kind])
    elif kind == "litert":
        _write_litert(asked, folder / FILES[kind], name == INT8)
    else:
        form = "tf_saved_model" if kind == "saved_model" else kind
        model.export(str(folder / FILES[kind]), format=form, verbose=False)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    source = inspect.getsource(decode)
    reader = "\n".join(source.splitlines()[ast.parse(source).body[0].end_lineno :]).strip()  # all but its docstring
    needs, runtime, opened, *calls = PROGRAMS[kind]
    outputs, inputs = list(asked.expected), list(asked.x)
    program = templates.render(
        "predict.py",
        "keraskit.tools.export",
        **{"about": asked.about, "needs": needs, "runtime": runtime, "model": opened, "reader": reader},
        **{"inputs": inputs, "outputs": outputs, "examples": 1 if kind == "litert" else "n"},
        call=calls[len(outputs) > 1].format(x="x" if len(inputs) > 1 else f'x["{inputs[0]}"]'),
    )
    files.write_text(folder / "model.json", json.dumps(asked.about, indent=2, ensure_ascii=False) + "\n")
    files.write_text(folder / "predict.py", f"{program}\n")
    return size


def _write_litert(asked: Exportable, path: Path, int8: bool) -> None:
    """Write a model for one example: recurrent layers then need no operations beyond LiteRT's own."""
    shapes = {name: (1, *x.shape[1:]) for name, x in asked.x.items()}
    specs = {name: keras.InputSpec(str(asked.x[name].dtype), shape, name=name) for name, shape in shapes.items()}
    knobs: dict[str, Any] = {}
    if int8:
        recurrent = keras.layers.RNN | keras.layers.Bidirectional
        if any(isinstance(layer, recurrent) for layer in asked.model._flatten_layers()):
            # TensorFlow 2.21 ends the whole process there, by a segmentation fault.
            raise ValueError("TensorFlow's quantisation breaks down at recurrent layers")

        def representative() -> Iterator[Any]:
            for i in range(len(next(iter(asked.training.values())))):
                example = {name: x[i : i + 1] for name, x in asked.training.items()}
                yield example if len(example) > 1 else list(example.values())

        knobs = {"optimizations": [tf.lite.Optimize.DEFAULT], "representative_dataset": representative}
    asked.model.export(str(path), format="litert", input_signature=[_alone(specs)], verbose=False, **knobs)


def ask(folder: Path, x: Arrays, batch: int) -> Arrays:
    """Run an export's own predict.py on examples by input; return its answers by output."""
    answer, size = runpy.run_path(str(folder / "predict.py"))["answer"], len(next(iter(x.values())))
    starts = range(0, size, batch)
    return _joined([answer({name: values[i : i + batch] for name, values in x.items()}) for i in starts])


def _difference(expected: Arrays, answers: Arrays) -> float:
    """Largest difference, relative to values above 1. Raises ValueError where shapes differ."""
    most = 0.0
    for name, values in expected.items():
        if answers[name].shape != values.shape:
            raise ValueError(f"its {name} has shape {answers[name].shape}, Keras's {values.shape}")
        off = np.abs(answers[name].astype(np.float64) - values).max() / max(1.0, float(np.abs(values).max()))
        most = max(most, float(off)) if np.isfinite(off) else np.inf
    return most
