"""What a run will need of memory and disk, against what is left; and whether its model can be saved."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from keraskit import system
from keraskit.config import flags
from keraskit.errors import UserError, sentence
from keraskit.files import existing
from keraskit.models import weights

if TYPE_CHECKING:
    from keraskit.training.setup import TrainingSetup

WORTH_SAYING = 100e6  # bytes of memory
PICTURES = 10e6  # bytes, of a run's pictures and report


def check_memory(model: keras.Model, optimizer: keras.optimizers.Optimizer, copies: int = 1) -> str | None:
    """A line that says what weights, held `copies` times, gradients and optimizer need, where that is much; else None.

    Raises UserError where the machine has less left. The optimizer has no slots yet.
    """
    trainable = 4 * sum(math.prod(weight.shape) for weight in model.trainable_weights)
    held = 4 * model.count_params() * copies
    needed = held + trainable * (1 + slots(optimizer))
    if needed < WORTH_SAYING:
        return None
    # The model's own weights are in memory already.
    free = system.available_memory()
    if free is not None and needed - held > free:
        problem = f"{model.name} needs {needed / 1e9:.1f} GB: weights, gradients and optimizer"
        advice = "Build it smaller (such as with --width 0.5), or close other programs."
        raise UserError(f"{problem}; {free / 1e9:.1f} are free.", advice)
    left = f"; {free / 1e9:.1f} GB free" if free is not None else ""
    return f"{needed / 1e9:.1f} GB for weights, gradients and optimizer{left}"


@contextmanager
def enough_memory(batch_size: int) -> Iterator[None]:
    """Make one line of a device's memory that does not hold a batch."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        said = re.search(r"OOM when allocating tensor with shape\[[\d,]+\]|Out of memory[^\n.]*", str(error))
        why = sentence(said[0] if said else error)
        problem = f"A batch of {batch_size} does not fit into the memory of the device: {why}"
        raise UserError(problem, f"Take less at once, such as --batch-size {max(batch_size // 2, 1)}.") from error


def check_build(build: Callable[..., keras.Model], options: dict[str, Any]) -> None:
    """Raise UserError before a model is built, with arguments of the user's, whose weights would not fit."""
    with weights.unallocated():
        needed = 4 * build(**options).count_params()
    free = system.available_memory()
    if free is not None and needed > free:
        problem = f"With {flags(options)} the weights need {needed / 1e9:,.1f} GB; {free / 1e9:.1f} are free."
        raise UserError(problem, "Build it smaller.")


def check_saving(model: keras.Model) -> None:
    """Raise UserError where Keras could not save the model."""
    try:
        json.dumps(keras.saving.serialize_keras_object(model))
    except Exception as error:  # from layers of anybody's
        said = str(error).strip().partition("\n\n")[0].replace("\n", " ")  # before an example
        raise UserError(f"{model.name} could not be saved, as Keras says: {sentence(said)}") from error


def slots(optimizer: keras.optimizers.Optimizer) -> int:
    """How many numbers the optimizer keeps for each weight: 0 for plain SGD, 1 with momentum, 2 for Adam."""
    probe = optimizer.from_config(optimizer.get_config())
    before = len(probe.variables)
    probe.build([keras.Variable([0.0])])
    return len(probe.variables) - before


def check_disk(place: Path, setup: TrainingSetup) -> None:
    """Raise UserError where a run's files would not fit into its folder, which may not be there yet."""
    place = existing(place)
    model, copy = setup.model, setup.training_copy
    trainable = sum(math.prod(weight.shape) for weight in copy.trainable_weights)
    checkpoint = 4 * (copy.count_params() + trainable * slots(copy.optimizer))
    needed = 2 * (4 * model.count_params() + checkpoint) + PICTURES  # each file is written beside the one it replaces
    there = sum(path.stat().st_size for path in place.glob("*.*") if path.suffix in {".npz", ".keras"})
    free = shutil.disk_usage(place).free + there
    if needed > free:
        problem = f"{model.name} needs {needed / 1e9:.2f} GB of disk for its best model and checkpoint"
        raise UserError(f"{problem}; {free / 1e9:.2f} are free in {place}.", "Make room, or name another --output-dir.")
