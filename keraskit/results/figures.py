"""The figures of a finished run, its model's summary and graph, and the confusion counts."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keraskit.datasets.splits import Split, Splits
from keraskit.errors import UserError
from keraskit.models import graph
from keraskit.recipe import Recipe
from keraskit.results import plots
from keraskit.results.guesses import both
from keraskit.results.run_folder import RunFolder

SHOWN = 32


def draw_classes(folder: RunFolder, splits: Splits, predictions: np.ndarray) -> np.ndarray:
    """Write confusion and mistakes. Returns the counts, true class by predicted.

    Args:
        folder: the run's.
        splits: with classes.
        predictions: of the test split, shape (examples, classes), or (examples, 1) for the second of two.
    """
    probabilities = both(predictions)
    test, names = splits.test, splits.classes
    truth, predicted = test.labels, probabilities.argmax(axis=1)
    assert truth is not None
    counts = np.zeros((len(names),) * 2, int)
    np.add.at(counts, (truth, predicted), 1)
    with folder.atomic("confusion.png") as path:
        plots.confusion(counts, names, path)
    if test.pictures:
        wrong = np.flatnonzero(predicted != truth)
        worst = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:SHOWN]
        captions = [
            f"true {names[truth[i]]}\nsaid {names[predicted[i]]}, {probabilities[i, predicted[i]]:.2f}" for i in worst
        ]
        title = f"The most confident of {len(wrong):,} mistakes on {len(truth):,} test examples"
        with folder.atomic("mistakes.png") as path:
            plots.sheet(test.pictures(worst), captions, path, title)
    return counts


def draw_samples(folder: RunFolder, recipe: Recipe, splits: Splits, first: tuple[Any, Any]) -> None:
    """What the model was shown; or, where the recipe says so, targets and predictions of the first test examples."""
    if recipe.figure:
        pictures, captions = recipe.figure(splits.classes, *first)
        title = "Test examples"
    elif splits.train.pictures:
        chosen = np.arange(min(SHOWN, splits.train.size))
        labels = splits.train.labels
        captions = [""] * len(chosen) if labels is None else [splits.classes[label] for label in labels[chosen]]
        pictures, title = splits.train.pictures(chosen), "Examples of the training split"
    else:
        return
    with folder.atomic("samples.png") as path:
        plots.sheet(pictures, captions, path, title)


def draw_augmented(folder: RunFolder, train: Split, seed: int) -> None:
    """Training pictures, each as it is and below as the model saw it in the first epoch."""
    if not train.augmentation.is_random or train.pictures is None:
        return
    columns = min(8, train.size)
    before, after = [], []
    for start in range(0, min(SHOWN // 2, train.size), columns):
        chosen = np.arange(start, min(start + columns, train.size))
        before.append(train.pictures(chosen))
        after.append(np.clip(train.augmented(chosen, (seed, 0)).round(), 0, 255).astype(np.uint8))
    rows = [pictures for pair in zip(before, after, strict=True) for pictures in pair]
    captions = [text for b in before for text in ["as it is"] * len(b) + ["as it was seen"] * len(b)]
    with folder.atomic("augmented.png") as path:
        plots.sheet(np.concatenate(rows), captions, path, "Training pictures in the first epoch", columns)


def draw_model(folder: RunFolder, model: keras.Model, summary: str) -> None:
    """summary.txt and the graph."""
    folder.write_text("summary.txt", summary)
    try:
        with folder.atomic("architecture.svg") as svg, folder.atomic("architecture.png") as png:
            graph.draw(model, svg, png)
    except UserError as error:  # a run is worth keeping without this picture
        print(f"no graph       {error}")
