"""What a run will need on the disk, against what is free."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import keras

from keraskit.errors import UserError
from keraskit.training.memory import slots

PICTURES = 10e6  # bytes, of a run's pictures and report


def check(place: Path, model: keras.Model, trainee: keras.Model) -> None:
    """See that a run's files fit.

    Args:
        place: the run's folder, or one above it that may not be there yet.
        model: that is saved.
        trainee: that is trained, compiled.

    Raises:
        UserError: less is free.
    """
    while not place.exists():
        place = place.parent
    trainable = sum(math.prod(weight.shape) for weight in trainee.trainable_weights)
    checkpoint = 4 * (trainee.count_params() + trainable * slots(trainee.optimizer))
    needed = 2 * (4 * model.count_params() + checkpoint) + PICTURES  # each file is written beside the one it replaces
    there = sum(path.stat().st_size for path in place.glob("*.*") if path.suffix in {".npz", ".keras"})
    free = shutil.disk_usage(place).free + there
    if needed > free:
        problem = f"{model.name} needs {needed / 1e9:.2f} GB of disk for its best model and checkpoint"
        raise UserError(f"{problem}; {free / 1e9:.2f} are free in {place}.", "Make room, or name another --output-dir.")
