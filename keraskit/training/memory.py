"""What a model will need in memory, against what the machine has left."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras

from keraskit import machine, model_files
from keraskit.config import flags
from keraskit.errors import UserError

WORTH_SAYING = 100e6  # bytes


def check(model: keras.Model, optimizer: keras.optimizers.Optimizer, copies: int = 1) -> str | None:
    """A line that says what weights, gradients and optimizer need, for models where that matters; else None.

    Args:
        model: built.
        optimizer: as it will train, before it has its slots.
        copies: how many times the weights are held.

    Raises:
        UserError: the machine has less left.
    """
    trainable = 4 * sum(math.prod(weight.shape) for weight in model.trainable_weights)
    weights = 4 * model.count_params() * copies
    needed = weights + trainable * (1 + slots(optimizer))
    if needed < WORTH_SAYING:
        return None
    # The model's own weights are in memory already.
    free = machine.available_memory()
    if free is not None and needed - weights > free:
        raise UserError(
            f"{model.name} needs {needed / 1e9:.1f} GB: weights, gradients and optimizer; {free / 1e9:.1f} are free.",
            "Build it smaller (--model flags, such as --model.width 0.5), or close other programs.",
        )
    left = f"; {free / 1e9:.1f} GB free" if free is not None else ""
    return f"{needed / 1e9:.1f} GB for weights, gradients and optimizer{left}"


def check_build(build: Callable[..., keras.Model], options: dict[str, Any]) -> None:
    """Raise UserError before a model is built, with arguments of the user's, whose weights would not fit."""
    with model_files.unallocated():
        needed = 4 * build(**options).count_params()
    free = machine.available_memory()
    if free is not None and needed > free:
        raise UserError(
            f"With {flags(options, 'model.')} the weights need {needed / 1e9:,.1f} GB; {free / 1e9:.1f} are free.",
            "Build it smaller.",
        )


def slots(optimizer: keras.optimizers.Optimizer) -> int:
    """How many numbers the optimizer keeps for each weight: 0 for plain SGD, 1 with momentum, 2 for Adam."""
    probe = optimizer.from_config(optimizer.get_config())
    before = len(probe.variables)
    probe.build([keras.Variable([0.0])])
    return len(probe.variables) - before
