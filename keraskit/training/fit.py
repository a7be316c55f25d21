"""Training itself: `fit`, from the first step or from where a checkpoint stands."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keraskit import signals
from keraskit.datasets.pipeline import stopping
from keraskit.distributed.cluster import StopTogether
from keraskit.errors import UserError, printable
from keraskit.runs import history
from keraskit.training import progress, resources
from keraskit.training.callbacks import Averages, Checkpoints, KeepBest, SetEpoch
from keraskit.training.checkpoint import Checkpoint, Position
from keraskit.training.setup import TrainingSetup
from keraskit.training.user_callbacks import UserCallbacks

NAMED = 8  # files at most, of a batch that gave no loss


def fit(
    setup: TrainingSetup, keeper: KeepBest, user: UserCallbacks, start: Checkpoint | None = None, command: str = ""
) -> None:
    """Train from the first step, or from where `start` stands, and keep on disk what must not be lost.

    Raises:
        Stopped: a signal came, and everything is saved.
        RunStopped: an example can no longer be read.
        UserError: the loss is no number any more, or nothing can be saved.
    """
    model, epochs, settings, cluster = setup.training_copy, setup.epochs, setup.settings, setup.place.cluster
    validation = setup.training_data.validation.in_order(settings.batch_size, cluster.share)
    verbose, shown = progress.for_this_output()
    patience, position = signals.Patience(), start.position if start else Position()
    stop = StopTogether(cluster, patience)
    saving = []
    if keeper.folder and settings.tensorboard:
        shown.append(keras.callbacks.TensorBoard(keeper.folder.path / "tensorboard", write_graph=False))
    if keeper.folder:
        saving = [Checkpoints(keeper, user, stop.agreed, position.step, command)]

    def restore() -> None:
        if start:
            with cluster.scope():
                start.restore(model)
            user.restore(start)

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

    if start:
        start.check(settings.epochs, epochs.steps)
        keeper.take(position)
    callbacks = _Callbacks(
        [SetEpoch(epochs), StopOnNonFinite(setup, keeper), keeper, *shown, *user.callbacks, user, stop, *saving],
        add_history=True,
        add_progbar=verbose != 0,
        model=model,
        verbose=verbose,
        epochs=settings.epochs,
        steps=epochs.steps,
    )
    callbacks.averages, callbacks.done, callbacks.restore = keeper.averages, position.step, restore
    begun, stopped = position.epoch, position.stopped
    precision = setup.choices.precision.value
    agreed = {"the first epoch": begun + 1, "--precision": precision, "steps in an epoch": epochs.steps}
    enough = resources.enough_memory(settings.batch_size)
    with (
        signals.sent_to(patience),
        setup.place.scope,
        cluster.together(),
        enough,
        stopping(),
    ):
        cluster.agree(**agreed)
        with _averages_left(model.optimizer):
            if callbacks.done:
                train(epochs.after(callbacks.done), begun, begun + 1)
                begun, callbacks.done, stopped = begun + 1, 0, model.stop_training
            if begun < settings.epochs and not stopped:
                train(epochs.dataset, begun, settings.epochs)
            callbacks.on_train_begin()  # where training had ended before this process
        model.optimizer.finalize_variable_values(model.trainable_weights)
        callbacks.end()
    stop.agreed.asked = patience.asked  # from here on each may stop by itself
    for each in saving:
        each.stop_if_asked("after training")
    if patience.asked:
        raise signals.Stopped(patience.asked, "Interrupted after training.")


class _Callbacks(keras.callbacks.CallbackList):
    """Keras's list over two calls of `fit`, the rest of a broken epoch and all others: it begins and ends once.

    It counts the steps from the epoch's first, where `fit` is given only those that remain; and not past its last.
    """

    averages: Averages
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
        """Training has ended."""
        super().on_train_end(self._logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if self.done:
            self.restore()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.averages.show()
        super().on_test_begin(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, history.flat(logs))
        self.averages.hide()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_begin(self.done + batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_end(min(self.done + batch, self.params["steps"] - 1), logs)


@contextmanager
def _averages_left(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Where an optimizer averages weights, Keras sets them to the average after each `fit`: here once, at the end."""
    optimizer.finalize_variable_values = lambda _: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values


class StopOnNonFinite(keras.callbacks.Callback):
    """Ends a run at the step whose loss is infinite or not a number, and says which step that was, and of what."""

    def __init__(self, setup: TrainingSetup, keeper: KeepBest | None) -> None:
        super().__init__()
        self.epochs, self.keeper = setup.epochs, keeper

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._next = epoch, 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._next = batch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if math.isfinite(loss):
            return
        where = f"step {batch + 1}" if batch == self._next else f"one of the steps {self._next + 1} to {batch + 1}"
        kept = ""
        if self.keeper and self.keeper.folder and self.keeper.best_epoch:
            kept = f"The best model before, of epoch {self.keeper.best_epoch}, lies in {self.keeper.folder.path}."
        problem = f"The loss became {'infinite' if math.isinf(loss) else 'not a number'} in {where} of epoch"
        raise UserError(f"{problem} {self._epoch + 1}{self._files(batch)}.", f"Lower --learning-rate. {kept}")

    def _files(self, batch: int) -> str:
        names = self.epochs.split.names
        if names is None:
            return ""
        chosen = [names[i] for i in self.epochs.examples(self._epoch, self._next, batch)]
        more = f" and {len(chosen) - NAMED} more" if len(chosen) > NAMED else ""
        return f", of {printable(', '.join(chosen[:NAMED]))}{more}"
