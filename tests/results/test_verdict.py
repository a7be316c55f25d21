"""The verdict and the coach: sentences only where something is sure, the same in terminal, report and compare."""

import re

import keras
import numpy as np
import pytest
import scipy.stats
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_absolute_error, mean_squared_error

import keraskit
from keraskit import Recipe, from_arrays
from keraskit.runs import results
from keraskit.runs.folder import RunFolder
from keraskit.runs.predictions import SplitPredictions
from keraskit.tools import compare

pytestmark = pytest.mark.usefixtures("undrawn")


def told(capsys, recipe="mlp", **knobs):
    folder = keraskit.run(recipe, xla="off", **knobs).folder
    return capsys.readouterr().out, RunFolder(folder)


def test_the_same_words_stand_in_terminal_manifest_report_and_compare(tmp_path, capsys):
    said, folder = told(capsys, limit=512, epochs=3, learning_rate=10.0, output_dir=tmp_path)
    run, page = folder.read_json("run.json"), (folder.path / "report.html").read_text()
    assert re.match("Training DIVERGED.*learning rate 10, or smaller inputs", run["warnings"][0])
    for sentence in run["warnings"]:
        assert f"WARNING: {sentence}" in said and sentence in page.split("<main>")[0]
    assert run["advice"] == []  # "train on" is none for what has diverged
    other = told(capsys, limit=512, epochs=3, output_dir=tmp_path)[1]
    assert any(run["warnings"][0] in each for each in compare.verdicts(compare.compared([folder.path, other.path])))


def test_a_network_that_still_learns_is_trained_on_with_the_command(tmp_path, capsys):
    said, folder = told(capsys, limit=512, epochs=3, output_dir=tmp_path)
    (sentence,) = folder.read_json("run.json")["advice"]
    assert "still falls" in sentence and sentence in said and sentence in (folder.path / "report.html").read_text()
    assert f"`keraskit resume {folder.path} --epochs 6`" in sentence
    stop = "import keras\ndef stop(): return [keras.callbacks.EarlyStopping(mode='max', patience=2)]"
    (tmp_path / "mine.py").write_text(stop)  # in the last epoch: it would end a longer run, too
    folder = told(capsys, limit=512, epochs=3, output_dir=tmp_path, callbacks=f"{tmp_path}/mine.py:stop")[1]
    assert folder.read_json("run.json")["advice"] == []


def found(losses, answers, labels):
    labels, answers = np.array(labels), np.array(answers)
    rows = [{"loss": t, "val_loss": v, "accuracy": a, "val_accuracy": b} for t, v, a, b in losses]
    test = SplitPredictions(labels, {"": labels}, {"": np.eye(2)[answers]})
    run = {"classes": ["ant", "bee"]}
    return results.findings(rows, run, test, "keraskit resume it --epochs 6", False)


HALF = [0, 1] * 50
CALM = [(0.5, 0.5, 0.7, 0.7)] * 3
CURVES = {  # of the validation loss; the training loss falls
    "falls": ([0.9, 0.7, 0.6], "still falls"),
    "falls, with jitter": ([1 - 0.02 * e + 0.02 * (-1) ** e for e in range(24)], "still falls"),
    "fell late": ([1.2, 0.9, 0.5, 0.51], ""),
    "two epochs": ([0.9, 0.7], "still falls"),
    "stands": ([0.5 + 0.01 * (-1) ** e for e in range(12)], ""),
    "has fallen": ([0.9, 0.5, 0.4, 0.38, 0.379, 0.3789, 0.3788], ""),
    "has risen": ([0.9, 0.6, 0.5, 0.45, 0.47, 0.52, 0.6, 0.7], "Since epoch 4 the validation loss rose from 0.450 to"),
    "jitters": ([0.9, 0.6, 0.5, 0.45, 0.6, 0.47, 0.62, 0.46, 0.58], ""),
    "falls below zero": ([-0.1, -0.5, -0.9], "still falls"),
    "stands below zero": ([-0.9, -0.9, -0.9, -0.9, -0.901], ""),
    "is no number": ([0.9, np.nan, 0.6, 0.7, 0.8], ""),
}


def advice(validation, training):
    return " ".join(found([(t, v, 0.9, 0.8) for t, v in zip(training, validation, strict=True)], HALF, HALF)[1])


def test_curves_are_read_where_they_are_sure():
    for name, (validation, word) in CURVES.items():
        training = np.linspace(1, 0.1, len(validation))
        said = advice(validation, training)
        assert word in said and bool(word) == bool(said), name
        assert "over-fitting" not in advice(validation, training[::-1]), name  # training did not gain what was lost
    assert found([(t, t, 0.9, 0.9) for t in (0.01, 0.1, 0.5)], HALF, HALF)[0] == []  # its weight rises
    far = [found([(t, t, 0, 0) for t in losses], HALF, HALF[::-1])[0][0] for losses in ((30, 29, 28), (30, 30, 31))]
    assert ["or began far off" in each for each in far] == [True, False]  # as of inputs to 255
    assert found([(-t, -t, 0.9, 0.8) for t in (0.1, 0.5, 0.9)], HALF, HALF)[0] == []  # as of a cosine similarity
    random = np.random.default_rng(0)
    for epochs in (5, 16, 60):  # those that jitter about one value are hardly ever told to over-fit
        flat = random.normal(0.5, 0.02, (400, epochs))
        assert np.mean(["over-fitting" in advice(each, np.linspace(1, 0.1, epochs)) for each in flat]) < 0.05


def test_a_model_below_the_most_frequent_class_and_a_class_never_found_are_loud():
    few = [0] * 70 + [1] * 30
    assert found(CALM, [1] * 60 + [0] * 40, few)[0] == [
        "Test accuracy 0.100 (0.055 to 0.174) is WORSE than always naming ant, which gives 0.700.",
        "Recall 0: NO test example is recognised of bee (of 30).",
    ]
    only = found(CALM, [0] * 100, few)[0]
    assert "is NO BETTER than always naming ant" in only[0] and "of bee (of 30)" in only[1]
    assert found(CALM, [0] * 16, [0] * 12 + [1] * 4)[0] == []  # chance explains both
    assert found(CALM, [0] * 75 + [1] * 25, few)[0] == []


def regressing(learning_rate=0.05, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(600, 3)).astype("float32")
    y = (x @ [1, 2, 3] + random.normal(size=600) + 500).astype("float16")  # whose sum float16 does not hold
    x_train, y_train, x_test, y_test = x[:300], y[:300], x[300:450], y[300:450]

    def build():
        inputs = keras.Input((3,))
        return keras.Model(inputs, keras.layers.Dense(1, bias_initializer=keras.initializers.Constant(495))(inputs))

    def compile_model(model):
        model.compile(keras.optimizers.Adam(learning_rate), "mse", metrics=["mae"])

    data = from_arrays(x_train, y_train, x_test, y_test, x_validation=x[450:], y_validation=y[450:])
    recipe = Recipe(build=build, compile=compile_model, data=data, epochs=20, batch_size=50, monitor="val_mae")
    return recipe, y_train.astype(float), x_test, y_test.astype(float)


@pytest.mark.parametrize(("rate", "warned"), [(0.05, False), (1e-6, True)])
def test_a_regression_has_an_interval_and_the_means_errors_beside_it(tmp_path, capsys, rate, warned):
    recipe, y_train, x_test, y_test = regressing(rate)
    said, folder = told(capsys, recipe, output_dir=tmp_path)
    dummy = DummyRegressor().fit(y_train[:, None], y_train).predict(y_test[:, None])
    predictions = keras.saving.load_model(folder.path / "model.keras").predict(x_test, verbose=0)[:, 0]
    off = np.abs(predictions - y_test)
    low, high = scipy.stats.norm.interval(0.95, off.mean(), scipy.stats.sem(off))
    (sentence,) = folder.read_json("run.json")["regression"]
    assert f"mean absolute error {mean_absolute_error(y_test, predictions):.4g} (95% interval {low:.4g} to" in sentence
    assert f"squared error {mean_squared_error(y_test, predictions):.4g} (95% interval " in sentence
    means = [f"{measure(y_test, dummy):.4g}" for measure in (mean_absolute_error, mean_squared_error)]
    assert sentence.endswith(f"of 150 test examples. Always predicting the training mean has {' and '.join(means)}.")
    page = (folder.path / "report.html").read_text()
    assert sentence in said and sentence in page and f" to {high:.4g})" in sentence
    warning = "WARNING: The model is WORSE than always predicting the training mean."
    assert (warning in said) == warned == (warning.removeprefix("WARNING: ") in page.split("<main>")[0])
