"""Names of Keras and TensorFlow that are not public: this fails by name when one is gone."""

import pkgutil

import keras
import pytest

from keraskit.models import keras_internals
from keraskit.models.weights import unallocated

PATCHED = {name: pair for name, pair in vars(keras_internals).items() if isinstance(pair, tuple)}
USED = (  # elsewhere; pyproject.toml bounds Keras below the next release
    "keras.src.backend.common.global_state.get_global_attribute",  # models/keras_internals.py counts names
    "keras.Model._flatten_layers",  # layers within layers are counted, looked at, and chosen for
    "keras.Model._symbolic_build",  # training/setup.py creates variables before the first step
    "keras.layers.LSTM.inner_loop",  # training/acceleration.py computes in its place
    "tensorflow.python.eager.context.Context.configure_coordination_service",  # models/keras_internals.py
    "tensorflow.python.eager.context.Context.wait_at_barrier",  # distributed/cluster.py
)


@pytest.mark.parametrize("name", [*PATCHED, *USED])
def test_keras_still_has(name):
    assert callable(getattr(*PATCHED[name]) if name in PATCHED else pkgutil.resolve_name(name))


def test_instances_still_have():
    """Attributes that no class has, and who uses them."""
    layer, given = keras.layers.Dense(1), keras_internals.given_names()["dense"]
    assert layer.name == "dense" + f"_{given - 1}" * (given > 1)  # training/setup.py
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(keras.optimizers.SGD(0.5), loss="mse", metrics=["mae"])
    assert model._compile_config.config["metrics"] == ["mae"]  # training/acceleration.py looks for code of one's own
    assert float(model.optimizer._learning_rate) == 0.5  # training/user_callbacks.py asks whether it is a schedule
    named = keras.Model(model.inputs, {"a": model.outputs[0]})
    assert isinstance(named._outputs_struct, dict)  # runs/opening.py
    assert keras.metrics.AUC(from_logits=True)._from_logits  # training/examine.py
    model._symbolic_build(data_batch=(keras.KerasTensor((4, 2)), keras.KerasTensor((4, 1))))
    assert model.weights[0]._value is not None
    bare = unallocated(lambda: keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))  # models/weights.py
    with keras.StatelessScope():  # of this thread: its end would allocate what this one had built
        pass
    assert bare.weights[0]._value is None
    assert isinstance(model._loss_tracker, keras.metrics.Mean)  # training/acceleration.py adds losses up
    assert model._compile_loss.metrics is model._compile_loss._metrics  # and those of each output
    named = {m.name: m._direction for each in model.metrics for m in getattr(each, "metrics", [])}
    assert named["mae"] == "down" and keras.metrics.BinaryAccuracy()._direction == "up"  # training/user_callbacks.py
