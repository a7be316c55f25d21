"""Preprocessing inside a saved model against the pipeline that fed the run's: two ways, the same numbers."""

import keras
import numpy as np
import pytest

from keraskit.augment import Augmentation
from keraskit.datasets.preprocessing import Inputs

GREY, COLOUR = ((9, 7), 1), ((8, 6), 3)
BOTH = {"grey": (12, 10, 1), "colour": (5, 4, 3)}
WHITENED, SAMPLEWISE = Augmentation(zca_whitening=True, rescale=0.01), Augmentation(samplewise_std_normalization=True)


@pytest.mark.parametrize(
    ("inputs", "augmentation"),
    [
        (Inputs(*GREY, "standard", (63, 1)), Augmentation()),
        (Inputs(*COLOUR, "caffe", (8, 6, 3)), Augmentation()),
        (Inputs(*GREY, "unit", BOTH), Augmentation()),
        (Inputs(*COLOUR, "unit", (8, 6, 3)), WHITENED),
        (Inputs(*GREY, "unit", (9, 7, 1)), SAMPLEWISE),
    ],
    ids=["standard", "caffe", "two sizes", "zca", "samplewise"],
)
def test_a_saved_model_does_what_the_pipeline_does(inputs, augmentation, tmp_path):
    x = np.random.default_rng(3).integers(0, 256, (400, *inputs.size, 3)[: 4 if inputs.channels == 3 else 3], np.uint8)
    if augmentation.needs_fit:
        augmentation = augmentation.fit(np.asarray(inputs.scaled(x, augmentation)))
    wanted, picture = inputs.preprocess(x, augmentation), keras.Input(x.shape[1:], dtype="uint8")
    keras.Model(picture, inputs.preprocess(picture, augmentation)).save(tmp_path / "m.keras")
    found = keras.models.load_model(tmp_path / "m.keras").predict(x, verbose=0)
    keras.tree.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4), found, wanted)
    if inputs.scale == "caffe":
        np.testing.assert_allclose(found, keras.applications.vgg16.preprocess_input(x.astype("float32")), atol=1e-4)
