"""`keraskit predict`: a finished run's model on picture files, prepared as the run's own were, or on arrays."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from keraskit.augment import Augmentation
from keraskit.augment.statistics import Statistics
from keraskit.datasets.array_files import reading
from keraskit.datasets.images import decode, digit_pictures
from keraskit.datasets.preprocessing import Inputs
from keraskit.datasets.splits import Split
from keraskit.errors import UserError, printable, sentence
from keraskit.files import MOST_OF_ARRAYS, as_csv, regular
from keraskit.runs import manifest, metrics, pictures
from keraskit.runs.folder import MANIFEST, MODEL, STATISTICS, RunFolder
from keraskit.runs.opening import load_model
from keraskit.text import print_table

SHOWN = 10  # examples of arrays that are printed
NEARLY_ALL = 0.95  # of a run's training pictures
UNRECORDED = {"darkest_border": 0.0, "brightest_border": 0.0, "as_mnist": 0.0}  # of runs that do not say
Invert = Literal["auto", "yes", "no"]
Prepare = Literal["auto", "yes", "no"]


def predict(
    run: Path,
    paths: Sequence[Path],
    top: int = 3,
    batch_size: int = pictures.BATCH,
    invert: Invert = "auto",
    prepare: Prepare = "auto",
    recipe: Path | None = None,
) -> Iterator[pictures.Prediction]:
    """A prediction for each file, from the folder of a run alone.

    Args:
        run: its folder, or one of several, of which the newest is taken.
        paths: the files.
        top: how many classes to name.
        batch_size: pictures in one call of the model.
        invert: whether dark and bright are swapped; "auto" asks how the run's grey training pictures were.
        prepare: "auto" cuts digits out, as MNIST's were, for a run on such, where they are not so already; "yes" does
            it always; "no" takes every picture whole.
        recipe: the file of a recipe of the user's own, whose layers the model has.

    Raises:
        UserError: the run has no model, or learned from something else than pictures.
    """
    asked = Predictor.of(run, recipe)
    return pictures.predictions(paths, asked.network(invert, prepare), asked.classes, top, batch_size)


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A finished run that learned from pictures, ready to be asked.

    Args:
        folder: where it lies.
        whole: its best model.
        model: the same, ending in the probabilities of the output that names the class.
        classes: their names.
        inputs: how its pictures were scaled and shaped.
        fed: makes the model's input of a batch of pictures.
        trained: what `digit_pictures.measure` found in its training pictures.
    """

    folder: RunFolder
    whole: keras.Model
    model: keras.Model
    classes: list[str]
    inputs: Inputs
    fed: Callable[[np.ndarray], Any]
    trained: dict[str, float]

    @classmethod
    def of(cls, run: Path, recipe: Path | None = None) -> Predictor:
        """The run in a folder, or the newest of several. Raises UserError as `predict` does."""
        folder = RunFolder.newest(run, unfinished=True)
        facts = manifest.read(folder, "recipe", "classes", "config")
        if not facts.get("inputs"):
            raise UserError(f"{facts['recipe']} learned from no pictures, so it can say nothing of one.")
        try:
            inputs = Inputs.from_json(facts["inputs"])
            whole = load_model(folder, recipe)
            model = model_of(whole, facts, inputs)
            fed = _preparation(folder, facts["config"], inputs)
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise UserError(f"{folder.path}: its {MANIFEST}, {MODEL} and {STATISTICS} do not fit: {error}.") from error
        known = facts.get("training_pictures") or {}
        trained = UNRECORDED if manifest.missing(known, UNRECORDED) else known
        return cls(folder, whole, model, facts["classes"], inputs, fed, trained)

    def network(self, invert: Invert = "auto", prepare: Prepare = "auto") -> pictures.Network:
        """The model, fed with pictures as the run's were; what else is done to one is noted."""
        if prepare == "yes" and (*self.inputs.size, self.inputs.channels) != digit_pictures.SHAPE:
            problem = "--prepare yes cuts digits out for a run on grey pictures of 28x28 pixels, which this is not."
            raise UserError(problem, "Leave it out.")

        def as_the_runs(image: Image.Image) -> tuple[np.ndarray, str]:
            return prepared(image, self.inputs, self.trained, invert, prepare)

        return pictures.Network(as_the_runs, self.fed, self.model, self.inputs.bits)


def predict_arrays(
    run: Path, file: Path, batch_size: int = 32, recipe: Path | None = None
) -> tuple[list[str], np.ndarray]:
    """The model's outputs for each example of a file, probabilities where they are classes, and their names.

    Args:
        run: a run's folder.
        file: an .npy file with the inputs, or an .npz with an array for each input of the model, by its name.
        batch_size: examples in one call of the model.
        recipe: the file of a recipe of the user's own, whose layers the model has.

    Returns:
        The names of the columns, and the predictions, shape (examples, columns).

    Raises:
        UserError: the file cannot be read, or does not fit the model.
    """
    folder = RunFolder.newest(run, unfinished=True)
    facts = manifest.read(folder, "recipe")
    classes, activation = facts.get("classes") or [], facts.get("class_activation")
    x, model = _arrays(file), load_model(folder, recipe)
    try:
        outputs: Any = model.predict(x, batch_size=batch_size, verbose=0)
    except Exception as error:  # Keras raises anything for arrays of another shape
        takes = {tensor.name: tuple(tensor.shape) for tensor in model.inputs}
        raise UserError(f"{file} does not fit the model, which takes {takes}: {sentence(error)}") from error
    named = outputs if isinstance(outputs, dict) else {"": outputs}
    known = facts.get("class_output") or next(iter(named))
    names, columns = [], []
    for name, output in named.items():
        flat = output.reshape(len(output), -1)
        if classes and name == known:
            flat = metrics.probabilities(flat, activation)
        of_classes = flat.shape[1] == len(classes)
        names += [f"{name} {classes[i] if of_classes else i}".strip() for i in range(flat.shape[1])]
        columns.append(flat)
    return names, np.concatenate(columns, axis=1)


def show_arrays(names: list[str], outputs: np.ndarray, to_json: Path | None, to_csv: Path | None) -> None:
    """Print the first rows, and write the files that were asked for."""
    print_table([*map(printable, names)], [[f"{value:.6g}" for value in row] for row in outputs[:SHOWN]], right=names)
    if len(outputs) > SHOWN:
        print(f"and {len(outputs) - SHOWN:,} more")
    rows = outputs.tolist()
    entries = [dict(zip(names, row, strict=True)) for row in rows]
    as_json = partial(json.dumps, entries, indent=2, ensure_ascii=False)
    pictures.write_texts({to_json: lambda: f"{as_json()}\n", to_csv: lambda: as_csv([names, *rows])})


def _arrays(file: Path) -> Any:
    with reading(file, ".npy or .npz"):
        found = np.load(regular(file, most=MOST_OF_ARRAYS), allow_pickle=False)
        arrays = {"": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    fed = {name: tf.constant(array) if array.dtype.kind == "U" else array for name, array in arrays.items()}
    return fed.get("", fed)  # Keras takes no text of NumPy's


def model_of(model: keras.Model, facts: dict[str, Any], inputs: Inputs) -> keras.Model:
    """The run's model, ending in probabilities of the classes. Raises ValueError where run.json says else."""
    if facts.get("class_output"):
        model = keras.Model(model.inputs, model.get_layer(facts["class_output"]).output)
    takes = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    wanted = inputs.shape if isinstance(inputs.shape, dict) else dict.fromkeys(list(takes)[:1], inputs.shape)
    if takes != wanted:
        raise ValueError(f"the model takes {takes}, the run's pictures are {wanted}")
    count = len(facts["classes"])
    if model.output_shape != (None, count) and (model.output_shape, count) != ((None, 1), 2):
        raise ValueError(f"the model gives out {model.output_shape}, and there are {count} classes")
    if activation := facts.get("class_activation"):
        layer = keras.layers.Activation(activation, dtype="float32", name="class_probabilities")
        model = keras.Model(model.inputs, layer(model.outputs[0]))
    return model


def prepared(
    image: Image.Image, inputs: Inputs, trained: dict[str, float], invert: Invert, prepare: Prepare
) -> tuple[np.ndarray, str]:
    """The picture as the run's were, uint8 of their size, and a note of what else was done to it.

    Args:
        image: from `decode.read`.
        inputs: the run's.
        trained: what `digit_pictures.measure` found in its training pictures.
        invert, prepare: as `predict` has them.
    """
    bright_paper = trained["darkest_border"] + trained["brightest_border"] > 255
    paper, ink = ("bright", "dark") if bright_paper else ("dark", "bright")
    notes = []
    wanted = prepare == "auto" and as_mnist(inputs, trained) and not digit_pictures.is_prepared(image)
    if wanted or prepare == "yes":
        dark_ink = None if invert == "auto" else bright_paper == (invert == "no")
        if found := digit_pictures.cut_out(image, dark_ink):
            array, dark_ink = found
            notes = ["digit cut out, scaled to 20x20 and centred"]
            if dark_ink != bright_paper:
                notes.append(f"inverted: {paper} ink, {ink} in training")
            return 255 - array if bright_paper else array, "; ".join(notes)
        shade = {None: "", True: "dark ", False: "bright "}[dark_ink]
        notes = [f"no {shade}ink found, taken whole"]
    array = decode.pixels(image, inputs.size, inputs.channels)
    inverted = invert == "yes"
    if inverted:
        notes.append("inverted")
    elif invert == "auto" and inputs.channels == 1 and _differs(array, trained):
        inverted = True
        known = f"{paper} is assumed of the training pictures'" if trained is UNRECORDED else f"{paper} in training"
        notes.append(f"inverted: {ink} border, {known}")
    if inverted:
        array = decode.pixels(ImageOps.invert(image), inputs.size, inputs.channels)
    return array, "; ".join(notes)


def as_mnist(inputs: Inputs, trained: dict[str, float]) -> bool:
    """Whether a run's pictures are digits prepared as MNIST's."""
    return trained["as_mnist"] >= NEARLY_ALL and (*inputs.size, inputs.channels) == digit_pictures.SHAPE


def _differs(array: np.ndarray, trained: dict[str, float]) -> bool:
    """Whether the border of a grey picture, once inverted, is nearer to those of the training pictures."""

    def distance(brightness: float) -> float:
        return max(trained["darkest_border"] - brightness, brightness - trained["brightest_border"], 0)

    brightness = float(digit_pictures.border(array[None])[0])
    return distance(255 - brightness) < distance(brightness)


def _preparation(folder: RunFolder, config: dict, inputs: Inputs) -> Callable[[np.ndarray], object]:
    """What the run did to a batch of pictures before its model saw them."""
    described = config.get("augment") or {}
    if "preprocessing_function" in described:
        raise UserError("This run used a function of your own on its pictures, which no folder can hold.")
    augmentation = Augmentation.of(described)
    if augmentation.needs_fit:
        augmentation = augmentation.with_statistics(Statistics.load(folder.file(STATISTICS)))
    nothing = np.empty(0, np.int64)
    fed = Split(0, lambda i: (i, i), nothing, lambda i: i, inputs, augmentation=augmentation).fed
    fed(np.zeros((1, *inputs.size, 3)[: 3 + (inputs.channels == 3)], np.uint8))  # statistics of other pictures end here
    return fed
