"""A run's own model is opened by every verb, and no file of code runs but that which the user names."""

import json
import shutil

import keras
import numpy as np
import own
import pytest
from conftest import command

import keraskit
from keraskit.runs.folder import RunFolder, newest
from keraskit.tools.predict import predict_arrays

SCALE = """KIND = "Scale"


class Scale(keras.layers.Layer):
    def __init__(self, function=None, **more):
        super().__init__(**more)
        self.function = function  # which Keras cannot save

    def call(self, x):
        return self.function(x) if self.function else x * 0.5


def build(kind: str = KIND, sizes: tuple[int, ...] = (2,)):
    inputs = x = keras.Input((3,), name="x")
    if kind in ("Scale", "Wordless"):
        x = Scale((lambda x: 2 * x) if kind == "Wordless" else None)(x)
    start = (lambda shape, dtype=None: keras.ops.full(shape, 0.5, dtype)) if kind == "lambda" else "ones"
    return keras.Model(inputs, keras.layers.Dense((sizes + (1,))[-1], kernel_initializer=start)(x))
"""
SOURCE = own.SOURCE.partition("UNITS = 8")[0] + SCALE + own.SOURCE[own.SOURCE.index("\n\ndef compile_model") :]

pytestmark = pytest.mark.usefixtures("undrawn", "uncompiled")  # neither is looked at here


@pytest.fixture
def here(here):
    """The working folder, with a recipe in it and something to predict."""
    (here / "mine.py").write_text(SOURCE)
    np.save("x.npy", np.ones((2, 3), "float32"))
    return here


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "mine.py").write_text(SOURCE)
    keraskit.run(str(folder / "mine.py"), output_dir=folder / "runs")
    return folder


@pytest.fixture
def copied(here, trained):
    shutil.copytree(trained / "runs", here / "runs")
    return newest(here / "runs")


@pytest.mark.parametrize("kind", ["Scale", "lambda"])
def test_a_model_with_parts_of_ones_own_answers_as_keras_does_once_its_file_is_named(here, kind):
    (here / "mine.py").write_text(SOURCE.replace('KIND = "Scale"', f"KIND = {kind!r}"))
    result = keraskit.run("./mine.py", sizes=(3,))
    expected = result.model.predict(np.ones((2, 3), "float32"), verbose=0)
    code, out, err = command("predict", "runs", "x.npy")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert err.endswith(f"name its file: --recipe {here / 'mine.py'}\n")
    names, outputs = predict_arrays(newest(here / "runs").path, here / "x.npy", recipe=here / "mine.py")
    assert names == ["0"] and np.array_equal(outputs, expected)
    code, out, err = command("verify", "runs", "--recipe", "mine.py")
    assert (code, err) == (0, "") and "DIFFERS" not in out


def test_a_list_of_outputs_has_the_models_names(copied, monkeypatch):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, [keras.layers.Dense(2, name="one")(inputs), keras.layers.Dense(1, name="two")(inputs)])
    monkeypatch.setattr("keraskit.tools.predict.load_model", lambda *_: model)
    names, outputs = predict_arrays(copied.path, copied.path.parents[2] / "x.npy")
    said = np.concatenate(model.predict(np.ones((2, 3)), verbose=0), axis=1)
    assert names == ["one 0", "one 1", "two 0"] and np.allclose(outputs, said)


def test_what_keras_cannot_save_is_refused_before_training(here):
    code, out, err = command("run", "./mine.py", "--kind", "Wordless")
    assert code == 2 and "was created by passing non-serializable argument values" in err
    assert not (here / "runs").exists() and "epoch 1" not in out


VERBS = {"verify": (), "export": ("--format", "keras"), "predict": ("x.npy",), "demo": (), "explain": ("x.png",)}


def test_no_verb_runs_the_file_that_a_manifest_names(here, copied):
    (here / "x.png").touch()
    folder, evil = copied, here / "evil.py"
    evil.write_text(SOURCE + 'open("ran", "w").close()\n')
    folder.update_manifest(source=str(evil))
    for verb, words in VERBS.items():
        code, _, err = command(verb, "runs", *words)
        assert code == 2 and err.count("\n") == 1, (verb, err)
    folder.update_manifest(status="interrupted")
    code, _, err = command("resume", "runs/mine")
    assert code == 2 and err.endswith(f"imported as it is now: --recipe {evil}\n")
    assert not (here / "ran").exists()


def test_callbacks_that_a_manifest_names_are_named_by_the_user(here, copied):
    asked = copied.read_json("run.json")["asked"]
    copied.update_manifest(status="interrupted", asked=asked | {"knobs": {"callbacks": "/stop.py:make"}})
    code, _, err = command("resume", copied.path, "--recipe", "mine.py")
    assert code == 2 and "This run has --callbacks. Its own command goes on: keraskit run" in err and "--resume" in err
    copied.update_manifest(status="finished")
    assert "This run has --callbacks. Start a new run." in command("resume", copied.path, "--epochs", "9").err


def test_the_newest_finished_run_is_taken_and_an_unfinished_one_is_named(here, tiny_run):
    for name, status in (("of/ada/20250101T000000Z-a", "finished"), ("20250102T000000Z-b", "interrupted")):
        folder = RunFolder(shutil.copytree(tiny_run.folder, here / "runs" / "mlp" / name))
        folder.update_manifest(status=status)
    (here / "runs" / "mlp" / "20250103T000000Z-c").mkdir()
    (here / "runs" / "mlp" / "20250103T000000Z-c" / "run.json").write_text("{")  # damaged
    np.save("x.npy", np.zeros((2, 784), "float32"))
    assert newest(here / "runs").path.name == "20250101T000000Z-a"
    code, out, _ = command("predict", folder.path, "x.npy", "--json", "x.json")
    rows = len(folder.read_history())
    says = f"NOTE           {folder.path} is interrupted: its model is the best of {rows} of"
    assert code == 0 and out.startswith(says)
    assert len(json.loads((here / "x.json").read_text())) == 2
    for verb in ("demo", "export", "verify"):
        code, _, err = command(verb, folder.path)
        assert code == 2 and err.count("\n") == 1 and "has not finished: it is interrupted" in err
