"""What is chosen for a model on a machine, and why."""

import dataclasses
import json
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keraskit
from keraskit import from_arrays
from keraskit.config import RunConfig
from keraskit.distributed.cluster import Cluster
from keraskit.errors import UserError
from keraskit.models.graph import operations
from keraskit.recipe import Recipe
from keraskit.registry import load_recipe
from keraskit.runs.folder import RunFolder
from keraskit.training import autotune, hardware


def choose(model, steps=100, loss="mse", metrics=(), **knobs):
    config, eager = RunConfig(**knobs), model.name == "eager"
    model.compile(loss=loss, metrics=list(metrics), jit_compile=False, run_eagerly=eager)
    return SimpleNamespace(**hardware.choose(model, config, hardware.configure(config), steps))


class Own(keras.Model):
    def train_step(self, data):
        return {}


def test_choices_follow_the_model_and_the_machine(monkeypatch):
    mlp, cnn = load_recipe("mlp").build(), load_recipe("cnn").build()
    monkeypatch.setattr(hardware.system, "cpu_features", lambda: {"avx512_bf16"})
    assert [f"{c.precision.value} {c.xla.value}" for c in map(choose, (cnn, mlp))] == ["bfloat16 off", "float32 on"]
    doubled = keras.Sequential([*cnn.layers, keras.layers.Lambda(lambda x: 2 * x)])
    text = keras.Sequential([keras.Input((1,), dtype="string"), keras.layers.Hashing(9), keras.layers.Dense(1)])
    for model, given in (  # what is not Keras's own, or cannot be compiled
        *((kind, {}) for kind in (Own(cnn.inputs, cnn.outputs), Own(mlp.inputs, mlp.outputs), doubled, text)),
        *((kind, given) for kind in (mlp, cnn) for given in ({"loss": lambda y, p: p}, {"metrics": [lambda y, p: p]})),
    ):
        assert (choose(model, **given).precision.value, choose(model, **given).xla.value) == ("float32", "off")
    with pytest.raises(UserError, match="--xla on: a layer cannot take it"):
        choose(text, xla="on")
    assert choose(cnn, metrics=["mae", keras.metrics.AUC()], loss=keras.losses.Huber()).precision.value == "bfloat16"
    own = keras.layers.Dense(2, dtype="mixed_bfloat16"), "but where the recipe's layers have a dtype of their own"
    for layer, reason in (own, (keras.layers.BatchNormalization(name="norm"), "norm may need its digits")):
        assert choose(keras.Sequential([*cnn.layers[:2], layer])).precision.reason == reason
    monkeypatch.setattr(hardware.system, "cpu_features", set)
    assert choose(cnn).precision.value == "float32"


def test_what_bfloat16_would_round_away_is_trained_in_float32_and_outputs_always_are(monkeypatch, tmp_path):
    monkeypatch.setattr(hardware.system, "cpu_features", lambda: {"avx512_bf16"})
    x, labels = np.random.default_rng(0).random((96, 8, 8, 1)), np.arange(96) % 2
    values, constant, L = 1_000 + x.mean(axis=(1, 2, 3)), keras.initializers.Constant, keras.layers

    def trained(x, y, precision):
        def build():
            end = L.Dense(2, "softmax") if y is labels else L.Dense(1, bias_initializer=constant(1_000))
            return keras.Sequential([keras.Input(x.shape[1:]), L.Conv2D(4, 3), L.GlobalAveragePooling2D(), end])

        def compile_model(model):  # top k takes float32 alone
            top = {"loss": "sparse_categorical_crossentropy", "metrics": ["sparse_top_k_categorical_accuracy"]}
            model.compile("adam", **(top if y is labels else {"loss": "mse"}))

        made = Recipe(build=build, compile=compile_model, data=from_arrays(x, y, x, y), monitor="val_loss", epochs=1)
        result = keraskit.run(made, output_dir=tmp_path, precision=precision)
        written = RunFolder(result.folder).read_json
        assert result.history[0]["val_loss"] == pytest.approx(written("metrics.json")["validation"]["loss"], rel=0.05)
        return written("run.json")["choices"]["precision"]["reason"]

    assert "faster" in trained(x, labels, "auto") and trained(x, values, "bfloat16") == "as asked"
    assert trained(x, values, "auto") == "targets that are values need its digits"
    beside = np.concatenate([5_000 * x, x + 1_000], axis=-1)  # a narrow channel beside a wide one
    assert trained(beside, labels, "auto") == "bfloat16 would round away much of what inputs differ in"


def test_a_gpu_is_used_when_there_is_one(monkeypatch):
    """With the device list faked: this has not run on a real GPU."""
    grown = []
    config = hardware.tf.config
    monkeypatch.setattr(config, "list_physical_devices", lambda kind=None: ["a GPU"])
    monkeypatch.setattr(config.experimental, "set_memory_growth", lambda gpu, on: grown.append(on))
    details = {"device_name": "Some GPU", "compute_capability": (8, 0)}
    monkeypatch.setattr(config.experimental, "get_device_details", lambda gpu: details)
    choices = choose(load_recipe("cnn").build())
    assert (choices.device.value, choices.precision.value, grown) == ("gpu", "float16", [True])
    details["compute_capability"] = (6, 1)
    assert choose(load_recipe("cnn").build()).precision.value == "float32"
    assert choose(load_recipe("cnn").build(), device="cpu").device.value == "cpu"
    assert "cuDNN's kernels" in choose(load_recipe("lstm").build()).xla.reason
    with pytest.raises(UserError, match="gpu:1, but TensorFlow sees 1 GPUs here, counted from 0"):
        choose(load_recipe("cnn").build(), device="gpu:1")
    monkeypatch.setattr(config, "list_physical_devices", lambda kind=None: ["a GPU", "another"])
    second = hardware.configure(RunConfig(device="gpu:1"))
    assert second.device.value == "gpu:1" and "GPU:1" in str(second.scope._device_name)


def test_xla_is_for_lstm_layers_and_for_others_that_give_out_their_last_step_alone():
    def xla(*layers, **settings):
        return choose(keras.Sequential([keras.Input((4, 2)), *layers]), **settings).xla.value

    last, every = {}, {"return_sequences": True}
    lstm, gru = keras.layers.LSTM, keras.layers.GRU
    assert [xla(layer(3, **steps)) for layer in (lstm, gru) for steps in (last, every)] == ["on", "on", "on", "off"]
    assert xla(lstm(3, **every), gru(3)) == xla(lstm(3, **every), precision="bfloat16") == "off"
    assert xla(lstm(3, **every), acceleration=False) == "off"
    assert [choose(load_recipe(name).build()).xla.value for name in ("lstm", "multi_output")] == ["on", "on"]
    assert xla(lstm(3), metrics=[lambda y, p: p]) == xla(keras.layers.Dense(3, activation=hardware.tf.nn.relu)) == "on"


def test_what_keras_or_tensorflow_cannot_do_is_refused():
    devices = dataclasses.replace(hardware.configure(RunConfig()), cluster=Cluster(devices=2))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(gradient_accumulation_steps=2), "mse")
    with pytest.raises(UserError, match="Keras neither accumulates gradients"):
        hardware.choose(model, RunConfig(), devices, steps=9)
    with pytest.raises(UserError, match="--threads 77 comes too late: Intra op parallelism cannot be modified"):
        hardware.configure(RunConfig(threads=77))


def test_short_steps_are_handed_over_several_at_a_time():
    cnn, mlp, lstm = (load_recipe(name).build() for name in ("cnn", "mlp", "lstm"))
    layers = (25 * 25 * 128 * 16, 9 * 9 * 64 * 16 * 128, 1_024 * 64, 64 * 10)  # each output's products, by hand
    assert operations(cnn) == 2 * sum(layers)
    assert operations(mlp) == 2 * (784 * 512 + 512 * 216 + 216 * 128 + 128 * 10)

    def several(model, steps=400, batch_size=128, save_every=None):
        return choose(model, steps, batch_size=batch_size, save_every=save_every).steps_per_execution.value

    assert several(mlp) == 32 and several(mlp, steps=3) == 3
    assert several(cnn) == 4 and several(cnn, batch_size=16) == 8 and several(cnn, batch_size=1_024) == 1
    assert several(mlp, save_every=5) == 5 and several(cnn, save_every=100) == 4
    eager = keras.Model(mlp.inputs, mlp.outputs, name="eager")
    assert several(lstm) == several(eager) == 1 and choose(eager).xla.reason == "the recipe compiles with run_eagerly"


def test_deterministic_operations_are_used_where_they_are_asked_for():
    from tensorflow.python.framework import config  # it can be undone by no public name

    mlp, knobs = load_recipe("mlp").build(), {"deterministic": True}
    try:
        assert choose(mlp, **knobs).xla.value == "off" and config.is_op_determinism_enabled()
        with pytest.raises(UserError, match="neither deterministic"):
            choose(mlp, **knobs, xla="on")
    finally:
        config.disable_op_determinism()


def test_autotune_measures_every_way_and_prints_the_flags_of_the_fastest_first(capsys, monkeypatch):
    monkeypatch.setattr(autotune, "LONG_ENOUGH", 0.02)
    monkeypatch.setattr(hardware, "bfloat16_feature", lambda: None)
    table = autotune.autotune(load_recipe("quickstart"), RunConfig(limit=64, batch_size=16), {})
    assert [row[2] for row in table] == sorted(row[2] for row in table)
    printed = re.findall(r"([\d.]+) ms a step with --precision", capsys.readouterr().out)
    assert printed == [f"{row[2]:.2f}" for row in table]
    assert {row[:2] for row in table} == {("float32", "on"), ("float32", "off")}


PROGRAM = """
import json, sys
from keraskit import start
start.start_tensorflow()
import tensorflow as tf
import keraskit
from keraskit.training import fit, hardware

configure, save, found = hardware.configure, fit.Checkpoints.save, {}

def first(config):
    cpu = tf.config.list_physical_devices("CPU")[0]  # of which the second part stands for an accelerator
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    hardware.configure = configure
    return configure(config)

def spied(self, *where):
    several = [*self.model.variables, *self.model.metrics_variables, *self.model.optimizer.variables]
    found["there"] = sorted({v.value.device[-5:] for v in several})
    found["here"] = sorted({t.device[-5:] for t in tf.nest.flatten(next(iter(self.best.setup.epochs.batches())))})
    save(self, *where)

hardware.configure, fit.Checkpoints.save = first, spied
knobs = {"limit": 64, "epochs": 1, "hidden": (8,), "xla": "off", "output_dir": sys.argv[1]}
found["weights"] = []
for device in ("cpu", "cpu:1"):
    hardware._device = lambda asked: hardware.Choice(device, "")
    result = keraskit.run("mlp", **knobs)
    found["weights"].append([w.tobytes().hex() for w in result.model.get_weights()])
print(json.dumps(found))
"""


def test_what_trains_lies_on_the_device_that_was_named_and_the_input_on_the_cpu(preforked, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = preforked.run(tmp_path / "program.py", [tmp_path / "runs"], tmp_path, timeout=400)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["there"], found["here"]) == (["CPU:1"], ["CPU:0"])
    assert found["weights"][0] == found["weights"][1]
