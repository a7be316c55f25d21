"""`keraskit export`: a finished run's model for other runtimes, each of which answers before its file is kept."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import ExifTags, Image

from keraskit.augment import Augmentation
from keraskit.datasets.images import decode
from keraskit.datasets.preprocessing import Inputs
from keraskit.datasets.splits import Split
from keraskit.errors import RunStopped, UserError, sentence
from keraskit.files import replaced_folder
from keraskit.runs import metrics
from keraskit.text import short
from keraskit.tools.export import formats
from keraskit.tools.export.formats import INT8, Answers, Arrays
from keraskit.tools.export.raw_input import as_probabilities, with_raw_input

HEAD = ["format", "bytes", "largest difference", "test accuracy", "ms an example", "folder"]
TOLERANCE = 1e-4  # of probabilities, and of other values relative to the largest; rounding alone makes some 1e-6
REPRESENTATIVE = 256  # training examples from which int8 takes its ranges
BATCH = 64


@dataclasses.dataclass(frozen=True)
class Exportable:
    """A model and the examples that it is proven on.

    Args:
        model: takes uint8 pictures, or what the run's model takes, and gives probabilities of all classes; several
            inputs, and several outputs, by name.
        about: what `predict.py` must know: name, classes, size and mode of pictures, the output that names the class.
        x: test examples by input, each of shape (n, ...).
        expected: what Keras answers to them, by output.
        labels: the class of each; None without classes.
        training: examples of the training split, by input, for int8's ranges.
        files: the bytes of picture files, and what the run reads them as; none where it learned from no pictures.
    """

    model: keras.Model
    about: dict[str, Any]
    x: Arrays
    expected: Arrays
    labels: np.ndarray | None
    training: Arrays
    files: Sequence[tuple[bytes, np.ndarray]] = ()

    def right(self, answers: Arrays) -> np.ndarray | None:
        """Which answers name the right class; None without classes."""
        if self.labels is None:
            return None
        answer = answers[self.about["class_output"]]
        return answer.argmax(axis=1) == self.labels


@dataclasses.dataclass(frozen=True)
class Exported:
    """An export that was kept: what its runtime answered, and how far that is from Keras."""

    format: str
    folder: Path
    bytes: int
    answers: Arrays
    difference: float
    milliseconds: float


def exportable(
    model: keras.Model, facts: dict[str, Any], test: Split, train: Split, raw_input: bool | None
) -> Exportable:
    """The model of a run with test examples, and what Keras answers to them.

    Args:
        model: the run's best, float32.
        facts: its manifest.
        test: the examples that every runtime is asked.
        train: gives int8 its ranges.
        raw_input: whether preprocessing is inside; None: for pictures.

    Raises:
        UserError: `raw_input` is asked for where there are no pictures.
    """
    pictures = bool(test.inputs and test.pictures and train.pictures)
    if raw_input and not pictures:
        raise UserError(f"{facts['recipe']} learned from no pictures, so none can go in.", "Leave --raw-input out.")
    fed = [x for x, *_ in test.in_order(BATCH)]
    expected = _joined([_by_name(model.predict_on_batch(x)) for x in fed])
    chosen = np.random.default_rng(0).permutation(train.size)[:REPRESENTATIVE]
    about = {
        "name": facts["recipe"],
        "classes": facts.get("classes") or [],
        "class_output": facts.get("class_output") or next(iter(expected)),
    }
    files: Sequence[tuple[bytes, np.ndarray]] = ()
    if pictures and raw_input is not False:
        assert test.inputs and test.pictures and train.pictures
        files = _files(test.pictures(np.arange(1))[0], test.inputs)
        about["input"] = {name: getattr(test.inputs, name) for name in ("size", "channels", "bits")}
        model = with_raw_input(model, test.inputs, test.augmentation or Augmentation())
        x, training = {"picture": test.pictures(np.arange(test.size))}, {"picture": train.pictures(chosen)}
    else:
        names = [tensor.name for tensor in model.inputs]
        x = _joined([_by_input(each, names) for each in fed])
        training = _by_input(train.take(chosen)[0], names)
    gives = _by_name(model.outputs[0] if len(model.outputs) == 1 else model.output)
    if about["classes"]:
        known, activation = about["class_output"], facts.get("class_activation")
        gives = {**gives, known: as_probabilities(gives[known], activation)}
        expected[known] = metrics.probabilities(expected[known], activation)
    takes = {tensor.name: tensor for tensor in model.inputs}
    exported = keras.Model(_alone(takes), _alone(gives), name=model.name)
    exported.predict_on_batch(_alone({name: values[:1] for name, values in x.items()}))  # Keras asks for one call
    return Exportable(exported, about, x, expected, test.labels, training, files)


def _files(picture: np.ndarray, inputs: Inputs) -> list[tuple[bytes, np.ndarray]]:
    """Files of a picture of every kind that a reader can get wrong, and what training makes of each."""
    image, exif = Image.fromarray(picture), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned
    clear, deep = image.convert("RGBA"), np.asarray(image.convert("L"), np.uint16) << (inputs.bits - 8)
    clear.putalpha(image.convert("L"))
    kinds: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (image, "PNG", {}),
        (clear, "PNG", {}),
        (clear.quantize(), "GIF", {"transparency": 0}),
        (Image.fromarray(deep), "PNG", {}),
        (image, "JPEG", {"exif": exif}),
    ]
    found = []
    for each, form, words in kinds:
        file = io.BytesIO()
        each.save(file, form, **words)
        read = decode.read(file.getvalue(), bits=inputs.bits)
        found.append((file.getvalue(), decode.pixels(read, inputs.size, inputs.channels)))
    return found


def _by_name(outputs: Any) -> dict[str, Any]:
    """A model's outputs by name; the only one is called output."""
    if isinstance(outputs, dict):
        return outputs
    values = keras.tree.flatten(outputs)
    return {f"output_{i}" if len(values) > 1 else "output": value for i, value in enumerate(values)}


def _alone(by_name: dict[str, Any]) -> Any:
    """Several by name, the only one by itself, as Keras takes them."""
    return by_name if len(by_name) > 1 else next(iter(by_name.values()))


def _by_input(x: Any, names: Sequence[str]) -> Arrays:
    values = [x[name] for name in names] if isinstance(x, dict) else keras.tree.flatten(x)
    return {name: _plain(np.asarray(value)) for name, value in zip(names, values, strict=True)}


def _plain(array: np.ndarray) -> np.ndarray:
    """TensorFlow's text as NumPy's, which files can hold."""
    return np.char.decode(array.astype(bytes), "utf-8") if array.dtype == object else array


def _joined(batches: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def export(asked: Exportable, names: Sequence[str], to: Path) -> tuple[list[Exported], list[str]]:
    """Write a folder for each format, and keep it where its runtime answers as Keras does.

    Args:
        asked: the model and its examples.
        names: of `formats.FILES`, or `INT8`.
        to: the folder that gets one for each.

    Returns:
        What was kept, and a sentence for each that was not.
    """
    kept, failed = [], []
    for name in names:
        print(f"export         {name}, asked {len(next(iter(asked.x.values()))):,} examples", flush=True)
        try:
            with replaced_folder(to / name) as folder:
                size = formats.write(name, asked.model, asked.training, asked.about, folder)
                batch = 1 if name.startswith("litert") else BATCH
                found: Answers = formats.ask(name, folder, asked.x, batch, [data for data, _ in asked.files])
                if not all(map(np.array_equal, found.read, [read for _, read in asked.files])):
                    raise ValueError("its predict.py reads picture files otherwise than the run")
                difference = _difference(asked.expected, found.answers)
                if name != INT8 and not difference <= TOLERANCE:
                    raise ValueError(f"differs from Keras by {difference:.2g}; {TOLERANCE:g} is allowed")
            kept.append(Exported(name, to / name, size, found.answers, difference, found.milliseconds))
        except (KeyboardInterrupt, MemoryError, OSError, UserError):
            raise
        except Exception as error:  # converters and runtimes raise anything
            failed.append(f"{name}: {sentence(error)}")
    return kept, failed


def _difference(expected: Arrays, answers: Arrays) -> float:
    """The largest, relative to values above 1. Raises ValueError where shapes differ."""
    most = 0.0
    for name, values in expected.items():
        if answers[name].shape != values.shape:
            raise ValueError(f"its {name} has shape {answers[name].shape}, Keras's {values.shape}")
        off = np.abs(answers[name].astype(np.float64) - values).max() / max(1.0, float(np.abs(values).max()))
        most = max(most, float(off)) if np.isfinite(off) else np.inf
    return most


def table(asked: Exportable, kept: Collection[Exported]) -> list[list[str]]:
    """A row for Keras and for each format."""
    rows = [["Keras", "", "", _accuracy(asked, asked.expected), "", ""]]
    for each in kept:
        figures = f"{each.bytes:,}", f"{each.difference:.1e}", _accuracy(asked, each.answers)
        rows.append([each.format, *figures, f"{each.milliseconds:.2f}", short(each.folder)])
    return rows


def _accuracy(asked: Exportable, answers: Arrays) -> str:
    right = asked.right(answers)
    return "" if right is None else f"{right.mean():.4f}"


def quantised(asked: Exportable, kept: Collection[Exported]) -> str:
    """In words, what int8 costs and brings beside LiteRT in float32; empty where one of them is not there."""
    by_name = {each.format: each for each in kept}
    if not {"litert", INT8} <= set(by_name):
        return ""
    small, whole = by_name[INT8], by_name["litert"]
    size, time = small.bytes / whole.bytes, small.milliseconds / whole.milliseconds
    said = f"int8: {size:.2f} of float32's bytes, {time:.2f} of its time"
    one, other = asked.right(small.answers), asked.right(whole.answers)
    if one is None or other is None:
        return f"{said}."
    change, low, high = (100 * value for value in metrics.difference(one, other))
    return f"{said}; accuracy {change:+.2f} points, 95% interval {low:+.2f} to {high:+.2f}, of {len(one):,} examples."


def check(failed: Sequence[str]) -> None:
    """Raise RunStopped where something was not kept."""
    if failed:
        raise RunStopped(f"Not exported, and nothing left of it: {' '.join(failed)}")
