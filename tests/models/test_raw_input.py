"""Preprocessing inside an exported model against the pipeline that fed the run's: two ways, the same numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keraskit.augment import Augmentation
from keraskit.datasets.preprocessing import Inputs
from keraskit.runs import metrics
from keraskit.tools.export.export import as_probabilities

GREY, COLOUR = ((9, 7), 1), ((8, 6), 3)
BOTH = {"grey": (12, 10, 1), "colour": (5, 4, 3)}


def agree(inputs, augmentation, tmp_path, count=6):
    """Preprocess pictures both ways, by a saved model too."""
    size = (*inputs.size, 3)[: 3 if inputs.channels == 3 else 2]
    x = np.random.default_rng(3).integers(0, 256, (count, *size), dtype=np.uint8)
    if augmentation.needs_fit:
        augmentation = augmentation.fit(np.asarray(inputs.scaled(x, augmentation)))
    wanted, picture = inputs.preprocess(tf.constant(x), augmentation), keras.Input(size, dtype="uint8")
    keras.Model(picture, inputs.preprocess(picture, augmentation)).save(tmp_path / "m.keras")
    found = keras.models.load_model(tmp_path / "m.keras").predict(x, verbose=0)
    assert keras.tree.flatten(wanted)[0].shape[0] == count and np.abs(keras.tree.flatten(wanted)[0]).max() > 0.3
    keras.tree.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4), found, wanted)


@pytest.mark.parametrize(
    ("size", "channels", "scale", "shape"),
    [
        (*GREY, "pixels", (9, 7, 1)),
        (*GREY, "standard", (63, 1)),
        (*COLOUR, "unit", (8, 6, 3)),
        (*COLOUR, "caffe", (8, 6, 3)),
        (*GREY, "unit", BOTH),
        (*COLOUR, "pixels", BOTH),
    ],
)
def test_a_model_does_what_the_pipeline_does(size, channels, scale, shape, tmp_path):
    agree(Inputs(size, channels, scale, shape), Augmentation(), tmp_path)


@pytest.mark.parametrize("kind", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("knob", ["featurewise_std_normalization", "samplewise_std_normalization", "zca_whitening"])
def test_standardisation_goes_along(kind, knob, tmp_path):
    agree(Inputs(*kind, "unit", (*kind[0], kind[1])), Augmentation(**{knob: True}, rescale=0.01), tmp_path, 400)


def test_outputs_become_probabilities_as_metrics_has_them():
    values = np.random.default_rng(0).normal(0, 5, (20, 3)).astype(np.float32)
    for columns, activation in ((3, "softmax"), (3, "sigmoid"), (1, "sigmoid"), (3, None), (1, None)):
        given = values[:, :columns]
        found = as_probabilities(tf.constant(given), activation)
        np.testing.assert_allclose(found, metrics.probabilities(given, activation), atol=1e-6)
        assert found.shape == (20, max(2, columns))
