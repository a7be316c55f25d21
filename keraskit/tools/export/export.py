"""`keraskit export`: convert a run's model for other runtimes, and keep it if they predict as Keras does."""

import dataclasses
import importlib.util
import inspect
import json
import runpy
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import keras
import numpy as np

from keraskit import files, start
from keraskit.datasets.images import decode
from keraskit.datasets.splits import Split
from keraskit.errors import RunStopped, UserError, sentence, short
from keraskit.runs import metrics, report
from keraskit.system import extra

TOLERANCE = 1e-4  # for probabilities, and for other values relative to the largest; rounding gives about 1e-6
BATCH = 64
FILES = {"saved_model": "model", "onnx": "model.onnx", "litert": "model.tflite", "keras": "model.keras"}
MODULES = {"onnx": ("onnx", "tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}  # besides TensorFlow
Arrays = dict[str, np.ndarray]


def chosen(formats: Sequence[str]) -> list[str]:
    """Return the requested formats, or all. Raises UserError if a package is missing."""
    wanted = list(dict.fromkeys(formats)) or list(FILES)
    needed = {module for name in wanted for module in MODULES.get(name, ())}
    if missing := [module for module in sorted(needed) if importlib.util.find_spec(module) is None]:
        advice = f"{extra('export')} brings it; --format keras saved_model does without."
        raise UserError(f"--format {' '.join(wanted)} needs {', '.join(missing)}.", advice)
    return wanted


class Exportable(NamedTuple):
    """A model with named inputs and outputs, and the examples to check its exports on."""

    model: keras.Model  # maps `x` to `expected`
    about: dict[str, Any]  # what predict.py must know
    x: Arrays  # uint8 pictures, or inputs of the run's model
    expected: Arrays  # probabilities of all classes, or values


def exportable(model: keras.Model, facts: dict[str, Any], test: Split) -> Exportable:
    """Wrap a run's best model in preprocessing and probabilities, and predict the test examples."""
    names = model.output_names if len(model.outputs) > 1 else ["output"]
    expected = _named(model.predict(test.in_order(BATCH), verbose=0), *names)
    model.compiled = False  # else its loss, which may be a custom one, is saved
    class_output, activation = facts.get("class_output") or next(iter(expected)), facts.get("class_activation")
    about = {"name": facts["recipe"], "classes": facts.get("classes") or [], "class_output": class_output}
    today = json.loads(json.dumps(test.inputs and dataclasses.asdict(test.inputs)))
    then = facts.get("inputs", today)
    if (then and {"crop": False} | then | {"bits": None}) != (today and today | {"bits": None}):
        raise UserError("The recipe prepares pictures otherwise than in this run.", "Undo that edit.")
    if test.inputs:
        about["input"] = {name: getattr(test.inputs, name) for name in ("size", "channels", "bits", "crop")}
        x = {"picture": test.pictures(np.arange(test.size))}
        inputs = {"picture": keras.Input(x["picture"].shape[1:], dtype="uint8", name="picture")}
        called = test.inputs.preprocess(inputs["picture"], test.augmentation)
    else:
        inputs = {tensor.name: tensor for tensor in model.inputs}
        called = model.inputs[0] if isinstance(model, keras.Sequential) else model.input  # a dict or list of several
        taken = _named(test.take(np.arange(test.size))[0], *inputs)
        numbers = {name: tensor.dtype for name, tensor in inputs.items() if tensor.dtype != "string"}
        x = {name: values.astype(numbers.get(name, values.dtype)) for name, values in taken.items()}
    outputs = _named(model(called, training=False), *names)  # Keras would trace RandomFlip and the like as training
    if about["classes"] or (activation and len(outputs) == 1):  # or several labels
        p = outputs[class_output]
        p = keras.layers.Activation(activation, name="class_probabilities")(p) if activation else p
        p = p if p.shape[1] > 1 or not about["classes"] else keras.layers.Concatenate(name="both_classes")([1 - p, p])
        outputs = {**outputs, class_output: p}
        known = metrics.probabilities(expected[class_output], activation)
        expected = {**expected, class_output: known[:, -p.shape[1] :]}
    right = (expected[class_output].argmax(axis=1) == test.labels).mean() if about["classes"] else 0
    print(f"Keras          asked {test.size:,} examples{f', test accuracy {right:.4f}' if about['classes'] else ''}")
    about["outputs"] = list(expected)
    with warnings.catch_warnings(action="ignore"):  # of a tensor and a layer with different names
        exported = keras.Model(inputs, outputs, name=model.name)
    exported.predict_on_batch({name: values[:1] for name, values in x.items()})  # Keras requires one call
    return Exportable(exported, about, x, expected)


def _named(values: Any, *names: str) -> dict[str, Any]:
    """Return values by name: a dict unchanged; values are numbered unless each has its own name."""
    if isinstance(values, dict):
        return values
    flat = keras.tree.flatten(values)
    numbered = names if len(set(names)) == len(flat) else [f"{names[0]}_{i}" for i in range(len(flat))]
    return dict(zip(numbered, flat, strict=True))


def export(case: Exportable, names: Collection[str], to: Path) -> None:
    """Write a folder in `to` for each format; raise RunStopped if its predict.py does not predict as Keras does."""
    for name in names:
        try:
            with files.new_folder(to / name) as folder:
                with start.quietly("XNNPACK delegate"), warnings.catch_warnings(action="ignore"):  # of converters
                    size = write(name, case, folder)
                    with mock.patch.dict(keras.saving.get_custom_objects(), clear=True):  # those of a recipe's file
                        predicted = ask(folder, case.x, 1 if name == "litert" else BATCH)
                far = [np.abs(predicted[n] - 1.0 * v).max() / max(1, np.abs(v).max()) for n, v in case.expected.items()]
                if not np.max(far) <= TOLERANCE:
                    raise ValueError(f"it differs from Keras by {np.max(far):.2g}; {TOLERANCE:g} is allowed")
        except (MemoryError, OSError, UserError):
            raise
        except Exception as error:  # converters and runtimes raise anything
            problem, rest = f"{name} is not exported: {sentence(error)}", " ".join([*names][[*names].index(name) + 1 :])
            raise RunStopped(problem, f"`--format {rest}` makes the others." if rest else "Nothing is left.") from error
        result = f"{size:,} bytes, largest difference {np.max(far):.1e}"
        print(f"{name:14} {result}: {short(to / name)}", flush=True)


def write(name: str, case: Exportable, folder: Path) -> int:
    """Write the model's file, model.json and predict.py. Returns the size of the model in bytes."""
    path = folder / FILES[name]
    if name == "keras":
        case.model.save(path)
    else:
        how: dict[str, Any] = {"format": "tf_saved_model" if name == "saved_model" else name}
        if name == "litert":  # of one example: recurrent layers then need only LiteRT's own operations
            specs = {n: keras.InputSpec(str(x.dtype), (1, *x.shape[1:]), name=n) for n, x in case.x.items()}
            how["input_signature"] = [specs]
        case.model.export(str(path), verbose=False, **how)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    dtypes = {n: None if x.dtype.kind in "OSU" else str(x.dtype) for n, x in case.x.items()}
    values: dict[str, Any] = {"runtime": name, "about": case.about, "inputs": dtypes}
    program = report.render("tools/export/predict.py", reader=inspect.getsource(decode), **values)
    files.write_text(folder / "model.json", json.dumps(case.about, indent=2, ensure_ascii=False) + "\n")
    files.write_text(folder / "predict.py", f"{program}\n")
    return size


def ask(folder: Path, x: Arrays, batch: int) -> Arrays:
    """Run an export's predict.py on examples by input; return predictions by output."""
    starts, answer = range(0, len(next(iter(x.values()))), batch), runpy.run_path(str(folder / "predict.py"))["answer"]
    predicted = [answer({name: values[i : i + batch] for name, values in x.items()}) for i in starts]
    return {name: np.concatenate([each[name] for each in predicted]) for name in predicted[0]}
