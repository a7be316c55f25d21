"""The pictures of a finished run, as sheets to look at and one by one for its page; its model's summary and graph."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from PIL import Image

from keraskit.datasets.array_files import reading
from keraskit.datasets.splits import Split, Splits
from keraskit.errors import UserError
from keraskit.models import graph
from keraskit.recipe import Recipe
from keraskit.runs import plots
from keraskit.runs.folder import RunFolder
from keraskit.runs.predictions import SplitPredictions

SHOWN = 32
PICTURES, EXPLAINED = "pictures.npz", "explained.npz"
SMALL, LARGEST = 64, 160  # pixels of a side up to which a picture is kept as it is, and in the page's pictures
WHOLE = 8  # mistakes, and right answers, that are kept as the model saw them, so that they can be explained


@dataclasses.dataclass(frozen=True)
class Sheet:
    """Pictures that belong together.

    Args:
        pictures: uint8, each of shape (height, width), (height, width, 1) or (height, width, 3); or encoded, in bytes.
        captions: one for each; may have several lines.
        title: above all.
        columns: pictures in a row.
    """

    pictures: Any
    captions: list[str]
    title: str
    columns: int = 8


def mistakes(split: Split, classes: Sequence[str], probabilities: np.ndarray) -> Sheet | None:
    """The wrong answers, the most confident first; None where the examples are no pictures.

    Args:
        split: with labels.
        classes: their names.
        probabilities: of the split, shape (examples, classes).
    """
    truth, predicted = split.labels, probabilities.argmax(axis=1)
    if split.pictures is None or truth is None:
        return None
    worst = worst_of(truth, probabilities)
    captions = [
        f"true {classes[truth[i]]}\npredicted {classes[predicted[i]]}, {probabilities[i, predicted[i]]:.2f}"
        for i in worst[:SHOWN]
    ]
    title = f"The most confident of {len(worst):,} mistakes on {len(truth):,} test examples"
    return Sheet(split.pictures(worst[:SHOWN]), captions, title)


def right(split: Split, classes: Sequence[str], probabilities: np.ndarray) -> Sheet | None:
    """The first right answers, to be explained beside mistakes."""
    if split.pictures is None or split.labels is None:
        return None
    chosen = np.flatnonzero(probabilities.argmax(axis=1) == split.labels)[: SHOWN // 4]
    return Sheet(split.pictures(chosen), [classes[split.labels[i]] for i in chosen], "Right answers")


def worst_of(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Indices of the wrong answers, the most confident first."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    return wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")]


def samples(recipe: Recipe, splits: Splits, test: SplitPredictions) -> Sheet | None:
    """What the model was shown; or, where the recipe says so, targets and predictions of the first test examples."""
    if recipe.figure:
        first = ({name: array[: SHOWN // 2] for name, array in of.items()} for of in (test.targets, test.predictions))
        pictures, captions = recipe.figure(splits.classes, *(of.get("", of) for of in first))
        return Sheet(pictures, captions, "Test examples")
    if not splits.train.pictures:
        return None
    chosen = np.arange(min(SHOWN, splits.train.size))
    labels = splits.train.labels
    captions = [""] * len(chosen) if labels is None else [splits.classes[label] for label in labels[chosen]]
    return Sheet(splits.train.pictures(chosen), captions, "Examples of the training split")


def augmented(train: Split, seed: int) -> Sheet | None:
    """Training pictures, each as it is and below as the model saw it in the first epoch."""
    if not train.augmentation or not train.augmentation.is_random or train.pictures is None:
        return None
    columns = min(8, train.size)
    rows: list[np.ndarray] = []
    captions: list[str] = []
    for start in range(0, min(SHOWN // 2, train.size), columns):
        chosen = np.arange(start, min(start + columns, train.size))
        seen = np.clip(train.augmented(chosen, (seed, 0)).round(), 0, 255).astype(np.uint8)
        rows += [*train.pictures(chosen), *seen]
        captions += ["as it is"] * len(chosen) + ["as it was seen"] * len(chosen)
    return Sheet(rows, captions, "Training pictures in the first epoch", columns)


def draw(folder: RunFolder, sheets: dict[str, Sheet | None]) -> None:
    """Write each sheet as NAME.png, and all their pictures into one file for the page; `right` stands there alone."""
    known = {name: sheet for name, sheet in sheets.items() if sheet is not None}
    for name, sheet in known.items():
        if name != "right":
            with folder.atomic(f"{name}.png") as path:
                plots.sheet(sheet.pictures, sheet.captions, path, sheet.title, sheet.columns)
    pack(folder, PICTURES, known)


def pack(folder: RunFolder, file: str, sheets: dict[str, Sheet]) -> None:
    """Write the pictures of sheets one by one, encoded, into one file."""
    arrays: dict[str, Any] = {}
    for name, sheet in sheets.items():
        arrays[f"{name}/captions"] = np.array(sheet.captions, dtype=str)
        arrays[f"{name}/title"] = np.array([sheet.title, str(sheet.columns)])
        for i, picture in enumerate(sheet.pictures):
            whole = name in ("mistakes", "right") and i < WHOLE
            arrays[f"{name}/{i}"] = np.frombuffer(_encoded(np.asarray(picture), whole), np.uint8)
    with folder.atomic(file) as path, path.open("wb") as opened:
        np.savez(opened, **arrays)


def read(folder: RunFolder, file: str = PICTURES) -> dict[str, Sheet]:
    """The sheets that `pack` wrote, each picture encoded. Raises UserError where the file is damaged."""
    try:
        data = io.BytesIO(folder.read_bytes(file))
    except FileNotFoundError:
        return {}
    sheets = {}
    with reading(folder.path / file, ".npz"), np.load(data, allow_pickle=False) as found:
        arrays = {name: found[name] for name in found.files}
        for name in dict.fromkeys(each.partition("/")[0] for each in arrays):
            captions, (title, columns) = arrays[f"{name}/captions"].tolist(), arrays[f"{name}/title"].tolist()
            pictures = [arrays[f"{name}/{i}"].tobytes() for i in range(len(captions))]
            sheets[name] = Sheet(pictures, captions, title, int(columns))
    return sheets


def _encoded(picture: np.ndarray, whole: bool) -> bytes:
    """A PNG of a small picture, or of a whole one; a JPEG of a larger one, made small enough for a page."""
    image, file = Image.fromarray(picture.squeeze(-1) if picture.shape[2:] == (1,) else picture), io.BytesIO()
    if whole or max(image.size) <= SMALL:
        image.save(file, "PNG", optimize=True)
    else:
        image.thumbnail((LARGEST, LARGEST))
        image.save(file, "JPEG", quality=88)
    return file.getvalue()


def draw_model(folder: RunFolder, model: keras.Model, summary: str) -> None:
    """summary.txt and the graph."""
    folder.write_text("summary.txt", summary)
    try:
        with folder.atomic("architecture.svg") as svg, folder.atomic("architecture.png") as png:
            graph.draw(model, svg, png)
    except UserError as error:  # a run is worth keeping without this picture
        print(f"no graph       {error}")
