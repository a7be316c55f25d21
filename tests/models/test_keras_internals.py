"""Names of Keras and TensorFlow that are not public: this fails by name when one goes or changes."""

import re
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from keras.src.trainers.epoch_iterator import EpochIterator

import keraskit
from keraskit.models import keras_internals
from keraskit.models.weights import unallocated

SOURCES = Path(keraskit.__file__).parent


@pytest.fixture(scope="module")
def compiled():
    model = keras.Sequential([keras.Input((2,), name="x"), keras.layers.Dense(1), keras.layers.Activation("sigmoid")])
    model.compile(loss="mse", metrics=["mae"])
    keras_internals.symbolic_build(model, data_batch=(keras.KerasTensor((4, 2)), keras.KerasTensor((4, 1))))
    return model


@pytest.mark.parametrize("name", ["REDUCE_PER_REPLICA", "MAYBE_SYMBOLIC_BUILD", "DEVICE_DATASET", "ASSERT_EQUAL"])
def test_what_is_patched_is_there(name):
    assert callable(getattr(*getattr(keras_internals, name)))


def test_a_compiled_model_still_has_its_parts(compiled):
    assert compiled.optimizer.built and isinstance(keras_internals.loss_tracker(compiled), keras.metrics.Mean)
    loss = keras_internals.compile_loss(compiled)
    assert loss.metrics is loss._metrics  # micro-batches replace them
    named = {m.name: m for each in compiled.metrics for m in getattr(each, "metrics", [])}
    assert keras_internals.metric_direction(named["mae"]) == "down"
    assert keras_internals.metric_direction(keras.metrics.BinaryAccuracy()) == "up"


def test_layers_within_layers_and_their_calls_are_found(compiled):
    two_ways = keras.Sequential([keras.Input((3, 2)), keras.layers.Bidirectional(keras.layers.LSTM(2))])
    assert sum(isinstance(each, keras.layers.LSTM) for each in keras_internals.flatten_layers(two_ways)) == 2
    assert callable(keras.layers.LSTM.inner_loop)  # acceleration/lstm.py computes in its place
    layer, call, place = keras_internals.made_by(compiled.outputs[0])
    assert layer is compiled.layers[-1] and place == 0
    assert keras_internals.nodes(layer)[call].output_tensors[0] is compiled.outputs[0]


def test_logits_are_found_below_a_sigmoid(compiled):
    x = tf.ones((1, 2))
    below = keras_internals.logits_below(compiled(x))
    assert tf.reduce_all(tf.sigmoid(below) == compiled(x)) and keras_internals.logits_below(x) is None


def test_a_model_can_be_built_without_its_weights(compiled):
    assert keras_internals.is_allocated(compiled.weights[0])
    with unallocated():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert not keras_internals.is_allocated(model.weights[0])


def test_tensorflow_still_has_what_joins_workers():
    for name in ("configure_coordination_service", "set_config_key_value", "get_config_key_value", "wait_at_barrier"):
        assert callable(getattr(keras_internals.context.Context, name))
    assert keras_internals.expand_hostlist("n[1-2]") == ["n1", "n2"]
    assert keras_internals.expand_tasks_per_node("2(x2)") == [2, 2]


def test_callbacks_and_epochs_still_know_what_we_look_at(compiled):
    assert keras.callbacks.CallbackList([], model=compiled)._model is compiled
    assert callable(EpochIterator._enumerate_iterator)  # datasets/epochs.py: opened twice


def test_no_other_file_uses_a_private_name():
    private = re.compile(r"keras\.src|tensorflow\.(python|compiler)|(?<!self)(?<!cls)(?<!sys)\._[a-z]")
    said = {}
    for path in SOURCES.rglob("*.py"):
        lines = [re.sub(r"`[^`]+`", "", line) for line in path.read_text("utf-8").splitlines()]
        said[str(path.relative_to(SOURCES))] = [line for line in lines if private.search(line)]
    del said["models/keras_internals.py"]
    assert not {name: lines for name, lines in said.items() if lines}
