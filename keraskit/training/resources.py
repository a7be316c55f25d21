"""Whether a model, its gradients and its batches fit into memory; and whether it can be saved."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from keraskit import system
from keraskit.config import flags
from keraskit.errors import UserError, sentence
from keraskit.models import weights


def check_build(build: Callable[..., keras.Model], options: dict[str, Any]) -> None:
    """Raise UserError before a model is built, with arguments of the user's, whose weights would not fit."""
    with weights.unallocated():
        _check(4 * build(**options).count_params(), f"With {flags(options)} the weights")


def check_memory(model: keras.Model) -> None:
    """Raise UserError where gradients and optimizer would not fit. The model is compiled, its optimizer not built."""
    numbers = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    _check(4 * numbers * (1 + slots(model.optimizer)), f"{model.name}'s gradients and optimizer")


def _check(needed: int, what: str) -> None:
    free = system.available_memory()
    if free is not None and needed > free:
        problem = f"{what} need {needed / 1e9:,.1f} GB; {free / 1e9:.1f} are free."
        raise UserError(problem, "Build it smaller (such as with --width 0.5), or close other programs.")


def slots(optimizer: keras.optimizers.Optimizer) -> int:
    """Return how many numbers an optimizer keeps for each weight: 0 for plain SGD, 1 with momentum, 2 for Adam."""
    probe = optimizer.from_config(optimizer.get_config())
    before = len(probe.variables)
    probe.build([keras.Variable([0.0])])
    return len(probe.variables) - before


@contextmanager
def enough_memory(batch_size: int) -> Iterator[None]:
    """Make one line of a device's memory that does not hold a batch."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        problem = f"A batch of {batch_size} does not fit into the memory of the device: {sentence(error.message)}"
        raise UserError(problem, f"Take less at once, such as --batch-size {max(batch_size // 2, 1)}.") from error


def check_saving(model: keras.Model) -> None:
    """Raise UserError where Keras could not save the model."""
    try:
        json.dumps(keras.saving.serialize_keras_object(model))
    except Exception as error:  # from layers of anybody's
        said = str(error).strip().partition("\n\n")[0].replace("\n", " ")  # before an example
        raise UserError(f"{model.name} could not be saved, as Keras says: {sentence(said)}") from error
