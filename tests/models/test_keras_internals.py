"""Names of Keras that are not public: this fails by name when Keras changes one."""

import importlib

import keras
import pytest

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
    "keras.src.ops.numpy.Take": "training/micro_batches.py: it treats each example by itself",
    "keras.Model._flatten_layers": "layers within layers are counted, looked at, and chosen for",
    "keras.callbacks.CallbackList.set_model": "training/fit.py reads the `_model` that it sets",
    "keras.src.trainers.epoch_iterator.EpochIterator._enumerate_iterator": "datasets/epochs.py: opened twice",
}
OF_INSTANCES = {  # attributes that only an instance has
    "a variable's _value": "models/initializers.py leaves a layer alone that was built without its weights",
    "a compiled model's _loss_tracker": "training/micro_batches.py adds the loss of micro-batches up",
    "a compiled model's _compile_loss": "training/micro_batches.py adds each output's loss up",
    "a metric's _direction": "training/monitor.py knows whether a monitored metric should rise or fall",
    "a callback list's _model": "training/fit.py sees whether a callback has stopped the training",
}


@pytest.mark.parametrize("name", USED)
def test_keras_still_has(name):
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        assert callable(found)
        return
    pytest.fail(f"no module holds {name}")


@pytest.fixture(scope="module")
def compiled():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse", metrics=["mae"])
    model._symbolic_build(data_batch=(keras.KerasTensor((4, 2)), keras.KerasTensor((4, 1))))
    return model


@pytest.mark.parametrize("name", OF_INSTANCES)
def test_an_instance_still_has(name, compiled):
    if name.startswith("a variable"):
        assert compiled.weights[0]._value is not None
        with unallocated():
            assert keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).weights[0]._value is None
    elif name.startswith("a compiled"):
        assert isinstance(compiled._loss_tracker, keras.metrics.Mean)
        assert compiled._compile_loss.metrics is compiled._compile_loss._metrics
    elif name.startswith("a metric"):
        named = {m.name: m._direction for each in compiled.metrics for m in getattr(each, "metrics", [])}
        assert named["mae"] == "down" and keras.metrics.BinaryAccuracy()._direction == "up"
    else:
        assert keras.callbacks.CallbackList([], model=compiled)._model is compiled
