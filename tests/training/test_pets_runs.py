"""The ladder of cats and dogs in small: each recipe runs, and what it promises of frozen and unfrozen layers holds."""

import dataclasses

import keras
import numpy as np
import pytest
from PIL import Image

import keraskit
from keraskit.config import RunConfig
from keraskit.datasets.images import cats_and_dogs
from keraskit.errors import UserError
from keraskit.models import applications
from keraskit.runs.folder import TRAINED_ON, RunFolder
from keraskit.runs.pictures import say_trained_on
from keraskit.training.settings import settle
from keraskit.training.setup import source_of

SMALL = {"alpha": 0.25, "size": 32}
pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """48 noisy pictures, the cats reddish and the dogs bluish; runs beside them; caches of our own."""
    place = tmp_path_factory.mktemp("pets")
    random = np.random.default_rng(0)
    for kind, colour in (("cat", (150, 90, 80)), ("dog", (80, 90, 150))):
        (place / "photos" / kind).mkdir(parents=True)
        for i in range(24):
            pixels = np.clip(random.normal(colour, 40, (40, 36, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / "photos" / kind / f"{kind}.{i}.jpg", "PNG")  # Kaggle's names
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        patch.setenv("KERAS_HOME", str(place / "keras"))
        yield place


def run(place, recipe, **knobs):
    knobs = {"data_dir": place / "photos", "output_dir": place / "runs", "batch_size": 8, "epochs": 2} | knobs
    return keraskit.run(recipe, **knobs)


@pytest.fixture(scope="module")
def from_scratch(place):
    return run(place, "cats_dogs", steps_per_epoch=6, size=64)


@pytest.fixture(scope="module")
def features(place):
    """A run whose base has weights of its own, as if from ImageNet."""
    keras.utils.set_random_seed(1)
    base = applications.create("mobilenet", 0.25, 32, include_top=False)
    normalisations = [layer for layer in base.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in normalisations:  # they take one batch's statistics: random weights alone give nothing but zeros
        layer.momentum = 0.0
    base(np.random.default_rng(0).uniform(-1, 1, (64, 32, 32, 3)).astype("float32"), training=True)
    base.save_weights(place / "base.weights.h5")
    hdf5 = place / "base.h5"
    base.save(hdf5)
    return run(place, "cats_dogs_features", weights=str(hdf5), **SMALL, learning_rate=0.01)


def test_one_sigmoid_names_both_classes(from_scratch):
    run = RunFolder(from_scratch.folder).read_json("run.json")
    metrics = RunFolder(from_scratch.folder).read_json("metrics.json")
    assert from_scratch.model.output_shape == (None, 1) and run["classes"] == ["cat", "dog"]
    confusion = np.array(metrics["confusion"])
    assert confusion.sum(1).tolist() == [6, 6]
    assert np.trace(confusion) / 12 == pytest.approx(from_scratch.metrics["accuracy"])
    assert run["config"]["steps_per_epoch"] == 6  # of 3 that one pass has


def test_on_files_of_ones_own_an_epoch_is_one_pass_unless_steps_are_given(place, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(place / "keras"))
    recipe, photos = keraskit.load_recipe("cats_dogs"), {"data_dir": place / "photos"}
    own = dataclasses.replace(recipe, source=None)
    for asked, options, which, steps in (({}, photos, recipe, None), ({"steps_per_epoch": 100}, photos, recipe, 100),
                                         ({}, {}, recipe, 100), ({}, photos, own, 100)):  # fmt: skip
        settings, _ = source_of(which, settle(which, RunConfig(**asked), options))
        assert settings.steps_per_epoch == steps


def test_features_are_the_bases_and_only_the_classifier_learned(place, features):
    """Plain Keras is the oracle: the saved model around a base that is built and filled without keraskit."""
    base = keras.applications.MobileNet(alpha=0.25, input_shape=(32, 32, 3), include_top=False, weights=None)
    base.load_weights(place / "base.weights.h5")
    learned = applications.nested(features.model)
    for mine, theirs in zip(learned.get_weights(), base.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)
    x = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")
    pooled = base.predict(keras.applications.mobilenet.preprocess_input(x.copy()), verbose=0).mean((1, 2))
    kernel, bias = features.model.get_layer("hidden").get_weights()
    last, last_bias = features.model.get_layer("output").get_weights()
    said = 1 / (1 + np.exp(-(np.maximum(pooled @ kernel + bias, 0) @ last + last_bias)))
    assert np.allclose(features.model.predict(x, verbose=0), said, atol=1e-5)
    fresh = keraskit.load_recipe("cats_dogs_features").build(**SMALL).get_layer("hidden").get_weights()[0]
    assert fresh.shape == kernel.shape and not np.array_equal(fresh, kernel)


def test_features_take_no_augmentation(place):
    with pytest.raises(UserError, match="computes features once"):
        run(place, "cats_dogs_features", weights="none", augment={"horizontal_flip": True})


def test_finetune_goes_on_from_the_features_and_leaves_what_is_frozen(place, features, capsys):
    knobs = {"weights": str(place / "base.h5"), "epochs": 1, "learning_rate": 0.01}
    result = run(place, "cats_dogs_finetune", **SMALL, top=20, **knobs)
    told = capsys.readouterr().out
    assert f"goes on from {features.folder.parent}" in told and "12 test; classes 'cat', 'dog'" in told
    before, after = (applications.nested(r.model).layers for r in (features, result))
    pairs = ((layer.get_weights(), other) for layer, other in zip(before, after, strict=True))
    changed = {other.name for old, other in pairs if not all(map(np.array_equal, old, other.get_weights()))}
    allowed = {layer.name for layer in after[-20:]}
    assert changed and changed <= allowed
    assert not any("_bn" in name for name in changed)  # inference mode: ImageNet's statistics stay, scales too
    assert any("conv_pw" in name for name in changed)
    (place / "photos" / "cat" / "cat.24.jpg").write_bytes((place / "photos" / "dog" / "dog.0.jpg").read_bytes())
    with pytest.raises(UserError, match=r"was trained on other data, .* Train cats_dogs_features anew, or take"):
        run(place, "cats_dogs_finetune", **SMALL, top=20, **knobs)
    (place / "photos" / "cat" / "cat.24.jpg").unlink()


def test_finetune_runs_what_comes_before_it_when_there_is_none(place, tiny_vgg16, capsys):
    knobs = {"weights": "none", "epochs": 1, "limit": 8, "output_dir": place / "other"}
    result = run(place, "cats_dogs_finetune", base="vgg16", size=32, top=1, **knobs)
    assert "there is none with these flags" in capsys.readouterr().out
    (first,) = (place / "other" / "cats_dogs_features").iterdir()
    assert RunFolder(first).read_json("run.json")["status"] == "finished"
    assert RunFolder(result.folder).read_json("run.json")["config"]["weights"] == str(first)


def test_a_run_on_photographs_records_what_it_read(place, from_scratch, capsys):
    data = RunFolder(from_scratch.folder).read_json("run.json")["data"]
    splits = cats_and_dogs.unit(data_dir=place / "photos").load((64, 64, 3))
    assert data["sha256"] == splits.source["sha256"] and len(data["sha256"]) == 64
    assert data["counts"] == {"train": 24, "validation": 12, "test": 12} and data["left_out"] == {}
    folder, paths = RunFolder(from_scratch.folder), sorted((place / "photos").glob("*/*"))
    say_trained_on(folder, paths)
    assert capsys.readouterr().out.startswith("24 of these pictures are what the run was trained on")
    say_trained_on(folder, [place / "photos" / name for name in splits.test.names])
    (folder.path / TRAINED_ON).write_bytes(b"anything")
    with pytest.raises(UserError, match=r"trained_on.npy cannot be read as .npy"):
        say_trained_on(folder, paths)
    (folder.path / TRAINED_ON).unlink()
    say_trained_on(folder, paths)
    assert capsys.readouterr().out == ""
