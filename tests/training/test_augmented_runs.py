"""Augmentation in a run, the recipe that shows it, and the preview of a user's own pictures."""

import json

import numpy as np
import pytest
from conftest import ROOT
from keraskit.recipes import augmentation as recipe
from PIL import Image

import keraskit
from keraskit.augment import Augmentation
from keraskit.augment.statistics import Statistics
from keraskit.datasets import digits
from keraskit.datasets.epochs import ShuffledEpochs
from keraskit.errors import UserError

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
    result = keraskit.run("cnn", quick=True, augment=Augmentation(**words), output_dir=tmp_path)
    x, _ = digits.images().limited(512).train.take(np.arange(512))
    known = Statistics.load(result.folder / "statistics.npz")
    assert known.mean.item() == pytest.approx(x.mean(), rel=1e-4) and known.std.item() == pytest.approx(
        x.std(), rel=1e-4
    )
    standard = digits.images().limited(512).augmented(Augmentation(**words))
    assert abs(standard.train.take(np.arange(512))[0].mean()) < 1e-4
    run = json.loads((result.folder / "run.json").read_text())
    assert run["config"]["augment"] == words
    assert not (result.folder / "augmented.png").exists()


def test_a_run_with_random_transforms_shows_what_it_saw(tmp_path):
    folder = keraskit.run("mlp", quick=True, augment=TURN, xla="off", output_dir=tmp_path).folder
    assert (folder / "augmented.png").is_file() and "as it was seen" in (folder / "report.html").read_text()


def test_features_cannot_be_augmented(tmp_path):
    with pytest.raises(UserError, match="holds no pictures"):
        keraskit.run("quickstart", quick=True, augment=TURN, output_dir=tmp_path)


def test_the_standardising_layer_is_adapted_and_is_the_words():
    x = np.random.default_rng(0).uniform(0, 255, (50, 8, 8, 1)).astype(np.float32)
    words = recipe.IN_WORDS["standardisation"].fit(x)
    assert np.allclose(recipe.pipeline("standardisation", x)(x), words.standardize(x), atol=1e-3)


def test_recipe_and_preview_as_commands(command, tmp_path):
    done = command("run", "augmentation", "--seed", "2")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "sheet: augmentation.png\n")
    assert min(Image.open(tmp_path / "augmentation.png").size) > 150
    assert "RandomShear" in command("show", "augmentation").stdout
    assert command("run", "augmentation", "--digit", "2").returncode == 2
    random = ["--rotation-range", "40", "--featurewise-center"]  # by the statistics of each picture
    done = command("augment", "--preview", ROOT / "data" / "photos", *random, "--output", "sheet.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert min(Image.open(tmp_path / "sheet.png").size) > 300
    for words, says in [
        (["--preview", "nowhere"], "does not exist"),
        (["--preview", ROOT / "data" / "README.md"], "is no picture (JPEG, PNG, BMP, GIF, WEBP, TIFF)"),
        (["--preview", ROOT / "data" / "photos", "--zoom-range", "2"], "expected two factors from 0 up"),
        (["--preview", ROOT / "data" / "photos", "--versions", "0"], "--versions 0"),
    ]:
        done = command("augment", *words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1) and says in done.stderr
