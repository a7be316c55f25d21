"""Training itself: `fit`, from the first step or from where a checkpoint stands."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keraskit import signals
from keraskit.config import RunConfig
from keraskit.datasets.splits import ShuffledEpochs
from keraskit.errors import UserError, printable
from keraskit.training import progress, state
from keraskit.training.checkpoint import Checkpoints, KeepBest, SetEpoch
from keraskit.training.prepare import Ready
from keraskit.training.state import Checkpoint

NAMED = 8  # files at most, of a batch that gave no loss


def fit(ready: Ready, config: RunConfig, keeper: KeepBest, start: Checkpoint | None, again: str) -> None:
    """Train, and keep on disk what must not be lost.

    Args:
        ready: the run.
        config: settled.
        keeper: holds the history and the best model.
        start: where to go on; None for the beginning.
        again: the command that goes on with this run if it is stopped.

    Raises:
        Stopped: a signal came, and everything is saved.
        UserError: the loss is no number any more, or nothing can be saved.
    """
    patience = signals.Patience()
    within = not ready.team.workers  # else reading an epoch's metrics takes all workers
    saving = Checkpoints(keeper, ready.epochs.steps, config.save_every, patience, start, again, within)
    with signals.sent_to(patience) if within else contextlib.nullcontext():
        if start:
            keeper.take(start.position)
        _fit(ready, config, start, [keeper], [saving], keeper)
    saving.stop_if_asked("after training")


def fit_along(ready: Ready, config: RunConfig, start: Checkpoint | None) -> list[dict[str, float]]:
    """Train as a worker that writes nothing. The history."""
    history = keras.callbacks.History()
    _fit(ready, config, start, [history], [], None)
    ended = zip(*history.history.values(), strict=True)
    return [{"epoch": i + 1, **dict(zip(history.history, row, strict=True))} for i, row in enumerate(ended)]


def _fit(
    ready: Ready,
    config: RunConfig,
    start: Checkpoint | None,
    before: list[keras.callbacks.Callback],
    after: list[keras.callbacks.Callback],
    keeper: KeepBest | None,
) -> None:
    """Train from the first step or from a checkpoint, with callbacks before and after those that show how it goes."""
    assert config.epochs and config.batch_size
    trainee, epochs, team = ready.trainee, ready.epochs, ready.team
    validation = ready.lessons.validation.in_order(2 * config.batch_size, team.share)
    verbose, shown = progress.for_this_output()
    nonsense = StopAtNoNumber(epochs, ready.choices.steps_per_execution.value, keeper)
    callbacks = _Callbacks(
        [SetEpoch(epochs), nonsense, *before, *shown, *after],
        add_history=True,
        add_progbar=verbose != 0,
        model=trainee,
        verbose=verbose,
        epochs=config.epochs,
        steps=epochs.steps,
    )

    def train(dataset: Any, first: int, last: int) -> None:
        trainee.fit(
            team.distributed(dataset),
            initial_epoch=first,
            epochs=last,
            validation_data=team.distributed(validation),
            callbacks=callbacks,
            verbose=verbose,
            shuffle=False,  # the dataset shuffles itself
        )

    begun = 0
    with ready.choices.scope, team.together():
        with team.building():
            state.complete(trainee, epochs.dataset.element_spec)
            if start:
                begun, callbacks.before = start.position.epoch, start.position.step
                start.restore(trainee)
        team.agree(begun)
        if callbacks.before:
            with _averages_left(trainee.optimizer):
                train(epochs.after(callbacks.before), begun, begun + 1)
            begun, callbacks.before = begun + 1, 0
        if begun < config.epochs:
            train(epochs.dataset, begun, config.epochs)


class _Callbacks(keras.callbacks.CallbackList):
    """Counts the steps from the epoch's first, where `fit` is given only those that remain; and not past its last."""

    before = 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_begin(self.before + batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_end(min(self.before + batch, self.params["steps"] - 1), logs)


@contextmanager
def _averages_left(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Where an optimizer averages weights, Keras sets them to the average after each `fit`: not in mid-training."""
    optimizer.finalize_variable_values = lambda _: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values


class StopAtNoNumber(keras.callbacks.Callback):
    """Ends a run at the step whose loss is infinite or not a number, and says which step that was, and of what.

    Args:
        epochs: the training batches.
        several: steps handed over at once.
        keeper: knows whether there is a best model.
    """

    def __init__(self, epochs: ShuffledEpochs, several: int, keeper: KeepBest | None) -> None:
        super().__init__()
        self.epochs, self.several, self.keeper = epochs, several, keeper

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the epoch."""
        self._epoch, self._next = epoch, 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the first of the steps handed over."""
        self._next = batch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Raises UserError if the loss is no number."""
        loss = (logs or {}).get("loss", 0.0)
        if math.isfinite(loss):
            return
        where = f"step {batch + 1}" if batch == self._next else f"one of the steps {self._next + 1} to {batch + 1}"
        best = self.keeper.best_epoch if self.keeper else 0
        kept = (
            f"The best model before, of epoch {best}, lies in {self.keeper.folder.path}."
            if self.keeper and best
            else ""
        )
        problem = f"The loss became {'infinite' if math.isinf(loss) else 'not a number'} in {where} of epoch"
        raise UserError(f"{problem} {self._epoch + 1}{self._files(batch)}.", f"Lower --learning-rate. {kept}")

    def _files(self, batch: int) -> str:
        names = self.epochs.split.names
        if names is None:
            return ""
        chosen = [names[i] for i in self.epochs.examples(self._epoch, self._next, batch)]
        more = f" and {len(chosen) - NAMED} more" if len(chosen) > NAMED else ""
        return f", of {printable(', '.join(chosen[:NAMED]))}{more}"
