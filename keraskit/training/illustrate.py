"""The pictures of a run: before training its model's summary and graph, after it curves, mistakes, confusion counts."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keraskit.datasets.splits import Split, Splits
from keraskit.errors import UserError
from keraskit.recipe import Recipe
from keraskit.results import architecture, plots
from keraskit.results.run_folder import RunFolder
from keraskit.training.checkpoint import KeepBest

SHOWN = 32


def illustrate(
    recipe: Recipe,
    folder: RunFolder,
    keeper: KeepBest,
    model: keras.Model,
    splits: Splits,
    test: tf.data.Dataset,
    seed: int,
) -> np.ndarray:
    """Write curves, confusion, mistakes and samples. Returns the counts, true class by predicted."""
    with folder.atomic("curves.png") as path:
        plots.curves(keeper.rows, keeper.best_epoch, path)

    probabilities = class_probabilities(recipe, model, test)
    truth, said = splits.test.labels, probabilities.argmax(axis=1)
    counts = np.zeros((len(splits.classes),) * 2, int)
    np.add.at(counts, (truth, said), 1)
    with folder.atomic("confusion.png") as path:
        plots.confusion(counts, splits.classes, path)

    wrong = np.flatnonzero(said != truth)
    worst = wrong[np.argsort(-probabilities[wrong, said[wrong]], kind="stable")][:SHOWN]
    with folder.atomic("mistakes.png") as path:
        names = splits.classes
        captions = [f"true {names[truth[i]]}\nsaid {names[said[i]]}, {probabilities[i, said[i]]:.2f}" for i in worst]
        title = f"The most confident of {len(wrong):,} mistakes on {len(truth):,} test examples"
        plots.sheet(splits.test.pictures(worst), captions, path, title)

    with folder.atomic("samples.png") as path:
        draw_samples(recipe, model, splits, path)
    if splits.train.augmentation.is_random:
        with folder.atomic("augmented.png") as path:
            draw_augmented(splits.train, seed, path)
    return counts


def class_probabilities(recipe: Recipe, model: keras.Model, test: tf.data.Dataset) -> np.ndarray:
    """Shape (examples, classes). Of several outputs only the one that names the class is computed."""
    classifier = keras.Model(model.inputs, model.get_layer(recipe.head).output) if recipe.head else model
    said = classifier.predict(test, verbose=0)
    return said if said.shape[1] > 1 else np.concatenate([1 - said, said], axis=1)  # of two classes only the second


def draw_samples(recipe: Recipe, model: keras.Model, splits: Splits, path: Path) -> None:
    """What the model was shown; or, where the recipe says so, what it makes of the first test examples."""
    if recipe.sheet:
        first = splits.test.take(np.arange(min(SHOWN // 2, splits.test.size)))[0]
        pictures, captions = recipe.sheet(splits, keras.tree.map_structure(np.asarray, model(first, training=False)))
        plots.sheet(pictures, captions, path, "Test examples")
    else:
        shown = np.arange(min(SHOWN, splits.train.size))
        captions = [splits.classes[label] for label in splits.train.labels[shown]]
        plots.sheet(splits.train.pictures(shown), captions, path, "Examples of the training split")


def draw_augmented(train: Split, seed: int, path: Path) -> None:
    """Training pictures, each as it is and below as the model saw it in the first epoch."""
    columns = min(8, train.size)
    before, after = [], []
    for start in range(0, min(SHOWN // 2, train.size), columns):
        chosen = np.arange(start, min(start + columns, train.size))
        before.append(train.pictures(chosen))
        after.append(np.clip(train.augmented(chosen, (seed, 0)).round(), 0, 255).astype(np.uint8))
    rows = [pictures for pair in zip(before, after, strict=True) for pictures in pair]
    captions = [text for b in before for text in ["as it is"] * len(b) + ["as it was seen"] * len(b)]
    plots.sheet(np.concatenate(rows), captions, path, "Training pictures in the first epoch", columns)


def draw_model(folder: RunFolder, model: keras.Model) -> None:
    """summary.txt and the graph. Before training, so that the summary counts the model and not the optimizer."""
    folder.write_text("summary.txt", architecture.summary(model))
    try:
        with folder.atomic("architecture.svg") as svg, folder.atomic("architecture.png") as png:
            architecture.draw(model, svg, png)
    except UserError as error:  # a run is worth keeping without this picture
        print(f"no graph       {error}")
