"""Augmentation in a run, the recipe that shows it, and the preview of a user's own pictures."""

import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, command
from keraskit.recipes import augmentation as recipe
from PIL import Image

import keraskit
from keraskit.augment.augmentation import Augmentation
from keraskit.datasets import digits
from keraskit.datasets.splits import ShuffledEpochs
from keraskit.datasets.splitting import order
from keraskit.runs import report
from keraskit.runs.folder import RunFolder
from keraskit.training.setup import reopen

TURN = Augmentation(rotation_range=30)


def test_only_training_pictures_change_and_differently_in_each_epoch():
    plain = digits.images().limited(40)
    turned = plain.augmented(TURN)
    for part in ("validation", "test"):
        assert np.array_equal(getattr(turned, part).take(np.arange(40))[0], getattr(plain, part).take(np.arange(40))[0])

    def epoch(splits, number, batch_size=16):
        shuffled = ShuffledEpochs(splits.train, batch_size, seed=5)
        return np.concatenate([x.numpy() for x, _ in shuffled.batches(number, end=number + 1)])

    zero, again, one = epoch(turned, 0), epoch(turned, 0), epoch(turned, 1)
    assert np.array_equal(zero, again)
    order = np.argsort(epoch(plain, 0).sum((1, 2, 3)))
    other = np.argsort(epoch(plain, 1).sum((1, 2, 3)))
    assert np.abs(zero[order] - epoch(plain, 0)[order]).mean() > 0.02
    assert np.abs(zero[order] - one[other]).mean() > 0.02
    assert np.abs(zero - epoch(turned, 0, batch_size=7)).max() < 1e-3  # whatever the batches


def test_statistics_come_from_the_training_split_alone_and_are_saved(tmp_path):
    words = {"featurewise_center": True, "featurewise_std_normalization": True}
    knobs = {"limit": 64, "epochs": 1, "batch_size": 32, "filters": (4, 4), "output_dir": tmp_path}
    result = keraskit.run("cnn", augment=Augmentation(**words), **knobs)
    x, _ = digits.images().limited(64).train.take(np.arange(64))
    known = np.load(result.folder / "statistics.npz")
    assert (known["mean"].item(), known["std"].item()) == pytest.approx((x.mean(), x.std()), rel=1e-4)
    standard = digits.images().limited(64).augmented(Augmentation(**words))
    assert abs(standard.train.take(np.arange(64))[0].mean()) < 1e-4
    run = json.loads((result.folder / "run.json").read_text())
    assert run["config"]["augment"] == words
    assert not (result.folder / "augmented.png").exists()


def test_a_run_with_random_transforms_shows_what_it_saw(tmp_path):
    folder = keraskit.run("mlp", limit=64, epochs=1, hidden=(8,), augment=TURN, xla="off", output_dir=tmp_path).folder
    assert (folder / "augmented.png").is_file() and "as it was seen" in (folder / "report.html").read_text()
    train, sheets = reopen(RunFolder(folder))[1].train, report.read_sheets(RunFolder(folder))
    indices, numbers = next(iter(ShuffledEpochs(train, 64, 0).drawn(tf.constant(0, tf.int64))))
    place = [int(np.flatnonzero(indices == k)[0]) for k in order(64, train.labels)[:8]]
    seen = train.augmentation.apply(train.pictures(indices.numpy()[place]), tf.gather(numbers, place))
    for shown, known in zip(sheets["augmented"].pictures[1::2], seen.numpy(), strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown))), known.clip(0, 255).round())


def test_the_standardising_layer_is_adapted_and_is_the_words():
    x = np.random.default_rng(0).uniform(0, 255, (50, 8, 8, 1)).astype(np.float32)
    words = recipe.IN_WORDS["standardisation"].fit(x)
    assert np.allclose(recipe.pipeline("standardisation", x)(x), words.standardize(x), atol=1e-3)
    keras.Sequential.from_config(recipe.pipeline("seven").get_config())  # a run with --keras-layers is opened again


def test_recipe_and_preview_as_commands(here):
    assert command("run", "augmentation", "--seed", "2") == (0, "sheet: augmentation.png\n", "")
    assert min(Image.open("augmentation.png").size) > 150
    assert "RandomShear" in command("show", "augmentation").out
    random = ["--rotation-range", "40", "--featurewise-center"]  # by the statistics of each picture
    code, _, err = command("augment", "--preview", ROOT / "data" / "photos", *random, "--output", "sheet.png")
    assert (code, err) == (0, "") and min(Image.open("sheet.png").size) > 300
