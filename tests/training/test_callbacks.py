"""A user's callbacks take part in resume: killed anywhere, a run ends with the bits and the callbacks of one that was
not. The unbroken run is the oracle."""

import dataclasses
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from breaking import at, kill, outcome

import keraskit
from keraskit.errors import UserError
from keraskit.registry import load_recipe
from keraskit.runs.folder import RunFolder
from keraskit.training.fit import Checkpoints
from keraskit.training.user_callbacks import UserCallbacks

KNOBS = {"limit": 96, "batch_size": 16, "epochs": 12, "hidden": (4,), "xla": "off", "save_every": 2}
STEPS = 6
pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here


class Diary(keras.callbacks.Callback):
    """Count what it sees, in all that a checkpoint can hold."""

    def __init__(self):
        super().__init__()
        self.began, self.steps, self.epochs, self.ended = 0, 0, [], 0
        self.seen = []
        self.best, self.mean, self.last = None, np.zeros(3, "float32"), np.float32(0)
        self.circle = []
        self.circle.append(self.circle)  # which is left out

    def on_train_begin(self, logs=None):
        self.began += 1

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(epoch)
        self.within = []

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        self.within.append([batch, logs["loss"]])

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append([epoch, "val_loss", logs["val_loss"], list(self.within)])
        self.best = min(logs["val_loss"], self.best or float("inf"))
        self.last = np.float32(logs["val_loss"])
        self.mean[epoch % 3] += self.last

    def on_train_end(self, logs=None):
        self.ended += 1


class Jump(keras.callbacks.Callback):
    """Sets the learning rate when training begins, as those that warm up do: not again when it goes on."""

    def on_train_begin(self, logs=None):
        self.model.optimizer.learning_rate = 0.03


@keras.saving.register_keras_serializable()
class Noisy(keras.Model):
    """Draws without a seed of its own, and has an optimizer for each half."""

    def train_step(self, data):
        x, y = data[0] + keras.random.normal(keras.ops.shape(data[0]), stddev=0.1), data[1]
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, answers := self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        pairs = list(zip(gradients, self.trainable_variables, strict=True))
        self.optimizer.apply_gradients(pairs[:2])
        self.others["second"].apply_gradients(pairs[2:])
        self._loss_tracker.update_state(loss)
        return self.compute_metrics(x, y, answers)


def build(hidden: tuple[int, ...] = (4,)):
    plain = load_recipe("mlp").build(hidden)
    return Noisy(plain.inputs, plain.outputs)


def compile_model(model):
    model.others = {"second": keras.optimizers.Adam(0.1)}
    model.compile(keras.optimizers.Adam(0.5), "sparse_categorical_crossentropy", metrics=["accuracy", OverEpochs()])


class OverEpochs(keras.metrics.SparseCategoricalAccuracy):
    def reset_state(self):
        pass


MADE = []


def callbacks():
    MADE[:] = [
        Jump(),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.97),
        keras.callbacks.ReduceLROnPlateau(factor=0.7, patience=1, cooldown=1, min_delta=0.05),
        keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True, min_delta=0.01),
        Diary(),
    ]
    return [*MADE, keras.callbacks.BackupAndRestore("/dev/null/none")]  # left out


def held():
    """What the callbacks of the last run hold, but for functions, and what Keras sets when an epoch first ends."""
    ours = {"_model", "_params", "params", "min_delta", "monitor_op"}
    return [{n: v for n, v in vars(c).items() if n not in ours and not callable(v)} for c in MADE]


def run(output, **knobs):
    recipe = dataclasses.replace(load_recipe("mlp"), build=build, compile=compile_model, callbacks=callbacks)
    return outcome(keraskit.run(recipe, output_dir=output, **KNOBS | knobs).folder), held()


def same(one, two):
    """To the bit, lists and tuples told apart."""
    with np.printoptions(threshold=10**9):
        assert repr(one) == repr(two)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    found = run(tmp_path_factory.mktemp("unbroken"))
    history = found[0][2]
    assert 4 < len(history) < KNOBS["epochs"], "choose a rate with which it stops early, and not at once"
    _, _, reduced, stopping, diary = found[1]
    assert stopping["stopped_epoch"] == len(history) - 1 and stopping["best_weights"] and diary["ended"] == 1
    assert diary["steps"] == len(history) * STEPS and diary["began"] == 1
    assert reduced["cooldown_counter"] + reduced["wait"]
    return found


def at_end(epoch, saved):
    """Killed at the end of an epoch, before it is saved or after."""
    real = Checkpoints.on_epoch_end

    def watched(self, number, logs=None):
        if number == epoch and not saved:
            kill(None)
        real(self, number, logs)
        if number == epoch:
            kill(None)

    return mock.patch.object(Checkpoints, "on_epoch_end", watched)


PLACES = {
    "within epochs": [at(0, 3, kill), at(1, 5, kill), at(3, 3, kill)],
    "at ends of epochs, saved and unsaved": [at_end(0, saved=True), at_end(2, saved=False)],
}


@pytest.mark.parametrize("places", PLACES)
def test_callbacks_go_on_as_if_nothing_had_happened(places, unbroken, tmp_path):
    for place in PLACES[places]:
        with place, pytest.raises(RuntimeError):
            run(tmp_path, resume=True)
    same(run(tmp_path, resume=True), unbroken)


def test_other_callbacks_than_the_run_began_with_are_one_line():
    begun, now = UserCallbacks([Diary(), Jump()]), UserCallbacks([Diary()])
    with pytest.raises(UserError, match="began with 2 callbacks; now there are 1"):
        now.restore(*begun.state())
    begun, now = (UserCallbacks([keras.callbacks.EarlyStopping(patience=count)]) for count in (3, 20))
    begun.callbacks[0].wait = 2
    now.restore(*begun.state())
    assert (now.callbacks[0].patience, now.callbacks[0].wait) == (20, 2)  # as an edit has it, and as training left it


def test_patience_stops_by_the_recipes_monitor_resumes_to_the_bit_and_is_said(tmp_path, capsys):
    knobs = KNOBS | {"patience": 2, "resume": True}
    mine = dataclasses.replace(load_recipe("mlp"), compile=compile_model)
    unbroken = keraskit.run(mine, output_dir=tmp_path / "unbroken", **knobs)
    best, epochs = RunFolder(unbroken.folder).read_json("run.json")["best_epoch"], len(unbroken.history)
    assert epochs < knobs["epochs"]
    says = f"stopped after epoch {epochs}, best {best}"
    assert not [each for each in RunFolder(unbroken.folder).read_json("run.json")["advice"] if "train on" in each]
    assert says in capsys.readouterr().out.splitlines() and says in (unbroken.folder / "report.html").read_text()
    accuracies = [row["val_accuracy"] for row in unbroken.history]
    assert max(accuracies) == max(accuracies[:-2]) == accuracies[best - 1]
    for place in (at(1, 3, kill), at_end(epochs - 2, saved=True), at_end(epochs - 1, saved=True)):
        with place, pytest.raises(RuntimeError):
            keraskit.run(mine, output_dir=tmp_path / "broken", **knobs)
    assert outcome(keraskit.run(mine, output_dir=tmp_path / "broken", **knobs).folder) == outcome(unbroken.folder)
