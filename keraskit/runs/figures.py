"""Draw sheets of captioned pictures, pack them for the report, and write the model's summary and graph."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from keraskit import files
from keraskit.datasets.array_files import read_arrays, reading
from keraskit.datasets.splits import Split, Splits
from keraskit.errors import UserError, counted
from keraskit.models import graph
from keraskit.recipe import Recipe
from keraskit.runs.folder import RunFolder
from keraskit.runs.plots import Sheet
from keraskit.runs.predictions import SplitPredictions

SHOWN = 32
PICTURES = "pictures.npz"  # of a run; tools add NAME.pictures.npz; the report shows them all
SMALL, LARGEST = 64, 160  # pixels per side: pictures up to SMALL are stored unchanged, most larger ones as thumbnails
TYPES = {"*/captions": "U1", "*/title": "U1", "*": "u1"}  # for `read_arrays`; pictures are bytes of PNG and JPEG
WHOLE = 8  # mistakes, and correct predictions, stored in full size for `explain`


def judged(split: Split, classes: Sequence[str], probabilities: np.ndarray) -> dict[str, Sheet]:
    """Return sheets of the most confident mistakes and the first correct predictions; empty without pictures."""
    if split.inputs is None or split.labels is None:
        return {}
    predicted = probabilities.argmax(axis=1)
    right, wrong = np.flatnonzero(predicted == split.labels)[:WHOLE], np.flatnonzero(predicted != split.labels)
    worst = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:SHOWN]
    captions = []
    for i in worst:
        file = f"\n{Path(split.names[i]).name}" if split.names is not None else ""
        line = f"predicted {classes[predicted[i]]}, {probabilities[i, predicted[i]]:.2f}"
        captions.append(f"true {classes[split.labels[i]]}\n{line}{file}")
    title = f"{len(worst)} of {counted(len(wrong), 'mistake')} on {split.size:,} test examples, most confident first"
    return {
        "mistakes": Sheet(split.pictures(worst), captions, title),
        "right": Sheet(split.pictures(right), [classes[split.labels[i]] for i in right], "Right predictions"),
    }


def samples(recipe: Recipe, splits: Splits, test: SplitPredictions) -> dict[str, Sheet]:
    """Return a sheet of training pictures, or the recipe's own figure of the first test examples."""
    if recipe.figure:
        first = ({name: a[: SHOWN // 2] for name, a in arrays.items()} for arrays in (test.targets, test.predictions))
        figure = recipe.figure(splits.classes, *(arrays.get("", arrays) for arrays in first))
        return {"samples": Sheet(*figure, "Test examples")}
    if not splits.train.inputs:
        return {}
    chosen, labels = np.arange(min(SHOWN, splits.train.size)), splits.train.labels
    captions = [""] * len(chosen) if labels is None else [splits.classes[label] for label in labels[chosen]]
    return {"samples": Sheet(splits.train.pictures(chosen), captions, "Examples of the training split")}


def augmented(train: Split, seed: int) -> dict[str, Sheet]:
    """Return a sheet of training pictures, each beside the same picture as augmented in the first epoch."""
    if not train.augmentation or not train.augmentation.is_random or train.inputs is None:
        return {}
    chosen = np.arange(min(8, train.size))
    seen = train.augmentation.transform(train.pictures(chosen), (seed, 0)).numpy().clip(0, 255).round().astype(np.uint8)
    pairs = [each for pair in zip(train.pictures(chosen), seen, strict=True) for each in pair]
    captions = ["as it is", "as it was seen"] * len(chosen)
    return {"augmented": Sheet(pairs, captions, "Training pictures in the first epoch")}


def pack(folder: RunFolder, sheets: Mapping[str, Sheet], file: str = PICTURES) -> None:
    """Encode the pictures of all sheets and write them to one file; `file` must end in `PICTURES`."""
    arrays: dict[str, Any] = {}
    for name, sheet in sheets.items():
        arrays[f"{name}/captions"] = np.array(sheet.captions, dtype=str)
        arrays[f"{name}/title"] = np.array([sheet.title])
        for i, picture in enumerate(sheet.pictures):
            largest = 0 if name in ("mistakes", "right") and i < WHOLE else LARGEST
            arrays[f"{name}/{i}"] = np.frombuffer(encoded(np.asarray(picture), largest), np.uint8)
    with folder.atomic(file) as path, path.open("wb") as opened:
        np.savez(opened, **arrays)


def read(folder: RunFolder) -> dict[str, Sheet]:
    """Read all sheets of a folder by name, pictures encoded. Raises UserError if a file is damaged."""
    sheets = {}
    for place in sorted(folder.path.glob(f"*{PICTURES}"), key=lambda path: path.name != PICTURES):
        path = folder.file(place.name, files.MOST_BYTES)
        arrays = read_arrays(path, TYPES, files.MOST_UNPACKED)
        with reading(path):
            for name in dict.fromkeys(each.partition("/")[0] for each in arrays):
                captions, title = arrays[f"{name}/captions"].tolist(), arrays[f"{name}/title"].item(0)
                pictures = [arrays[f"{name}/{i}"].tobytes() for i in range(len(captions))]
                sheets[name] = Sheet(pictures, captions, title)
    return sheets


def encoded(picture: np.ndarray, largest: int) -> bytes:
    """Encode as PNG if small or `largest` is 0, else as JPEG with at most `largest` pixels per side."""
    image, file = Image.fromarray(picture.squeeze(-1) if picture.shape[2:] == (1,) else picture), io.BytesIO()
    if not largest or max(image.size) <= SMALL:
        image.save(file, "PNG", optimize=True)
    else:
        image.thumbnail((largest, largest))
        image.save(file, "JPEG", quality=88)
    return file.getvalue()


def draw_model(folder: RunFolder, model: keras.Model) -> None:
    """Write summary.txt and the graph of layers."""
    folder.write_text("summary.txt", graph.summary(model))
    try:
        graph.draw(model, folder.path / "architecture.svg", folder.path / "architecture.png", blocks=True)
    except UserError as error:  # no layout program, or a model it cannot draw
        print(f"no graph       {error}")
