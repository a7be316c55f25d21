"""Training itself: `fit`, from the first step or from where a checkpoint stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from keraskit import signals
from keraskit.distributed.cluster import StopTogether
from keraskit.errors import UserError, printable
from keraskit.training import progress, user_callbacks
from keraskit.training.callbacks import Checkpoints, KeepBest, SetEpoch
from keraskit.training.checkpoint import Checkpoint
from keraskit.training.setup import TrainingSetup
from keraskit.training.user_callbacks import UserCallbacks

NAMED = 8  # files at most, of a batch that gave no loss


def fit(setup: TrainingSetup, keeper: KeepBest, start: Checkpoint | None, command: str) -> None:
    """Train, and keep on disk what must not be lost.

    Args:
        setup: the run.
        keeper: holds the history and the best model.
        start: where to go on; None for the beginning.
        command: goes on with this run if it is stopped.

    Raises:
        Stopped: a signal came, and everything is saved.
        UserError: the loss is no number any more, or nothing can be saved.
    """
    patience = signals.Patience()
    user = UserCallbacks(own_callbacks(setup))
    stop = StopTogether(setup.place.cluster, patience)
    saving = Checkpoints(keeper, setup, stop.agreed, start.position.step if start else 0, command, user)
    with signals.sent_to(patience):
        if start:
            keeper.take(start.position)
        _fit(setup, start, keeper, [keeper], user, [stop, saving])
    stop.agreed.asked = patience.asked  # from here on each may stop by itself
    saving.stop_if_asked("after training")


def fit_along(setup: TrainingSetup, start: Checkpoint | None) -> list[dict[str, float]]:
    """Train as a worker that writes nothing. The history."""
    history = keras.callbacks.History()
    user = UserCallbacks(own_callbacks(setup))
    patience = signals.Patience()
    with signals.sent_to(patience):
        _fit(setup, start, None, [history], user, [StopTogether(setup.place.cluster, patience)])
    if patience.asked:
        raise signals.Stopped(patience.asked, "Interrupted after training.")
    ended = zip(*history.history.values(), strict=True)
    return [{"epoch": i + 1, **dict(zip(history.history, row, strict=True))} for i, row in enumerate(ended)]


def own_callbacks(setup: TrainingSetup) -> list[keras.callbacks.Callback]:
    """The recipe's callbacks, and the command line's."""
    made = list(setup.recipe.callbacks()) if setup.recipe.callbacks else []
    return made + (user_callbacks.from_file(setup.settings.callbacks) if setup.settings.callbacks else [])


def _fit(
    setup: TrainingSetup,
    start: Checkpoint | None,
    keeper: KeepBest | None,
    before: Sequence[keras.callbacks.Callback],
    user: UserCallbacks,
    after: Sequence[keras.callbacks.Callback],
) -> None:
    """Train from the first step or from a checkpoint, with callbacks of ours before and after the user's."""
    model, epochs, settings, cluster = setup.training_copy, setup.epochs, setup.settings, setup.place.cluster
    validation = setup.training_data.validation.in_order(2 * settings.batch_size, cluster.share)
    verbose, shown = progress.for_this_output()
    nonsense = StopOnNonFinite(setup, keeper)
    callbacks = _Callbacks(
        [SetEpoch(epochs), nonsense, *before, *shown, *user.callbacks, user, *after],
        add_history=True,
        add_progbar=verbose != 0,
        model=model,
        verbose=verbose,
        epochs=settings.epochs,
        steps=epochs.steps,
    )

    def train(dataset: Any, begun: int, until: int) -> None:
        model.fit(
            cluster.distribute(dataset),
            validation_data=cluster.distribute(validation),
            initial_epoch=begun,
            epochs=until,
            callbacks=callbacks,
            verbose=verbose,
            shuffle=False,  # the dataset shuffles itself
        )

    def restore() -> None:
        if start:
            with cluster.scope():
                start.restore(model)
            user.restore(start)

    begun, stopped = (start.position.epoch, start.position.stopped) if start else (0, False)
    callbacks.done, callbacks.restore = start.position.step if start else 0, restore
    with setup.place.scope, cluster.together():
        precision = setup.choices.precision.value
        cluster.agree(**{"the first epoch": begun + 1, "--precision": precision, "steps in an epoch": epochs.steps})
        if callbacks.done:
            with _averages_left(model.optimizer):
                train(epochs.after(callbacks.done), begun, begun + 1)
            begun, callbacks.done, stopped = begun + 1, 0, model.stop_training
        if begun < settings.epochs and not stopped:
            train(epochs.dataset, begun, settings.epochs)
        callbacks.end()


class _Callbacks(keras.callbacks.CallbackList):
    """Keras's list over two calls of `fit`, the rest of a broken epoch and all others: it begins and ends once.

    It counts the steps from the epoch's first, where `fit` is given only those that remain; and not past its last.
    """

    done = 0  # steps of the first epoch
    begun = False
    restore: Callable[[], None]  # puts everything back as the checkpoint has it, whatever a beginning has changed
    _logs: dict[str, Any] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.begun:
            super().on_train_begin(logs)
            self.restore()
        self.begun = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._logs = logs

    def end(self) -> None:
        """Training has ended, if not in this process."""
        self.on_train_begin()
        super().on_train_end(self._logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if self.done:
            self.restore()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_begin(self.done + batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_end(min(self.done + batch, self.params["steps"] - 1), logs)


@contextmanager
def _averages_left(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Where an optimizer averages weights, Keras sets them to the average after each `fit`: not in mid-training."""
    optimizer.finalize_variable_values = lambda _: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values


class StopOnNonFinite(keras.callbacks.Callback):
    """Ends a run at the step whose loss is infinite or not a number, and says which step that was, and of what.

    Args:
        setup: the run.
        keeper: knows whether there is a best model.
    """

    def __init__(self, setup: TrainingSetup, keeper: KeepBest | None) -> None:
        super().__init__()
        self.epochs, self.keeper = setup.epochs, keeper

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
