"""Preprocessing as Keras layers against the pipeline of tf.data that fed the model: two ways, the same numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keraskit.augment import Augmentation
from keraskit.datasets.preprocessing import Inputs
from keraskit.runs import metrics
from keraskit.tools.export.raw_input import as_probabilities, with_raw_input

GREY, COLOUR = ((9, 7), 1), ((8, 6), 3)
BOTH = {"grey": (12, 10, 1), "colour": (5, 4, 3)}


def pictures(size, channels, count=6):
    shape = (count, *size, 3)[: 4 if channels == 3 else 3]
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def echo(shape):
    """A model that answers what it is fed."""
    if isinstance(shape, dict):
        inputs = {name: keras.Input(each, name=name) for name, each in shape.items()}
        return keras.Model(inputs, {name: keras.layers.Identity()(x) for name, x in inputs.items()})
    x = keras.Input(shape)
    return keras.Model(x, keras.layers.Identity()(x))


def test_layers_do_what_the_pipeline_does(tmp_path):
    for i, (size, channels, scale, shape) in enumerate(
        [
            (*GREY, "unit", (63,)),
            (*GREY, "pixels", (9, 7, 1)),
            (*GREY, "standard", (63, 1)),
            (*COLOUR, "caffe", (8, 6, 3)),
            (*COLOUR, "standard", (144,)),
            (*GREY, "unit", BOTH),
            (*COLOUR, "pixels", BOTH),
        ]
    ):
        inputs, x = Inputs(size, channels, scale, shape), pictures(size, channels)
        wanted, model = inputs.preprocess(tf.constant(x)), with_raw_input(echo(shape), inputs, Augmentation())
        model.save(tmp_path / f"{i}.keras")
        for each in (model, keras.models.load_model(tmp_path / f"{i}.keras")):
            found = each.predict(x, verbose=0)
            for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(wanted), strict=True):
                assert one.shape == other.shape
                np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("kind", [GREY, COLOUR], ids=["grey", "colour"])
def test_standardisation_goes_along(kind):
    inputs, x = Inputs(*kind, "unit", (*kind[0], kind[1])), pictures(*kind, count=400)
    names = "featurewise_center", "featurewise_std_normalization", "samplewise_center", "samplewise_std_normalization"
    for knobs in (*({name: True} for name in (*names, "zca_whitening")), {"rescale": 0.01, "featurewise_center": True}):
        augmentation = Augmentation(**knobs)
        if augmentation.needs_fit:
            augmentation = augmentation.fit(np.asarray(inputs.scaled(x, augmentation)))
        wanted = inputs.preprocess(tf.constant(x[:5]), augmentation)
        found = with_raw_input(echo(inputs.shape), inputs, augmentation).predict(x[:5], verbose=0)
        assert np.abs(wanted).max() > 0.3
        np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4)


def test_outputs_become_probabilities_as_scores_has_them():
    values = np.random.default_rng(0).normal(0, 5, (20, 3)).astype(np.float32)
    for columns, activation in ((3, "softmax"), (3, "sigmoid"), (1, "sigmoid"), (3, None), (1, None)):
        given = values[:, :columns]
        found = as_probabilities(tf.constant(given), activation)
        np.testing.assert_allclose(found, metrics.probabilities(given, activation), atol=1e-6)
        assert found.shape == (20, max(2, columns))
