"""Names of Keras that are not public: this fails by name when Keras changes one."""

import importlib

import keras
import pytest

from keraskit.models.keras_internals import OF_INSTANCES, USED
from keraskit.models.weights import unallocated


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
    elif name.startswith("a metric"):
        named = {m.name: m._direction for each in compiled.metrics for m in getattr(each, "metrics", [])}
        assert named["mae"] == "down" and keras.metrics.BinaryAccuracy()._direction == "up"
    else:
        assert keras.callbacks.CallbackList([], model=compiled)._model is compiled
