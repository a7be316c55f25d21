"""Sheets of pictures with captions, drawn as PNG and kept one by one for the report; the model's summary and graph."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
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
from keraskit.runs.plots import Sheet
from keraskit.runs.predictions import SplitPredictions

SHOWN = 32
PICTURES = "pictures.npz"  # of a run; tools add NAME.pictures.npz, and the report shows all
SMALL, LARGEST = 64, 160  # pixels of a side up to which a picture is kept as it is, and in the page's pictures
WHOLE = 8  # mistakes, and right predictions, kept in full size for `explain`


def judged(split: Split, classes: Sequence[str], probabilities: np.ndarray) -> dict[str, Sheet]:
    """Sheets of the most confident mistakes and the first right predictions; empty without pictures."""
    if split.inputs is None or split.labels is None:
        return {}
    predicted = probabilities.argmax(axis=1)
    right, wrong = np.flatnonzero(predicted == split.labels)[:WHOLE], np.flatnonzero(predicted != split.labels)
    worst = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:SHOWN]
    captions = []
    for i in worst:
        file = f"\n{Path(split.names[i]).name[-20:]}" if split.names is not None else ""
        said = f"predicted {classes[predicted[i]]}, {probabilities[i, predicted[i]]:.2f}"
        captions.append(f"true {classes[split.labels[i]]}\n{said}{file}")
    title = f"The most confident of {len(wrong):,} mistakes on {split.size:,} test examples"
    return {
        "mistakes": Sheet(split.pictures(worst), captions, title),
        "right": Sheet(split.pictures(right), [classes[split.labels[i]] for i in right], "Right predictions"),
    }


def samples(recipe: Recipe, splits: Splits, test: SplitPredictions) -> dict[str, Sheet]:
    """Training pictures; or, where the recipe has a figure, targets and predictions of the first test examples."""
    if recipe.figure:
        first = ({name: array[: SHOWN // 2] for name, array in of.items()} for of in (test.targets, test.predictions))
        figure = recipe.figure(splits.classes, *(of.get("", of) for of in first))
        return {"samples": Sheet(*figure, "Test examples")}
    if not splits.train.inputs:
        return {}
    chosen = np.arange(min(SHOWN, splits.train.size))
    labels = splits.train.labels
    captions = [""] * len(chosen) if labels is None else [splits.classes[label] for label in labels[chosen]]
    return {"samples": Sheet(splits.train.pictures(chosen), captions, "Examples of the training split")}


def augmented(train: Split, seed: int) -> dict[str, Sheet]:
    """Training pictures, and below each what the model saw of it in the first epoch."""
    if not train.augmentation or not train.augmentation.is_random or train.inputs is None:
        return {}
    chosen = np.arange(min(8, train.size))
    seen = np.clip(train.augmented(chosen, (seed, 0)).round(), 0, 255).astype(np.uint8)
    captions = ["as it is"] * len(chosen) + ["as it was seen"] * len(chosen)
    title = "Training pictures in the first epoch"
    return {"augmented": Sheet([*train.pictures(chosen), *seen], captions, title, len(chosen))}


def draw(folder: RunFolder, sheets: Mapping[str, Sheet]) -> None:
    """Write each sheet as NAME.png, and the pictures of all for the report; `right` stands there alone."""
    for name in sheets.keys() - {"right"}:
        with folder.atomic(f"{name}.png") as path:
            plots.save(plots.sheet(sheets[name]), path)
    pack(folder, sheets)


def pack(folder: RunFolder, sheets: Mapping[str, Sheet], file: str = PICTURES) -> None:
    """Write the pictures of sheets one by one, encoded, into one file, whose name ends as `PICTURES`."""
    arrays: dict[str, Any] = {}
    for name, sheet in sheets.items():
        arrays[f"{name}/captions"] = np.array(sheet.captions, dtype=str)
        arrays[f"{name}/title"] = np.array([sheet.title, str(sheet.columns)])
        for i, picture in enumerate(sheet.pictures):
            whole = name in ("mistakes", "right") and i < WHOLE
            arrays[f"{name}/{i}"] = np.frombuffer(_encoded(np.asarray(picture), whole), np.uint8)
    with folder.atomic(file) as path, path.open("wb") as opened:
        np.savez(opened, **arrays)


def read(folder: RunFolder) -> dict[str, Sheet]:
    """All sheets in a folder by name, each picture encoded. Raises UserError where a file is damaged."""
    sheets = {}
    for place in sorted(folder.path.glob(f"*{PICTURES}"), key=lambda path: path.name != PICTURES):
        data = io.BytesIO(folder.read_bytes(place.name))
        with reading(place, ".npz"), np.load(data, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
            for name in dict.fromkeys(each.partition("/")[0] for each in arrays):
                captions, (title, columns) = arrays[f"{name}/captions"].tolist(), arrays[f"{name}/title"].tolist()
                pictures = [arrays[f"{name}/{i}"].tobytes() for i in range(len(captions))]
                sheets[name] = Sheet(pictures, captions, title, int(columns))
    return sheets


def _encoded(picture: np.ndarray, whole: bool) -> bytes:
    """Encode as PNG if small or `whole`, else as a JPEG thumbnail."""
    image, file = Image.fromarray(picture.squeeze(-1) if picture.shape[2:] == (1,) else picture), io.BytesIO()
    if whole or max(image.size) <= SMALL:
        image.save(file, "PNG", optimize=True)
    else:
        image.thumbnail((LARGEST, LARGEST))
        image.save(file, "JPEG", quality=88)
    return file.getvalue()


def draw_model(folder: RunFolder, model: keras.Model, summary: str) -> None:
    """Write summary.txt and the graph of layers."""
    folder.write_text("summary.txt", summary)
    try:
        with folder.atomic("architecture.svg") as svg, folder.atomic("architecture.png") as png:
            graph.draw(model, svg, png)
    except UserError as error:  # no layout program, or a model it cannot draw
        print(f"no graph       {error}")
