"""`keraskit verify`: an honest run agrees with itself, and whatever was changed in it is named."""

import json
import shutil

import keras
import numpy as np
import pytest
from conftest import command

import keraskit
from keraskit.runs.folder import RunFolder
from keraskit.tools import verify


def differing(folder):
    return {name for name, pair in verify.check(folder).items() if not verify.close(*pair)}


def test_a_run_agrees_with_itself_and_an_edited_figure_is_caught(run, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["127.0.0.1:9", "127.0.0.1:8"]}, "task": {"index": 0}}')
    done = command("verify", run.path)  # alone, as exports are
    assert done.code == 0 and done.out.count(" agrees: ") == len(done.out.splitlines()) > 8, done.err
    test = run.read_json("run.json")["test"]
    run.update_manifest(test={**test, "accuracy": 0.9999})
    done = command("verify", run.path)
    (line,) = (line for line in done.out.splitlines() if "DIFFERS" in line)
    assert done.code == 1 and "'accuracy': 0.9999}, is " in line and f"'accuracy': {test['accuracy']}" in line
    assert "1 of 28 facts do not agree: test in run.json. See above." in done.err
    asked = run.read_json("run.json")["asked"]
    for hidden, why in (([20_000] * 2, "refused: it declares 415,"), ([1] * 1_500, "maximum recursion depth exceeded")):
        run.update_manifest(asked=asked | {"options": {"hidden": hidden}})
        done = command("verify", run.path)
        assert done.code == 2 and why in done.err and done.err.count("\n") == 1


def test_all_runs_below_a_folder_are_checked_in_a_line_each_and_counted(run, here):
    for who in ("ada", "grace", "kurt"):
        shutil.copytree(run.path, here / "handins" / who / "mlp" / run.path.name)
    ada, asked = RunFolder(here / "handins" / "ada" / "mlp" / run.path.name), run.read_json("run.json")["asked"]
    several = {"threads": 1, "devices": 2, "workers": "127.0.0.1:9,127.0.0.1:8", "worker_index": 0, "wait": 1}
    several |= {"device": "gpu", "tensorboard": True}
    ada.update_manifest(asked=asked | {"knobs": asked["knobs"] | several})
    (here / "own.py").write_text("from keraskit.recipes.cnn import recipe")
    done = command("verify", "handins", "--recipe", "own.py")  # of no run here; nor what needs others or a new process
    assert done.code == 0 and [line.split()[0] for line in done.out.splitlines()] == ["agrees"] * 3 + ["3"]
    grace, kurt = (RunFolder(here / "handins" / who / "mlp" / run.path.name) for who in ("grace", "kurt"))
    grace.update_manifest(test={**run.read_json("run.json")["test"], "accuracy": 0.9999})
    kurt.update_manifest(status="interrupted")
    done = command("verify", "handins")
    lines = done.out.splitlines()
    assert lines[0].startswith("agrees     handins/ada/") and "DIFFERS    handins/grace/" in lines[1]
    assert lines[1].endswith(": test in run.json") and "UNCHECKED  handins/kurt/" in lines[2]
    assert "has not finished" in lines[2] and lines[3:] == ["3 runs: 1 agree, 1 differ, 1 unchecked"]
    assert done.code == 1 and "2 of 3 runs do not agree" in done.err
    shutil.rmtree(here / "handins" / "kurt")
    shutil.rmtree(here / "handins" / "grace")
    done = command("verify", "handins", "--recipe", "own.py")  # one alone, however deep: each fact
    assert done.code == 0 and done.out.count(" agrees: ") == 28, done.err


def test_a_line_that_differs_does_not_contradict_itself(run):
    with np.load(run.path / "predictions.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays["test/predictions/"][256, 3] = 0.5
    np.savez(run.path / "predictions.npz", **arrays)
    (line,) = (line for line in command("verify", run.path).out.splitlines() if "DIFFERS" in line)
    recorded, again = line.partition("recorded ")[2].split(", is ")
    assert again == f"{recorded} here, but not in what is cut off"


def test_what_was_changed_is_named(run):
    kept = {path: path.read_bytes() for path in run.path.iterdir()}

    def restored():
        for path, data in kept.items():
            path.write_bytes(data)

    with np.load(run.path / "predictions.npz") as file:
        arrays = {name: file[name] for name in file.files}
    for name, changed in (
        ("predictions/", arrays["test/predictions/"] + np.float32(0.01)),
        ("targets/", np.roll(arrays["test/targets/"], 1)),
        ("labels", np.roll(arrays["test/labels"], 1)),
        ("names", np.array([f"{i}.png" for i in range(512)])),
    ):
        np.savez(run.path / "predictions.npz", **arrays | {f"test/{name}": changed})
        assert differing(run) == {f"test {name.strip('/')}"}
    forged = arrays["test/predictions/"].copy()
    forged[np.arange(512), arrays["test/labels"]] = np.nan
    np.savez(run.path / "predictions.npz", **arrays | {"test/predictions/": forged})
    with pytest.raises(keraskit.UserError, match=r"predictions\.npz .* its test/predictions/ holds NaN or infinity"):
        verify.check(run)
    restored()

    model = keras.models.load_model(run.path / "model.keras", compile=False)
    weights = model.get_weights()
    weights[0] = weights[0] + np.float32(1e-8)  # no figure changes so that it could be seen
    model.set_weights(weights)
    model.save(run.path / "model.keras")
    assert differing(run) == {"weights"}

    def changed(layer):
        odd = {"activation": "sigmoid"} if layer.name == "hidden1" else {}
        return type(layer).from_config(layer.get_config() | odd)

    other = keras.models.clone_model(model, clone_function=changed)
    restored()
    other.set_weights(keras.models.load_model(run.path / "model.keras", compile=False).get_weights())
    other.save(run.path / "model.keras")  # the same weights answer otherwise
    assert differing(run) == {"model's file"}
    restored()

    inputs = run.read_json("run.json")["inputs"]
    run.update_manifest(classes=[*"1023456789"], balanced_accuracy=0.99, inputs={**inputs, "scale": "pixels"})
    assert differing(run) == {"classes", "balanced accuracy", "inputs"}
    run.update_manifest(inputs={})
    assert "inputs" in differing(run)
    restored()

    run.update_manifest(seed=17, training_means={"": 0.1}, config=run.read_json("run.json")["config"] | {"limit": 9})
    rows = run.read_history()
    run.write_history([row | {"val_accuracy": 0.99} if row["epoch"] == 1 else row for row in rows])
    assert differing(run) == {"seed", "training means", "settings", "history", "best epoch"}
    run.write_history(rows[1:])
    assert differing(run) == {"seed", "training means", "settings", "history"}
    restored()

    written, data = json.loads((run.path / "metrics.json").read_text()), run.read_json("run.json")["data"]
    run.write_json("metrics.json", written | {"validation": {"loss": 0.1, "accuracy": 1.0}, "confusion": [[9]]})
    facts = {"class_output": "out", "class_activation": "softmax", "data": {**data, "sha256": "0" * 64}}
    run.update_manifest(best_epoch=7, parameters=9, **facts)
    (run.path / "predictions.npz").unlink()
    gone = {f"{split} {name}" for split in ("validation", "test") for name in ("labels", "targets", "predictions")}
    gone |= {"parameters", "confusion"}
    assert differing(run) == {"validation metrics", "best epoch", "class output", "class activation", "data"} | gone


@pytest.mark.parametrize("harm", [np.nan, np.inf, None, "0.5", {}, [0.5, 0.5], [[0.5], [0.5, 0.5]]])
def test_no_figure_is_close_to_what_is_none(harm):
    assert verify.close({"loss": 0.50001}, {"loss": 0.5}) and not verify.close({"loss": harm}, {"loss": 0.5})
    assert verify.close({"r": np.nan}, {"r": np.nan}) and not verify.close({"mae": 1e-9}, {"mae": 6e-5})


@pytest.mark.usefixtures("undrawn", "tiny_vgg16")
def test_features_pictures_and_a_standardising_augmentation_are_found_again(tmp_path):
    words = {"quick": True, "limit": 24, "epochs": 1, "output_dir": tmp_path}
    for recipe, own in (
        ("cats_dogs_features", {"weights": "none", "base": "vgg16", "size": 32}),
        ("cnn", {"augment": keraskit.Augmentation(featurewise_std_normalization=True, rotation_range=9)}),
    ):
        result = keraskit.run(recipe, **words, **own)
        assert differing(RunFolder(result.folder)) == set()
