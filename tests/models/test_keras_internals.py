"""Names of Keras that are not public: this fails by name when Keras changes one."""

import pkgutil

import keras
import pytest

from keraskit.models.keras_internals import given_names
from keraskit.models.weights import unallocated

# What keraskit uses of Keras that has no public name, and why; pyproject.toml bounds Keras below the next release.
TRAINER = "keras.src.backend.tensorflow.trainer"
USED = {
    "keras.src.backend.common.global_state.get_global_attribute": "models/weights.py builds without allocating",
    "keras.src.backend.common.global_state.set_global_attribute": "models/weights.py builds without allocating",
    f"{TRAINER}.reduce_per_replica": "distributed/cluster.py repairs `fit` on several machines",
    f"{TRAINER}.TensorFlowTrainer._maybe_symbolic_build": "distributed/cluster.py repairs `fit` on several machines",
    f"{TRAINER}.TensorFlowTrainer._symbolic_build": "training/setup.py creates variables before the first step",
    "keras.layers.LSTM.inner_loop": "training/lstm.py computes in its place; nobody documents it",
    "tensorflow.python.ops.check_ops.assert_equal": "training/micro_batches.py leaves out what XLA would leave out",
    "tensorflow.python.eager.context.Context.configure_coordination_service": "distributed/cluster.py",
    "tensorflow.python.eager.context.Context.wait_at_barrier": "distributed/cluster.py",
    "keras.src.random.seed_generator.global_seed_generator": "training/checkpoint.py keeps its state",
    "keras.src.ops.numpy.Take": "training/micro_batches.py: it treats each example by itself",
    "keras.Model._flatten_layers": "layers within layers are counted, looked at, and chosen for",
    "keras.callbacks.CallbackList.set_model": "training/fit.py reads the `_model` that it sets",
    "keras.src.trainers.epoch_iterator.EpochIterator._enumerate_iterator": "datasets/splits.py: opened twice",
}


@pytest.mark.parametrize("name", USED)
def test_keras_still_has(name):
    assert callable(pkgutil.resolve_name(name))


def test_instances_still_have():
    """Attributes that no class has, and who uses them."""
    layer = keras.layers.Dense(1)
    assert layer.name == "dense" + f"_{given_names()['dense'] - 1}" * (given_names()["dense"] > 1)  # training/setup.py
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(keras.optimizers.SGD(0.5), loss="mse", metrics=["mae"])
    assert model._compile_config.config["metrics"] == ["mae"]  # training/acceleration looks for code of one's own
    assert float(model.optimizer._learning_rate) == 0.5  # training/user_callbacks.py asks whether it is a schedule
    model._symbolic_build(data_batch=(keras.KerasTensor((4, 2)), keras.KerasTensor((4, 1))))
    assert model.weights[0]._value is not None
    with unallocated():  # models/initializers.py leaves a layer alone that was built without its weights
        assert keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).weights[0]._value is None
    assert isinstance(model._loss_tracker, keras.metrics.Mean)  # training/micro_batches.py adds losses up
    assert model._compile_loss.metrics is model._compile_loss._metrics  # and those of each output
    named = {m.name: m._direction for each in model.metrics for m in getattr(each, "metrics", [])}
    assert named["mae"] == "down" and keras.metrics.BinaryAccuracy()._direction == "up"  # training/user_callbacks.py
    assert keras.callbacks.CallbackList([], model=model)._model is model  # training/fit.py
