"""Model and weight files made to do harm: refused with the reason, before anything runs or fills the memory."""

import contextlib
import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from keraskit.errors import UserError
from keraskit.models import applications, weights
from keraskit.runs.folder import RunFolder
from keraskit.runs.opening import load_model

MARK = "ran"  # a file that the attacks make


def small():
    return keras.Sequential([keras.Input((3,), name="x"), layers.Dense(2, name="dense"), layers.Dense(1, name="end")])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small().save("model.keras")
    RunFolder(tmp_path).write_json("run.json", {})
    return RunFolder(tmp_path)


def rewritten(path, change=None, more=(), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if change:
        config = json.loads(members["config.json"])
        members["config.json"] = json.dumps(change(config) or config).encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in [*members.items(), *more]:
            archive.writestr(name, data)


def layer(class_name, config, module="keras.layers", **more):
    """A change of the configuration that puts this layer last."""

    def change(found):
        found["config"]["layers"].append({"module": module, "class_name": class_name, "config": config, **more})

    return change


def set_units(count):
    return lambda found: found["config"]["layers"][-1]["config"].update(units=count)


def doubled(model, levels):
    """Models that call the one within twice."""
    x = keras.Input((3,))
    return doubled(keras.Model(x, model(model(x))), levels - 1) if levels else model


STEPS = keras.Input((10_000, 1))
MODELS = [  # without many weights, and the reason
    (doubled(keras.Sequential([keras.Input((3,)), layers.ReLU()]), 16), r"has [\d,]{9} layers and the like"),
    (keras.Model(STEPS, layers.AdditiveAttention(name="a")([STEPS, STEPS])), r" a 400,000,000\."),
    (keras.Model(STEPS, layers.MultiHeadAttention(2, 1, name="h")(STEPS, STEPS)), r" h 800,000,000\."),
]


def unfold(found):
    """Each within bounds, and 20 GB in all."""
    for i in range(21):
        layer("RepeatVector", {"name": f"r{i}", "n": 24 * 10**7})(found)
        layer("GlobalAveragePooling1D", {"name": f"g{i}"})(found)


ATTACKS = {
    "a Lambda around a function by name": (layer("Lambda", {"name": "l", "function":
        {"class_name": "function", "config": "print", "module": "builtins"}}), "function 'print'"),
    "a model of TensorFlow's own": (layer("TFSMLayer", {"name": "l", "filepath": "."}), "loads an external SavedModel"),
    "a file of this machine as a vocabulary": (layer("StringLookup", {"name": "l", "vocabulary": "/etc/passwd"}),
        "vocabulary file outside of the model archive"),
    "a class that nobody registered": (
        layer("Mine", {}, module="mine", registered_name="mine>Mine"), "Could not locate class 'Mine'"),
    "more weights than any memory holds": (set_units(10**12), r"end 4,000,000,000,000\."),
    "more weights than the file holds": (set_units(20_000_000), "declares 60,000,008 weights"),
    "more layers than anybody would wait for": (lambda found: found["config"]["layers"].extend(
        found["config"]["layers"][-1:] * 9_000), r"its config.json has [\d,]{6} layers and the like"),
    "a layer that unfolds": (layer("RepeatVector", {"name": "r", "n": 3 * 10**8}), r"r 1,200,000,000\."),
    "layers that unfold together": (unfold, "its layers give out 20,"),
    "no model but a layer": (
        lambda _: {"module": "keras.layers", "class_name": "Dense", "config": {"units": 3}}, "holds a Dense, no model"),
}  # fmt: skip


def test_a_configuration_that_attacks_is_refused_with_the_reason(folder):
    for change, reason in ATTACKS.values():
        small().save("model.keras")
        rewritten(folder.path / "model.keras", change)
        with pytest.raises(UserError, match=rf"model\.keras cannot be loaded: \w+: .*{reason}"):
            load_model(folder)
    for model, reason in MODELS:
        model.save("model.keras")
        with pytest.raises(UserError, match=rf"model\.keras cannot be loaded: \w+: .*{reason}"):
            load_model(folder)


def test_a_lambda_that_would_run_does_not(folder):
    code = layers.Lambda(lambda x: [x, open("ran", "w").close()][0], output_shape=(3,))  # noqa: PTH123
    keras.Sequential([keras.Input((3,)), code]).save("model.keras")
    Path(MARK).unlink(missing_ok=True)
    with pytest.raises(UserError, match="disallowed by default"):
        load_model(folder)
    assert not Path(MARK).exists()
    keras.models.load_model("model.keras", safe_mode=False)(np.zeros((1, 3)))  # the attack is real
    assert Path(MARK).exists()


@pytest.mark.filterwarnings("ignore")
def test_an_archive_with_more_members_leaves_nothing_behind(folder):
    """Keras unpacks what lies in assets/, where vocabularies are, into a folder of its own."""
    for name in ("assets/x", "../x", "config.json"):
        small().save("model.keras")
        rewritten(folder.path / "model.keras", more=[(name, b"{}")])
        with contextlib.suppress(UserError):  # of two configurations the last counts, and is none
            load_model(folder)
        assert sorted(p.name for p in folder.path.iterdir()) == ["model.keras", "run.json"]
        assert not (folder.path.parent / "x").exists()


def test_a_bomb_in_the_archive_is_refused_before_it_is_unpacked(folder):
    path, bomb = folder.path / "model.keras", {"x": " " * 60_000_000}
    rewritten(path, lambda found: found | bomb, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r"its config\.json claims 60,"):
        load_model(folder)
    small().save(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for i in range(9):  # each within bounds, as Keras has them too
            archive.writestr(f"assets/{i}", bytes(15_000_000))
    with pytest.raises(UserError, match=r"refused: its files claim 135,"):
        load_model(folder)


def test_a_sequential_model_is_built_once_where_keras_would_build_it_at_each_layer(folder):
    keras.Sequential([keras.Input((3,)), *(layers.Dense(3) for _ in range(9)), small()]).save("model.keras")
    loaded, anew = load_model(folder), keras.models.load_model("model.keras", compile=False)
    assert [len(m.layers[0]._inbound_nodes) for m in (loaded, anew)] == [1, 10]  # as many as layers, squared
    assert loaded.to_json() == anew.to_json()
    assert np.array_equal(loaded(np.ones((1, 3))), anew(np.ones((1, 3))))


def test_what_is_no_archive_is_refused_with_the_reason(folder):
    whole = (folder.path / "model.keras").read_bytes()
    for data, reason in (
        (pickle.dumps({"a": 1}), "not a zip file"),
        (whole.replace(b"dense", b"DENSE", 1), "Bad CRC-32 for file 'config.json'"),
    ):
        (folder.path / "model.keras").write_bytes(data)
        with pytest.raises(UserError, match=reason):
            load_model(folder)


def test_models_that_runs_write_load_as_keras_loads_them(folder):
    from keraskit.recipes import cats_dogs_finetune, multi_output

    adapted, known = layers.TextVectorization(max_tokens=9), layers.StringLookup(vocabulary=["good", "bad"])
    adapted.adapt(["a good film", "a bad one"])
    for each in (adapted, known):
        model = keras.Sequential([keras.Input((1,), dtype="string"), each])
        model.save("model.keras")
        assert np.array_equal(load_model(folder)(np.array([["a bad"]])), model(np.array([["a bad"]])))
    augmented = keras.Sequential([keras.Input((8, 8, 3)), layers.RandomRotation(0.1), layers.Flatten()])
    for model in (augmented, multi_output.build(), cats_dogs_finetune.build(alpha=0.25, size=64)):
        model.save("model.keras")
        one, two = load_model(folder), keras.models.load_model("model.keras", compile=False)
        assert one.get_config() == two.get_config() and one.count_params() == model.count_params()
        assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))


def replaced(file, **dataset):
    file["layers/dense/vars"].pop("0")
    return file["layers/dense/vars"].create_dataset("0", **dataset) if dataset else file["layers/dense/vars"]


def external_link(file):
    replaced(file)["0"] = h5py.ExternalLink("/etc/passwd", "/")


def padded(file):
    """Arrays of 1.6 GB in 16 MB of zeros, which an archive shrinks to 17 kB."""
    replaced(file, shape=(13_000, 30_000), dtype="f4", chunks=(100, 30_000))
    file["more"] = np.zeros(15_900_000, "u1")


def nested(file):
    """Groups in groups, each of which takes longer to visit than the last."""
    for _ in range(300):
        file = file.create_group("g")


def chunk(file):
    """A small array of one large chunk, which Keras would unpack whole."""
    replaced(file, shape=(3, 2), maxshape=(None, None), dtype="f4", chunks=(10**4, 10**4), compression="gzip")


WEIGHTS = {
    external_link: "H5 file with ExternalLink",
    chunk: "refused: its arrays claim 0.4 GB",
    nested: "refused: it has more than 50,000 groups and arrays, or 50 in each other",
}


@pytest.mark.parametrize("attack", [chunk, padded, nested], ids=lambda attack: attack.__name__)
def test_weights_within_a_model_are_compared_with_the_size_of_its_file(folder, attack):
    path = folder.path / "model.keras"
    with zipfile.ZipFile(path) as archive:
        inside = io.BytesIO(archive.read(weights.WEIGHTS))
    with h5py.File(inside, "a") as file:
        attack(file)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings(action="ignore"):
        archive.writestr(weights.WEIGHTS, inside.getvalue())  # of two members the last counts
    for load in (load_model, lambda folder: applications.load_file(small(), folder.file("model.keras"))):
        with pytest.raises(UserError, match=WEIGHTS.get(attack, r"refused: its arrays claim 1.6 GB, and it has \d\d,")):
            load(folder)


@pytest.mark.parametrize("ending", [".weights.h5", ".h5"])
@pytest.mark.parametrize("attack", WEIGHTS, ids=lambda attack: attack.__name__)
def test_weights_that_attack_are_refused_and_the_model_stays_as_it_was(tmp_path, attack, ending):
    path = tmp_path / f"evil{ending}"
    model = small()
    model.save_weights(tmp_path / "evil.weights.h5")
    (tmp_path / "evil.weights.h5").rename(path)
    with h5py.File(path, "a") as file:
        attack(file)
        file.attrs["layer_names"] = ["layers/dense", "layers/dense_1"]  # as Keras 2's files name their arrays
        for layer in file.attrs["layer_names"]:
            file[layer].attrs["weight_names"] = ["vars/0", "vars/1"]
    before = model.get_weights()
    with pytest.raises(UserError, match=WEIGHTS[attack]):
        applications.load_file(model, path)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
