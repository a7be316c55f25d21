"""The runner on real, short trainings: it learns, repeats to the bit, and touches the test split once, at the end."""

import dataclasses
import hashlib
import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, command
from scipy.stats import binom

import keraskit
from keraskit import from_arrays
from keraskit.config import RunConfig
from keraskit.datasets.array_files import digest
from keraskit.errors import UserError
from keraskit.registry import load_recipe
from keraskit.runs import results
from keraskit.runs.folder import RunFolder
from keraskit.training.settings import settle

pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path):
    runs = [keraskit.run("cnn", quick=True, filters=(8, 4), seed=seed, output_dir=tmp_path) for seed in (1, 1, 2)]
    hashes = [digest(run.model.get_weights()) for run in runs]
    assert hashes[0] == hashes[1] != hashes[2]
    assert runs[0].metrics == runs[1].metrics
    assert [r | {"seconds": 0} for r in runs[0].history] == [r | {"seconds": 0} for r in runs[1].history]


def at_a_constant_rate(model, learning_rate=0.001):
    model.compile(keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])


def test_test_split_is_read_once_after_training_and_best_weights_by_validation_are_kept(uncompiled, tmp_path):
    recipe = load_recipe("mlp")
    reads, ended, drawn = [], [], []

    def read(indices):
        reads.extend((len(ended), int(i)) for i in indices)
        return indices

    def spied():
        splits = recipe.data()

        def load(indices):
            return splits.test.load(tf.ensure_shape(tf.numpy_function(read, [indices], tf.int64), [None]))

        return dataclasses.replace(splits, test=dataclasses.replace(splits.test, load=load))

    class Watch(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            ended.append(1)

    def figure(classes, targets, predictions):
        drawn.append((targets, predictions))
        return np.zeros((len(targets), 9, 9), np.uint8), [classes[label] for label in targets]

    # A rate that is far too high: validation accuracy goes up and down, so that the best epoch is not the last.
    spying = {"data": spied, "compile": at_a_constant_rate, "figure": figure, "callbacks": lambda: [Watch()]}
    knobs = {"limit": 1_000, "epochs": 6, "learning_rate": 0.02}
    result = keraskit.run(dataclasses.replace(recipe, **spying), output_dir=tmp_path, **knobs)
    assert sorted(reads[:1_000]) == [(1, i) for i in range(1_000)]  # each example once, and not before
    assert len(reads) <= 1_040  # of mistakes, and some right ones, the pictures besides
    with pytest.raises(UserError, match=r"returns a tuple\. Return a pair of pictures, uint8 from 0 to 255"):
        floats = dataclasses.replace(recipe, figure=lambda *_: (np.zeros((1, 9, 9)), [""]))
        results.samples(floats, recipe.data(), results.predictions.read(RunFolder(result.folder)), 0)
    ((targets, predictions),) = drawn
    first, labels = recipe.data().test.take(np.arange(len(targets)))
    assert len(targets) == 16 and targets.tolist() == labels.tolist()
    assert np.allclose(predictions, result.model.predict(first, verbose=0), atol=1e-5)
    scores = [row["val_accuracy"] for row in result.history]
    best = int(np.argmax(scores))
    assert best != len(scores) - 1, "choose a seed or rate for which the best epoch is not the last"
    splits = recipe.data().limited(1_000)
    measured = result.model.evaluate(splits.validation.in_order(100), verbose=0, return_dict=True)
    assert measured["accuracy"] == pytest.approx(scores[best], abs=1e-6)
    assert RunFolder(result.folder).read_json("run.json")["best_epoch"] == best + 1


def test_the_saved_model_opens_in_plain_keras_without_a_warning_and_holds_no_optimizer(tiny_run):
    assert tiny_run.model.optimizer.variables and tiny_run.model.compiled
    x = np.random.default_rng(0).random((64, 784), "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = keras.models.load_model(tiny_run.folder / "model.keras")
    np.testing.assert_array_equal(model(x), tiny_run.model(x))
    assert (tiny_run.folder / "model.keras").stat().st_size < 4.2 * model.count_params()  # Adam's would be three times


def test_manifest_says_what_was_chosen_and_why_and_the_data_can_be_checked(tiny_run):
    run = RunFolder(tiny_run.folder).read_json("run.json")
    assert run["status"] == "finished" and run["command"].startswith("keraskit run mlp --quick --output-dir")
    assert all(choice["reason"] for choice in run["choices"].values())
    assert run["data"]["sha256"] in (ROOT / "data" / "README.md").read_text()
    with np.load(ROOT / "data" / "mnist.npz", allow_pickle=False) as digits:
        content = b"".join(digits[name].tobytes() for name in ("x_train", "y_train", "x_test", "y_test"))
    assert run["data"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert run["weights_sha256"] == digest(tiny_run.model.get_weights())
    assert run["config"]["epochs"] == 2 and run["data"]["used"] == {"train": 512, "validation": 512, "test": 512}


def judged(name, accuracy, size=10_000, options=(), reference=True, own=None, **knobs):
    splits = SimpleNamespace(source={"reference": reference}, test=SimpleNamespace(size=size))
    recipe = dataclasses.replace(load_recipe(name), **own or {})
    settings = settle(recipe, RunConfig(**knobs), dict(options))
    return results.judge(recipe, splits, settings, {"accuracy": accuracy})


def test_the_verdict_names_its_interval():
    features = {"options": {"alpha": 0.25}, "size": 874}
    assert judged("cats_dogs_features", 0.943, **features) == (
        "test accuracy 0.9430 is as expected (0.9477, 95% interval of 874 test examples ±0.015)"
    )
    low, high = np.array(binom.interval(0.95, 874, 0.9477)) / 874
    assert (high - low) / 2 == pytest.approx(0.015, abs=0.001)
    assert "0.9320 is BELOW what is expected" in judged("cats_dogs_features", 0.932, **features)
    assert "0.9640 is better than expected" in judged("cats_dogs_features", 0.964, **features)


def test_a_verdict_is_given_only_where_the_expected_figures_hold():
    file = "mobilenet_2_5_224_tf_no_top.h5"
    narrow = {"alpha": 0.25}
    given = {"epochs": 10, "options": {"hidden": (512, 216, 128)}}  # what the recipe has by itself
    given |= {"quick": False, "batch_size": None, "callbacks": None, "augment": {"rotation_range": 0}}
    for knobs in ({}, given, {"seed": 3, "threads": 1, "options": {"dataset": "mnist"}}):
        assert judged("mlp", 0.98, **knobs)
    assert "not what the recipe reaches" in judged("mlp", 0.98, quick=True)
    for knobs in ({"epochs": 1}, {"limit": 100}, {"options": {"hidden": (3,)}}, {"reference": False}):
        assert not judged("mlp", 0.98, **knobs)
    assert judged("mlp", 0.5, own={"data": lambda noise=0.1: None, "source": None})
    assert not judged("mlp", 0.5, own={"data": from_arrays(*[np.arange(9.0)] * 4)})  # other data
    for own, options in (({"data": lambda noise=0.1: None}, {"noise": 0.9}), ({"build": lambda a: None}, {"a": "b"})):
        assert not judged("mlp", 0.5, own=own, options=options)
    for knobs in ({}, {"weights": f"somewhere/{file}"}, {"weights": "imagenet"}):
        assert judged("cats_dogs_features", 0.95, options=narrow, **knobs)
    for options in ({}, narrow | {"size": 288}, narrow | {"crop": True}):
        assert not judged("cats_dogs_features", 0.95, options=options)
    for weights in ("none", "others.h5"):
        assert not judged("cats_dogs_features", 0.95, options=narrow, weights=weights)


def test_what_cannot_be_trained_is_refused_before_anything_is_written(tmp_path):
    for options, says in (
        ({"hidden": 64}, r"--hidden 64 makes no sense: input should be a valid tuple"),
        ({"learning_rate": True}, "--learning-rate True makes no sense"),
        ({"epochs": True}, "--epochs True makes no sense"),
    ):
        with pytest.raises(UserError, match=says):
            keraskit.run("mlp", quick=True, output_dir=tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_a_program_around_a_run_goes_on_as_without_it(tmp_path):
    model, failed, going = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]), [], threading.Event()

    def serve():
        while not going.wait(0):
            try:
                model(np.ones((1, 3)))
            except Exception as error:
                failed.append(error)

    def train(_=0):
        return keraskit.run("mlp", quick=True, limit=64, hidden=(4,), xla="off", output_dir=tmp_path)

    random.seed(5), np.random.seed(5)
    drawn = random.random(), np.random.random()
    random.seed(5), np.random.seed(5)
    server = threading.Thread(target=serve)
    server.start()
    with ThreadPoolExecutor(2) as pool:
        runs = [digest(result.model.get_weights()) for result in pool.map(train, range(2))]
    going.set(), server.join()
    train()
    assert (random.random(), np.random.random()) == drawn and len({*runs}) == 1 and failed == []


def test_curves_of_tensorboard_are_the_history(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    knobs = {"quick": True, "limit": 64, "hidden": (8,), "tensorboard": True}
    folder = RunFolder(keraskit.run("mlp", output_dir=tmp_path, xla="off", **knobs).folder)
    assert command("resume", folder.path, "--epochs", "3").code == 0
    history = folder.read_history()
    for split, prefix in (("train", ""), ("validation", "val_")):
        found = reader.EventAccumulator(str(folder.path / "tensorboard" / split))
        found.Reload()
        for name in ("loss", "accuracy"):
            steps = {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in found.Tensors(f"epoch_{name}")}
            assert [steps[k] for k in range(3)] == pytest.approx([row[f"{prefix}{name}"] for row in history], rel=1e-6)
