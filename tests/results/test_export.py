"""`keraskit export`: the runtimes' own answers against Keras's, in processes and environments of their own."""

import importlib.util
import inspect
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import command
from own import SOURCE
from PIL import Image

import keraskit
from keraskit.config import RunConfig
from keraskit.datasets.digits import load_mnist
from keraskit.datasets.images import decode
from keraskit.errors import RunStopped, UserError
from keraskit.runs.folder import RunFolder
from keraskit.tools.demo.demo import write_demo
from keraskit.tools.export import export
from keraskit.training.settings import settle
from keraskit.training.setup import build, load, reopen, source_of

pytestmark = pytest.mark.usefixtures("undrawn")
MISSING = [name for names in export.MODULES.values() for name in names if importlib.util.find_spec(name) is None]
needs_all = pytest.mark.skipif(bool(MISSING), reason="the extra `export` is not installed")
FAST = ["onnx", "litert"]  # runtimes that start at once


WITHOUT = """
import runpy, sys
sys.modules["keraskit"] = None  # an import of it fails
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def elsewhere(folder, *files):
    """What an export's own program prints, in a process without keraskit."""
    line = [sys.executable, "-c", WITHOUT, folder / "predict.py", *files]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=120)


@needs_all
def test_every_format_answers_as_keras_and_without_keraskit(tiny_run, here):
    tmp_path = here
    code, out, err = command("export", tiny_run.folder, "--format", *export.FILES, "--output-dir", "out")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line.split() for line in out.splitlines()}
    for name in export.FILES:
        size, difference = (rows[name][i].strip(",:") for i in (1, 5))
        assert int(size.replace(",", "")) > 2_000_000 and float(difference) < 1e-5

    digit = load_mnist()[0]["x_test"][7]
    Image.fromarray(digit).save(tmp_path / "digit.png")
    model = keras.models.load_model(tiny_run.folder / "model.keras", compile=False)
    known = model.predict(digit.reshape(1, 784) / np.float32(255), verbose=0)[0]
    for name in FAST:
        folder = shutil.copytree(tmp_path / "out" / name, tmp_path / "moved" / name)
        done = elsewhere(folder, tmp_path / "digit.png")
        assert done.returncode == 0, done.stderr
        file, best, *_ = done.stdout.strip().split("\t")
        assert Path(file).name == "digit.png" and best.split()[0] == str(known.argmax())
        assert float(best.split()[1]) == pytest.approx(known.max(), abs=6e-4)
        assert inspect.getsource(decode.read) in (folder / "predict.py").read_text()


def untrained(name, **options):
    """A recipe's model with its initial weights, and eight examples."""
    recipe = keraskit.load_recipe(name)
    settings = settle(recipe, RunConfig(quick=True, limit=16), options)
    settings, source = source_of(recipe, settings)
    model = build(recipe, settings)
    splits = load(recipe, settings, model, source)
    facts = {"recipe": name, "classes": splits.classes, "class_output": recipe.class_output}
    return export.exportable(model, facts, splits.test.limited(8))


@needs_all
@pytest.mark.parametrize(("name", "formats"), [("lstm", ["litert"]), ("multi_input", FAST), ("multi_output", ["onnx"])])
def test_models_with_loops_and_branches(name, formats, tmp_path):
    asked = untrained(name)
    export.export(asked, formats, tmp_path)
    for each in formats:
        answers = export.ask(tmp_path / each, asked.x, 1)
        assert all(np.abs(answers[name] - known).max() < 1e-5 for name, known in asked.expected.items())


@needs_all
def test_predict_py_reads_files_as_training_does(tmp_path):
    """Transparent on white, 12 bits as the data set's, upright, a palette; no traceback for what is no picture."""
    random = np.random.default_rng(0)
    grey = random.integers(0, 256, (40, 30)).astype(np.uint8)
    for kind in ("cat", "dog"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for i in range(8):
            deep = random.integers(0, 4096, (40, 30)).astype(np.uint16)
            Image.fromarray(deep).save(tmp_path / "data" / kind / f"{i}.png")
    export.export(untrained("cats_dogs", data_dir=tmp_path / "data", size=64), ["onnx"], tmp_path / "out")

    alpha = random.integers(0, 256, grey.shape)
    Image.fromarray(np.dstack([grey] * 3 + [alpha.astype(np.uint8)])).save(tmp_path / "clear.png")
    Image.fromarray(grey.astype(np.uint16) * 16 + 5).save(tmp_path / "deep.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    turned = Image.Exif()
    turned[0x0112] = 3
    Image.fromarray(grey[::-1, ::-1]).save(tmp_path / "turned.png", exif=turned)
    (tmp_path / "note.jpg").write_text("no picture")
    names = ["clear.png", "deep.png", "palette.png", "turned.png", "note.jpg", "gone.png"]
    done = elsewhere(tmp_path / "out" / "onnx", *(tmp_path / name for name in names))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert [line.split()[0].rpartition("/")[2] for line in done.stderr.splitlines()] == names[4:]
    assert [line.split("\t")[0].rpartition("/")[2] for line in done.stdout.splitlines()] == names[:4]
    picture = runpy.run_path(str(tmp_path / "out" / "onnx" / "predict.py"))["picture"]
    shown = [np.round(255 + (grey - 255.0) * (alpha / 255)), grey, grey, grey]
    for name, known in zip(names, shown, strict=False):
        image = Image.fromarray(known.astype(np.uint8)).convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
        assert np.abs(picture(tmp_path / name)[0].astype(int) - np.asarray(image)).max() <= 2, name


OWN = """
import keras, numpy as np
from keraskit import Recipe, from_arrays

def build():
    a, b = keras.Input((3,), name="a"), keras.Input((2, 2), name="b")
    both = keras.layers.Concatenate()([a, keras.layers.Flatten()(b)])
    return keras.Model([a, b], [keras.layers.Dense(1, name="sum")(both), keras.layers.Dense(4, name="bins")(both)])

def compile_model(model):
    model.compile(optimizer="sgd", loss=["mse", "mse"])

rng = np.random.default_rng(0)
x = {"a": rng.normal(size=(64, 3)).astype("float32"), "b": 9 * rng.normal(size=(64, 2, 2)).astype("float32")}
y = (x["a"].sum(axis=1), x["b"].reshape(-1, 4))
data = from_arrays(x, y, x, y)
recipe = Recipe(build=build, compile=compile_model, data=data, batch_size=8, monitor="val_loss", epochs=1)
"""


def run_of(source, place):
    (place / "own.py").write_text(source)
    folder = keraskit.run(str(place / "own.py"), epochs=1, xla="off", output_dir=place / "runs").folder
    _, splits, model = reopen(RunFolder(folder), place / "own.py")
    return folder, export.exportable(model, RunFolder(folder).read_manifest(), splits.test)


@needs_all
@pytest.mark.parametrize("source", [OWN, SOURCE], ids=["several inputs and outputs", "an input without a name"])
def test_arrays_of_ones_own(source, tmp_path):
    _, asked = run_of(source, tmp_path)
    export.export(asked, ["saved_model", *FAST], tmp_path)
    assert source is SOURCE or (set(asked.x), set(asked.expected)) == ({"a", "b"}, {"sum", "bins"})
    arrays = {name: values[:2].astype("float64") for name, values in asked.x.items()}
    np.savez(tmp_path / "x.npz", **arrays)
    np.save(tmp_path / "x.npy", next(iter(arrays.values())))  # for one input
    for name in FAST:
        done = elsewhere(tmp_path / name, tmp_path / ("x.npz" if source is OWN else "x.npy"))
        assert done.returncode == 0, done.stderr
        told = [float(number) for number in done.stdout.splitlines()[0].replace("[", " ").replace("]", " ").split()[1:]]
        np.testing.assert_allclose(told, np.concatenate([v[0].ravel() for v in asked.expected.values()]), rtol=1e-4)


def test_what_is_exported_is_the_model_that_was_tested_whatever_became_of_its_file(tmp_path):
    folder, _ = run_of(SOURCE, tmp_path)
    (tmp_path / "own.py").write_text(SOURCE.replace('"tanh"', '"relu"'))
    words = ["--format", "keras", "--recipe", tmp_path / "own.py", "--output-dir", tmp_path / "out"]
    done = command("export", folder, *words)
    exported = keras.models.load_model(tmp_path / "out" / "keras" / "model.keras")
    x = np.random.default_rng(0).normal(size=(9, 3)).astype("float32")
    known = keras.models.load_model(folder / "model.keras").predict(x, verbose=0)
    assert done.code == 0 and np.array_equal(exported.predict(x, verbose=0)["output"], known)


REGISTERED = """
@keras.saving.register_keras_serializable()
class Halved(keras.layers.Layer):
    def call(self, x):
        return x / 2


def build("""


@needs_all
def test_a_class_of_ones_own_is_needed_by_the_keras_format_alone(tmp_path):
    layered = "inputs = keras.Input((3,))\n    hidden = Halved()(inputs)"
    source = SOURCE.replace("inputs = hidden = keras.Input((3,))", layered).replace("def build(", REGISTERED)
    _, asked = run_of(source, tmp_path)
    with pytest.raises(RunStopped, match=r"keras is not exported: Could not locate class 'Halved'.* Nothing is left"):
        export.export(asked, [*FAST, "keras"], tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FAST)


def taken(x, y, build, loss, facts=None, **more):
    splits, model = keraskit.from_arrays(x[:40], y[:40], x[40:], y[40:], **more)(), build()
    model.compile(loss=loss)
    return export.exportable(model, facts or {"recipe": "own", "classes": splits.classes}, splits.test)


@needs_all
def test_a_value_that_is_learned_from_pictures_is_no_probability(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (60, 9, 7), dtype=np.uint8)
    model = keras.Sequential([keras.Input((9, 7)), keras.layers.Flatten(), keras.layers.Dense(1)])
    own_loss = lambda y, predicted: keras.ops.mean((y - predicted) ** 2, axis=-1)  # noqa: E731
    asked = taken(x, x.mean(axis=(1, 2)).astype("float32") / 100, lambda: model, own_loss, scale="unit")
    export.export(asked, ["keras", "onnx"], tmp_path)
    assert asked.x["picture"].dtype == np.uint8 and asked.expected["output"].shape == (20, 1)
    known = model.predict(asked.x["picture"] / np.float32(255), verbose=0)
    Image.fromarray(asked.x["picture"][5]).save(tmp_path / "five.png")
    done = elsewhere(tmp_path / "onnx", tmp_path / "five.png")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split("\t")[1].strip("[]\n")) == pytest.approx(known[5, 0], abs=1e-5)


def test_of_several_labels_probabilities_are_exported(tmp_path):
    facts, x = {"recipe": "own", "class_activation": "sigmoid"}, np.ones((60, 3), np.float32)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    asked = taken(x, np.eye(4)[np.arange(60) % 4] + np.eye(4)[0] > 0, lambda: model, "mse", facts=facts)
    known = 1 / (1 + np.exp(-model.predict(x[:20], verbose=0)))
    np.testing.assert_allclose(asked.model.predict(asked.x, verbose=0)["output"], known, rtol=1e-5)


def test_a_model_that_reads_text_can_be_taken_away(tmp_path):
    words = np.array(["good", "fine", "bad", "poor"])[np.random.default_rng(0).integers(0, 4, (60, 3))]
    x, y = np.array([" ".join(row) for row in words]), (words[:, 0] == "good").astype("int64")

    def build():
        vocabulary = keras.layers.TextVectorization(max_tokens=9, output_sequence_length=3)
        vocabulary.adapt(x)
        inputs = keras.Input((), dtype="string")
        found = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(9, 4)(vocabulary(inputs)))
        return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(found))

    asked = taken(x, y, build, "sparse_categorical_crossentropy")
    export.export(asked, ["keras", "saved_model"], tmp_path)
    x = np.char.decode(next(iter(asked.x.values())).astype(bytes), "utf-8")  # as np.load gives it
    for name in ("keras", "saved_model"):
        answers = export.ask(tmp_path / name, {next(iter(asked.x)): x}, 7)
        assert np.abs(answers["output"] - asked.expected["output"]).max() < 1e-6


RANDOM = """
import keras, numpy as np
from keras import layers
from keraskit import Recipe, from_arrays

class Shifted(layers.RandomBrightness):
    pass

x = np.random.default_rng(0).integers(0, 256, (60, 9, 7, 3), dtype=np.uint8)
y = (x.mean(axis=(1, 2, 3)) > 127).astype("int64")

def build():
    within = [layers.RandomFlip(), layers.RandomRotation(0.2), layers.RandomTranslation(0.2, 0.2)]
    inputs = keras.Input((9, 7, 3))
    h = layers.GaussianNoise(0.5)(layers.RandomContrast(0.5)(keras.Sequential(within)(inputs)))
    h = layers.Flatten()(Shifted(0.2, value_range=(0, 1))(h))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Dropout(0.5)(h)))

def compile_model(model):
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

data = from_arrays(x[:40], y[:40], x[40:], y[40:]%s)
recipe = Recipe(build=build, compile=compile_model, data=data, epochs=1, batch_size=8)
"""


@needs_all
@pytest.mark.parametrize("scale", [', scale="unit"', ""])
def test_layers_that_are_random_in_training_are_not_exported(scale, tmp_path):
    """They draw no numbers in the files, and where nothing else does the page runs them too."""
    folder, asked = run_of(RANDOM % scale, tmp_path)
    export.export(asked, ["saved_model", *FAST] if scale else FAST, tmp_path)
    if scale:
        described = write_demo(folder, tmp_path / "demo.html", tmp_path / "own.py").read_text()
        assert described.count("Affine") > 6
        (tmp_path / "own.py").write_text(RANDOM % ', scale="pixels"')
        _, splits, model = reopen(RunFolder(folder), tmp_path / "own.py")
        with pytest.raises(UserError, match="prepares pictures otherwise than in this run"):
            export.exportable(model, RunFolder(folder).read_manifest(), splits.test)


def test_what_differs_or_is_damaged_is_not_kept(tiny_run, tmp_path, monkeypatch):
    written = export.write

    def other(name, asked, folder):
        asked.model.layers[-1].set_weights([w + np.float32(0.01) for w in asked.model.layers[-1].get_weights()])
        return written(name, asked, folder)

    def damaged(name, asked, folder):
        size = written(name, asked, folder)
        (folder / "model.keras").write_bytes(b"no model")
        return size

    for write, says in ((other, "it differs from Keras by 0."), (damaged, "model.keras")):
        monkeypatch.setattr(export, "write", write)
        words = ["export", tiny_run.folder, "--format", "keras", "--limit", "20", "--output-dir", tmp_path / "out"]
        code, _, said = command(*words)
        assert code == 1 and said.count("\n") == 1 and says in said, said
        assert list((tmp_path / "out").iterdir()) == []


def test_refusals(tiny_run, tmp_path, monkeypatch):
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "thesis.txt").touch()
    words = ("export", tiny_run.folder, "--format", "keras", "saved_model", "--limit", 2, "--output-dir", tmp_path)
    code, _, said = command(*words)
    assert code == 2 and "there already" in said and said.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "saved_model", tmp_path / "saved_model" / "thesis.txt"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for names in (["onnx"], []):
        code, _, said = command("export", tiny_run.folder, *(["--format", *names] if names else []))
        assert code == 2 and "onnx, onnxruntime, tf2onnx." in said and "keraskit[export]" in said
