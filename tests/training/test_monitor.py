"""What decides which epoch is the best; monitors, metrics and models, checked before anything is trained."""

import keras
import numpy as np
import pytest
from keras.callbacks import EarlyStopping, LearningRateScheduler, ModelCheckpoint, ReduceLROnPlateau

import keraskit
from keraskit import Recipe, from_arrays
from keraskit.errors import UserError
from keraskit.runs.folder import RunFolder
from keraskit.tools import compare

random = np.random.default_rng(0)
X = random.normal(size=(120, 6)).astype("float32")
Y = np.eye(3, dtype="float32")[X[:, :3].argmax(1)]
pytestmark = pytest.mark.usefixtures("undrawn", "uncompiled")  # no pictures are looked at here


def build() -> keras.Model:
    inputs = keras.Input((6,))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))


def closeness(y, predicted):
    return keras.ops.exp(-keras.ops.mean(keras.ops.abs(y - predicted), axis=-1))


def run(folder, metrics=("accuracy",), rate=0.1, precision="float32", **more):
    def compile_model(model):
        made = [each if isinstance(each, str) else each() for each in metrics]
        model.compile(keras.optimizers.SGD(rate), "categorical_crossentropy", metrics=made)

    data = from_arrays(X[:60], Y[:60], X[60:90], Y[60:90], x_validation=X[90:], y_validation=Y[90:])
    known = {"build": build, "compile": compile_model, "data": data, "epochs": 3, "batch_size": 20} | more
    return keraskit.run(Recipe(**known), precision=precision, output_dir=folder)


MANY = ["mae", lambda: closeness, lambda: keras.metrics.R2Score(name="r2")]


@pytest.mark.parametrize(("monitor", "best"), [
    ("val_loss", "argmin"), ("val_r2", "argmax"), (("val_closeness", "max"), "argmax"),
], ids=str)  # fmt: skip
def test_the_best_epoch_is_the_one_that_the_monitor_means(monitor, best, tmp_path):
    """At a rate that is far too high, so that metrics go up and down."""
    result = run(tmp_path, MANY, rate=20.0, epochs=6, monitor=monitor)
    name = monitor if isinstance(monitor, str) else monitor[0]
    scores = [row[name] for row in result.history]
    assert np.argmax(scores) != np.argmin(scores)
    assert RunFolder(result.folder).read_json("run.json")["best_epoch"] == getattr(np, best)(scores) + 1
    validation = result.model.evaluate(X[90:], Y[90:], verbose=0, return_dict=True)
    assert validation[name.removeprefix("val_")] == pytest.approx(scores[getattr(np, best)(scores)], rel=1e-4)


class Undefined(keras.metrics.Metric):
    """Not a number in the first epochs, as F1 is before anything was predicted; then, lower and lower."""

    def __init__(self, until=2):
        super().__init__(name="several")
        self.until, self.seen = until, self.add_variable((), "zeros", name="seen")

    def reset_state(self):
        pass

    def update_state(self, y, predicted, sample_weight=None):
        self.seen.assign_add(1.0)

    def result(self):
        batches = 3 + 2  # of training and validation, in an epoch
        return {"undefined": keras.ops.where(self.seen <= self.until * batches, np.nan, -self.seen), "n": self.seen}


@pytest.mark.parametrize(("until", "epochs"), [(2, 5), (9, 3)])
def test_a_number_is_better_than_none_and_where_there_never_is_one_the_loss_decides(until, epochs, tmp_path):
    result = run(tmp_path, [lambda: Undefined(until)], epochs=epochs, monitor=("val_undefined", "max"))
    values, losses = ([row[name] for row in result.history] for name in ("val_undefined", "val_loss"))
    assert np.isnan(values).tolist() == [epoch < until for epoch in range(epochs)]
    best = np.nanargmax(values) if until < epochs else np.argmin(losses)
    assert RunFolder(result.folder).read_json("run.json")["best_epoch"] == 1 + best == 3


def test_values_of_a_vector_have_names_of_their_own_everywhere(tmp_path, capsys):
    said = {}

    class Sees(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            said.update(logs)

    many = [keras.metrics.F1Score, lambda: keras.metrics.Precision(thresholds=[0.2, 0.5])]
    stop = EarlyStopping("val_precision_1", patience=9)  # whose direction Keras does not know
    result = run(tmp_path, many, monitor="val_f1_score_2", callbacks=lambda: [stop, Sees()])
    names = {"loss", *(f"f1_score_{i}" for i in range(3)), "precision_0", "precision_1"}
    assert set(result.metrics) == names and (stop.mode, stop.best > 0) == ("max", True)
    rows = RunFolder(result.folder).read_history()
    assert set(rows[0]) - {"epoch", "seconds"} == names | {f"val_{name}" for name in names} == set(said)
    assert "test f1 score 2" in capsys.readouterr().out
    assert "test f1 score 2" in (result.folder / "report.html").read_text()
    run(tmp_path, [*many, keras.metrics.AUC], monitor="val_auc", precision="bfloat16", epochs=1)
    rows = compare.compared([tmp_path])
    value = max(result.history, key=lambda row: row["val_f1_score_2"])["val_f1_score_0"]
    assert any(f"{value:.4f}" in cell for line in map(compare.cells, rows) for cell in line)


class Own(keras.Model):
    def test_step(self, data):
        return {"mine": keras.ops.mean(self(data[0]))}


def test_a_monitor_that_a_step_of_ones_own_does_not_measure_is_told_after_the_first_epoch(tmp_path):
    def own() -> keras.Model:
        whole = build()
        return Own(whole.inputs, whole.outputs)

    with pytest.raises(UserError, match=r"monitors val_accuracy; measured are .*val_mine"):
        run(tmp_path, build=own, monitor="val_accuracy")
    assert run(tmp_path, build=own, monitor=("val_mine", "max")).history[2]["val_mine"]


SCHEDULE = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)


@pytest.mark.parametrize(("knobs", "says"), [
    ({"callbacks": lambda: [EarlyStopping("val_acc")]}, "EarlyStopping watches val_acc.* you mean val_accuracy"),
    ({"callbacks": lambda: [ReduceLROnPlateau("val_auc")]}, "Measured are loss, accuracy, val_loss, val_accuracy"),
    ({"callbacks": lambda: [ModelCheckpoint("x.keras", "f1", save_best_only=True)]}, "ModelCheckpoint watches f1"),
    ({"callbacks": lambda: [ModelCheckpoint("{epoch:02d}-{val_acc:.2f}.keras")]}, "file.* mean val_accuracy"),
    ({"callbacks": lambda: [EarlyStopping("val_closeness")], "metrics": MANY, "monitor": "val_loss"}, "Give it mode="),
    ({"callbacks": lambda: [ReduceLROnPlateau()], "rate": SCHEDULE}, "ReduceLROnPlateau sets the learning rate"),
    ({"callbacks": lambda: [LearningRateScheduler(lambda _: 0.1)], "rate": SCHEDULE}, "follows a schedule"),
    ({"metrics": [keras.metrics.F1Score], "monitor": "val_f1_score"}, "Measured are loss, f1_score_0, f1_score_1"),
    ({"monitor": ("val_closenes", "max")}, "no metric closenes"),
    ({"metrics": MANY, "monitor": "val_closeness"}, r'fall is not known. Say monitor=\("val_closeness", "min"\)'),
    ({"monitor": "accuracy"}, "Validation decides: monitor val_accuracy"),
    ({"expected": {"test_mae": 0.9}}, "no metric mae"),
])  # fmt: skip
def test_what_cannot_be_watched_or_set_is_refused_before_training(knobs, says, tmp_path):
    with pytest.raises(UserError, match=says) as error:
        run(tmp_path, **knobs)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())
