"""predictions.npz against plain Keras and scikit-learn; what it cannot hold, and damage."""

import keras
import numpy as np
import pytest
import sklearn.metrics as scikit

from keraskit.datasets import mnist
from keraskit.datasets.splits import Split
from keraskit.errors import UserError
from keraskit.runs import metrics, predictions
from keraskit.runs.folder import RunFolder
from keraskit.training.evaluate import infer


def test_a_runs_predictions_are_its_saved_models_and_give_its_figures(tiny_run):
    arrays, _ = mnist.load()
    facts = RunFolder(tiny_run.folder).read_json("run.json")
    model = keras.models.load_model(tiny_run.folder / "model.keras", compile=False)
    x_train, x_test = (arrays[name].reshape(-1, 784) / np.float32(255) for name in ("x_train", "x_test"))
    true = {"test": (x_test[:512], arrays["y_test"][:512])}
    true["validation"] = x_train[55_000:][:512], arrays["y_train"][55_000:][:512]
    for split, (x, y) in true.items():
        found = predictions.read(RunFolder(tiny_run.folder), split)
        assert np.array_equal(found.labels, y) and np.array_equal(found.targets[""], y) and found.names is None
        assert np.abs(found.of_classes(facts)[1] - model.predict(x, verbose=0)).max() < 1e-6
    labels, probabilities = predictions.read(RunFolder(tiny_run.folder)).of_classes(facts)
    assert scikit.accuracy_score(labels, probabilities.argmax(axis=1)) == pytest.approx(tiny_run.metrics["accuracy"])
    assert scikit.log_loss(labels, probabilities) == pytest.approx(tiny_run.metrics["loss"], rel=1e-4)


def inferred(outputs, targets, names=None, loss="mse"):
    """What is kept of a model that gives these outputs, shape (1, ...), whatever comes in."""

    def constant(value):
        return keras.layers.Lambda(lambda x: value + 0 * keras.ops.reshape(x[:, :1], (-1, *[1] * (value.ndim - 1))))

    inputs = keras.Input((2,))
    made = {name: constant(value)(inputs) for name, value in outputs.items()}
    model = keras.Model(inputs, made if set(made) != {""} else made[""])
    model.compile(loss=loss)
    split = Split.of(np.zeros((5, 2), np.float32), targets if set(targets) != {""} else targets[""], names=names)
    return infer(model, {"test": split}, 2)["test"][1]


def test_values_of_several_outputs_and_names_come_back_from_the_file(tmp_path):
    folder = RunFolder(tmp_path)
    values = np.arange(5, dtype=np.float32)[:, None]
    kept = inferred(
        {"one": np.float32([[2]]), "two": np.float32([[3]])},
        {"one": values, "two": values + 1},
        names=[f"ü{i}.jpg" for i in range(5)],
    )
    predictions.write(folder, {"test": kept})
    found = predictions.read(folder)
    assert found.labels is None and found.names == [f"ü{i}.jpg" for i in range(5)]
    assert np.array_equal(found.targets["two"], values + 1) and (found.predictions["one"] == 2).all()
    assert predictions.read(RunFolder(tmp_path / "elsewhere")) is None
    assert np.allclose(metrics.probabilities(np.array([[0.2], [0.9]])), [[0.8, 0.2], [0.1, 0.9]])


def test_what_is_not_finite_is_never_written_and_what_is_bfloat16_can_be_read(tmp_path):
    folder, found = RunFolder(tmp_path), inferred({"": np.float32([[np.inf]])}, {"": np.zeros((5, 1))})
    with pytest.raises(UserError, match="answers test examples with NaN or infinity"):
        predictions.write(folder, {"test": found})
    small = keras.ops.convert_to_numpy(keras.ops.ones((5, 1), dtype="bfloat16"))
    predictions.write(folder, {"test": predictions.SplitPredictions(None, {}, {"": small})})
    assert predictions.read(folder).predictions[""].tolist() == [[1.0]] * 5


def test_of_a_sequence_of_classes_the_most_probable_ones_are_kept():
    steps = np.eye(3, dtype=np.float32)[None, [2, 0, 1, 1]]
    kept = inferred({"": steps}, {"": np.zeros((5, 4), np.int32)}, loss="sparse_categorical_crossentropy")
    assert kept.predictions[""].dtype == np.uint8 and kept.predictions[""].tolist() == [[2, 0, 1, 1]] * 5
