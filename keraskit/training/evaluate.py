"""Evaluation: run Keras's `evaluate` on a split and keep the predictions."""

import functools
from collections.abc import Mapping
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from keraskit.datasets.splits import Split
from keraskit.files import MODEL
from keraskit.models import applications, keras_internals, weights
from keraskit.runs import metrics, predictions
from keraskit.runs.folder import RunFolder
from keraskit.runs.results import by_output
from keraskit.training.fit import enough_memory
from keraskit.training.setup import TrainingSetup

Evaluated = tuple[dict[str, float], predictions.SplitPredictions]


def evaluate(setup: TrainingSetup, folder: RunFolder) -> dict[str, Evaluated]:
    """Load the best weights by validation, and evaluate the validation and test splits once."""
    with weights.uncompiled(setup.model):  # the file contains no optimizer
        applications.load_file(setup.model, folder.file(MODEL))
    with setup.devices.scope:
        splits = {"validation": setup.splits.validation, "test": setup.splits.test}
        return infer(setup.model, splits, setup.settings.batch_size)


def infer(model: keras.Model, splits: Mapping[str, Split], batch_size: int) -> dict[str, Evaluated]:
    """Evaluate and predict each split in one pass, as `Model.evaluate` and `Model.predict` do, with a compiled model.

    If the model overrides `test_step` or `predict_step`, both are called. `batch_size` is the batch size of training,
    since a loss or metric may depend on it. Returns metrics by name, and targets and predictions, of each split.
    """
    own = type(model).test_step is not keras.Model.test_step or type(model).predict_step is not keras.Model.predict_step
    call = model.call

    def step(iterator: Any) -> tuple[Any, Any, Any]:
        data, given = iterator.get_next(), []

        def kept(*args: Any, **options: Any) -> Any:
            given.append(call(*args, **options))
            return given[-1]

        with mock.patch.object(model, "call", kept):
            logs = model.test_step(data)
        return logs, data[1], model.predict_step(data) if own else given[0]

    if not model.run_eagerly:
        step = tf.function(step, autograph=False, reduce_retracing=True)
    with enough_memory(batch_size):
        return {name: _infer(model, step, split, batch_size) for name, split in splits.items()}


def _infer(model: keras.Model, step: Any, split: Split, batch_size: int) -> Evaluated:
    kept: list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = []
    begin_draws(model)  # random layers, as in a VAE, draw the same numbers in `verify`

    def test_function(iterator: Any) -> Any:
        logs, y, given = step(iterator)
        if split.labels is not None:  # labels of shape (n, 1) to (n,)
            y = keras.tree.map_structure(lambda v: v[:, 0] if v.shape.rank == 2 and v.shape[1] == 1 else v, y)
        true = by_output(y, model)
        kept.append((true, {name: _classes(each, true.get(name)) for name, each in by_output(given, model).items()}))
        return logs

    with mock.patch.multiple(model, test_function=test_function, steps_per_execution=1):
        measured = metrics.flat(model.evaluate(split.in_order(batch_size), verbose=0, return_dict=True))
    figures = {name: measured[name] for name in sorted(measured, key=lambda name: name != "loss")}
    targets, answers = ({k: np.concatenate([each[i][k] for each in kept]) for k in kept[0][i]} for i in (0, 1))
    return figures, predictions.SplitPredictions(split.labels, targets, answers, split.names)


def begin_draws(model: keras.Model, number: int = 0) -> None:
    """Set what the random layers of a model draw next, the same for the same number."""
    seeds = [each for each in model.variables if each.name == "seed_generator_state"]
    for i, state in enumerate([*seeds, keras_internals.SEEDS().state]):
        state.assign([i, number])


def forward(model: keras.Model, split: Split, batch_size: int, draws: int = 0) -> list[np.ndarray]:
    """Return a model's outputs for all examples of a split, by its call alone."""
    called: Any = functools.partial(model, training=False)
    called = called if model.run_eagerly else tf.function(called, autograph=False, reduce_retracing=True)
    begin_draws(model, draws)
    parts = [keras.tree.flatten(called(x)) for x, *_ in split.in_order(batch_size)]
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def _classes(answer: np.ndarray, target: np.ndarray | None) -> np.ndarray:
    """Reduce a sequence of class probabilities to the most probable classes, to save disk space."""
    steps = target is not None and target.shape == answer.shape[:-1] and target.dtype.kind in "iu"
    if answer.ndim > 2 and answer.shape[-1] > 1 and steps:
        return answer.argmax(axis=-1).astype(np.uint8 if answer.shape[-1] <= 256 else np.int32)
    return answer
