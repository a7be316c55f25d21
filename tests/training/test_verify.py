"""`keraskit verify`: an honest run agrees with itself, and whatever was changed in it is named."""

import json
import shutil

import keras
import numpy as np
import pytest

import keraskit
from keraskit.results.run_folder import RunFolder
from keraskit.training import verify


@pytest.fixture
def run(tmp_path, tiny_run):
    """A copy of a finished run."""
    return RunFolder(shutil.copytree(tiny_run.folder, tmp_path / "runs" / "mlp" / tiny_run.folder.name))


def differing(folder):
    """The names of what does not agree."""
    return {fact.name for fact in verify.check(folder) if not fact.holds}


def test_a_run_agrees_with_itself_and_an_edited_figure_is_caught(run, command):
    done = command("verify", run.path)
    assert done.returncode == 0 and done.stdout.count(" agrees: ") == len(done.stdout.splitlines()) > 8, done.stderr
    test = run.read_json("run.json")["test"]
    run.update_manifest(test={**test, "accuracy": 0.9999})
    done = command("verify", run.path)
    assert done.returncode == 1 and f"DIFFERS: recorded 0.9999, measured {test['accuracy']:.4f}" in done.stdout
    assert "2 of 10 facts do not agree: test accuracy, metrics.json. See above." in done.stderr


def test_what_was_changed_is_named(run):
    kept = {path: path.read_bytes() for path in run.path.iterdir()}

    def restored():
        for path, data in kept.items():
            path.write_bytes(data)

    with np.load(run.path / "predictions.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays["test/predictions/"][3, 5] += 0.01
    np.savez(run.path / "predictions.npz", **arrays)
    assert differing(run) == {"test predictions"}
    (run.path / "predictions.npz").unlink()
    assert differing(run) == {"test predictions", "validation predictions"}
    restored()

    model = keras.models.load_model(run.path / "model.keras", compile=False)
    weights = model.get_weights()
    weights[0] = weights[0] + np.float32(1e-8)  # no figure changes so that it could be seen
    model.set_weights(weights)
    model.save(run.path / "model.keras")
    assert differing(run) == {"weights"}
    restored()

    written = json.loads((run.path / "metrics.json").read_text())
    run.write_json("metrics.json", written | {"validation": {"loss": 0.1, "accuracy": 1.0}})
    assert differing(run) == {"validation loss", "validation accuracy"}
    restored()

    run.update_manifest(best_epoch=7)
    assert differing(run) == {"history"}
    data = run.read_json("run.json")["data"]
    run.update_manifest(best_epoch=2, data={**data, "sha256": "0" * 64})
    assert differing(run) == {"data"}


def test_features_pictures_and_a_standardising_augmentation_are_found_again(tmp_path):
    words = {"quick": True, "limit": 24, "epochs": 1, "output_dir": tmp_path}
    for recipe, own in (
        ("cats_dogs_features", {"weights": "none", "alpha": 0.25, "size": 32}),
        ("cnn", {"augment": keraskit.Augmentation(featurewise_std_normalization=True, rotation_range=9)}),
    ):
        result = keraskit.run(recipe, **words, **own)
        assert differing(RunFolder(result.folder)) == set()
