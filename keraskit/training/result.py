"""RunResult: the result of a run."""

import dataclasses
from pathlib import Path

import keras


@dataclasses.dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Args:
        model: the trained model with its best weights by validation, in float32.
        history: one row per epoch: epoch, metrics, validation metrics, seconds.
        metrics: metrics on the test split, such as `{"loss": 0.06, "accuracy": 0.982}`.
        folder: the run folder; None for a worker that is not the chief.
    """

    model: keras.Model
    history: list[dict[str, float]] = dataclasses.field(repr=False)
    metrics: dict[str, float]
    folder: Path | None
