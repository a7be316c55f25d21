"""What reaches the first weights is measured: Keras's own preprocess_input, adapt and the recipes are right."""

import functools

import keras
import numpy as np
import pytest
from tables import TOTALS

import keraskit
from keraskit import from_arrays
from keraskit.config import RunConfig
from keraskit.datasets.splits import Split
from keraskit.errors import UserError
from keraskit.training import examine
from keraskit.training.settings import settle
from keraskit.training.setup import build, load, source_of

L, APPLICATIONS = keras.layers, keras.applications


def test_numbers_beyond_an_embedding_are_told_of_each_input_by_name_or_place():
    user, item = keras.Input((1,)), keras.Input((1,))
    ends = L.Dot(-1)([L.Embedding(5, 2, name="users")(user), L.Embedding(9, 2)(item)])
    x = {"user": np.arange(5)[:, None], "item": np.arange(4, 9)[:, None]}
    model = keras.Model({"user": user, "item": item}, ends)  # Keras takes these names for those of a dict
    splits = from_arrays(x, np.zeros(5), x, np.zeros(5), x_validation=x, y_validation=np.zeros(5))()
    examine.check_indices(model, splits)
    odd = from_arrays(x, np.zeros(5), x | {"user": x["item"]}, np.zeros(5))()
    with pytest.raises(UserError, match=r"users has 5 rows, and its inputs go from 4 to 8\. They count"):
        examine.check_indices(model, odd)


random = np.random.default_rng(0)
X, LABELS = random.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8), np.arange(40) % 2
TABLE = (np.exp(2 * random.normal(size=(40, 3))) * [1, 1e3, 1e6]).astype("float32")
UNIT = X / np.float32(255)


def split(x, scale=None):
    return from_arrays(x, LABELS, x, LABELS, scale=scale)().train if scale else Split.of(x, LABELS, labels=LABELS)


def ending(x, *layers):
    return keras.Sequential([keras.Input(x.shape[1:]), *layers, L.Conv2D(2, 3) if x.ndim == 4 else L.Dense(2)])


def adapted(x):
    layer = L.Normalization()
    layer.adapt(np.asarray(x, "float32"))
    return layer


@functools.cache
def application(name, flat=False, prepare=None):
    """A classifier on one of Keras's applications, nested or as its own functional graph."""
    base = getattr(APPLICATIONS, name)(weights=None, include_top=False, input_shape=(32, 32, 3))
    base.name = "base"
    inputs = base.input if flat else keras.Input((32, 32, 3))
    x = base.output if flat else base(prepare(inputs) if prepare else inputs)
    return keras.Model(inputs, L.Dense(1)(L.GlobalAveragePooling2D()(x)))


def says(found, *words):
    assert len(found) == bool(words) and all(word in found[0] for word in words), found


@pytest.mark.parametrize("name", TOTALS)
def test_recipes_scale_as_they_should(name):
    recipe = keraskit.load_recipe(name)
    settings = settle(recipe, RunConfig(quick=True, limit=16), {"width": 0.1} if name == "vgg16" else {})
    settings, source = source_of(recipe, settings)
    model = build(recipe, settings)
    says(examine.scale(model, load(recipe, settings, model, source).train))


@pytest.mark.parametrize("layer", [L.Rescaling(1 / 255), L.Rescaling(1 / 127.5, -1), adapted(X)])
def test_a_model_that_scales_takes_pixels(layer):
    around = L.RandomFlip(), L.ZeroPadding2D(), layer, L.BatchNormalization()  # padding is 0 beside any value
    for x, known in ((X, "pixels"), (X, None), (X.astype("float32"), None), (X // 50, "pixels"), (X // 10.0, None)):
        says(examine.scale(ending(x, *around), split(x, known)))
    for x, known in ((X, "unit"), (UNIT, None), (UNIT * 2 - 1, None)):
        found = examine.scale(ending(x, *around), split(x, known))
        says(found, "scaled twice", 'scale="pixels"', f"leave {layer.name}")
    grey = UNIT[..., 0]  # without an axis of channels
    says(examine.scale(ending(grey, L.Reshape((32, 32, 1)), L.Rescaling(1 / 255)), split(grey)), "scaled twice")
    says(examine.scale(ending(TABLE, L.Rescaling(0.001)), split(TABLE)))  # numbers of whatever kind
    twice = examine.scale(ending(X, L.Rescaling(1 / 255, name="own"), layer), split(X, "pixels"))
    says(twice, f"Leave own or {layer.name} out")


def test_what_normalises_by_itself_takes_any_scale():
    each = L.LayerNormalization(axis=[1, 2, 3]), L.UnitNormalization(axis=[1, 2, 3]), L.BatchNormalization()
    for layer in (*each, L.AveragePooling2D(2), adapted(UNIT), L.Identity()):
        says(examine.scale(ending(X, layer), split(X, "unit")))
    says(examine.scale(ending(X[..., :1], each[0]), split(X[..., 0], "standard")))


def test_a_normalization_is_adapted_to_the_data():
    for layers in ((adapted(TABLE),), (L.BatchNormalization(),), ()):
        says(examine.scale(ending(TABLE, *layers), split(TABLE)))
    for x, layer in ((TABLE, L.Normalization()), (X, L.Normalization()), (X, adapted(UNIT))):
        says(examine.scale(ending(x, layer), split(x.astype("float32"))), f"{layer.name} is not adapted", ".")


@pytest.mark.parametrize(("name", "module"), [("MobileNetV2", "mobilenet_v2"), ("VGG16", "vgg16")])
def test_an_application_gets_what_its_preprocess_input_gives(name, module):
    preprocess = getattr(APPLICATIONS, module).preprocess_input
    line = f"keras.applications.{module}.preprocess_input(inputs)"
    for given in (split(X, "pixels"), split(X), split(X.astype("float32"))):
        says(examine.scale(application(name), given), "gets 0 to 255", f"{line}.")
        says(examine.scale(application(name, prepare=preprocess), given))
    for given in (split(X, "unit"), split(UNIT)):
        says(examine.scale(application(name), given), "gets 0 to 1", f'{line} of data from 0 to 255 (scale="pixels"')
        assert examine.scale(application(name, prepare=preprocess), given)
    says(examine.scale(application(name), split(preprocess(X.astype("float32")))))
    flat = examine.scale(application(name, flat=True), split(X, "unit"))
    says(flat, *(() if name == "VGG16" else (line,)))  # tutorials build it themselves with these names


def test_the_order_of_channels_counts_and_an_applications_own_scaling_does():
    means = L.Rescaling(1.0, [-123.68, -116.779, -103.939])
    says(examine.scale(application("VGG16", prepare=means), split(X, "pixels")), "RGB, and", "BGR. Give")
    says(examine.scale(application("VGG16"), split(X, "caffe")))
    says(examine.scale(application("MobileNetV3Small"), split(X, "pixels")))
    twice = application("MobileNetV3Small", prepare=APPLICATIONS.mobilenet_v2.preprocess_input)
    says(examine.scale(twice, split(X, "pixels")), "scaled twice", "Leave one scaling out.")
    found = examine.scale(application("MobileNetV3Small"), split(X, "unit"))
    says(found, "scaled twice", 'Take data from 0 to 255 (scale="pixels", or cats_and_dogs.pixels).')
