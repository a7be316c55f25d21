"""Grad-CAM and saliency against models whose answer is known by hand, and tests that tell a map that shows nothing."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from keraskit.recipes import cats_dogs_features, cnn, multi_input

from keraskit.errors import UserError
from keraskit.tools.explain import Explanation, grad_cam, layer_of, locate, logit, rank_correlation, saliency


def explain(model, fed, picture, k, layer=None):
    """The explanation of a class."""
    found = locate(model, fed(picture[None]), picture.shape[:2], k, layer)
    return Explanation("", picture, "", 1.0, *found)


@pytest.fixture(scope="module")
def convnet():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((9, 8, 2)),
            keras.layers.Conv2D(3, 3, activation="relu", name="conv"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )


def pictures(*shape):
    return np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)


def test_grad_cam_is_what_its_equations_say_by_hand(convnet):
    """Averaging channels and weighing them: the gradient of a logit in each place of a channel is weight / places."""
    x, conv, dense = pictures(5, 9, 8, 2), convnet.get_layer("conv"), convnet.layers[-1]
    features = conv(x).numpy()
    for k in range(4):
        by_hand = np.maximum((features * dense.kernel.numpy()[:, k] / features[0, ..., 0].size).sum(-1), 0)
        assert np.abs(grad_cam(convnet, conv, x, k) - by_hand).max() < 1e-7
    assert np.allclose(convnet(x).numpy().sum(axis=1), 1)  # the softmax is back


def test_a_linear_models_saliency_is_its_weights():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    found = saliency(model, pictures(1, 6), 2, (3, 2))
    assert np.allclose(found, np.abs(model.layers[1].kernel.numpy()[:, 2]).reshape(1, 3, 2))
    one = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(inputs))
    assert np.allclose(logit(one, pictures(4, 6), 0), -logit(one, pictures(4, 6), 1))


def detector():
    """A network, made by hand, that says class 1 where something bright lies in a picture, wherever it lies."""
    model = keras.Sequential(
        [
            keras.Input((24, 32, 1)),
            keras.layers.Conv2D(2, 3, padding="same", activation="relu", name="conv"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    bright = np.ones((3, 3, 1)) / 9
    kernel = np.stack([bright, -bright], axis=-1)
    model.set_weights([kernel, np.array([-0.4, 0.4]), np.array([[-60.0, 60.0], [0.1, -0.1]]), np.array([1.0, -1.0])])
    return model


def feed(batch):
    return tf.cast(batch, tf.float32)[..., None] / 255


def test_the_heat_lies_on_the_object_and_the_map_passes_its_own_tests():
    picture = np.full((24, 32), 20, np.uint8)
    picture[6:12, 20:28] = 250
    model = detector()
    before = model.get_weights()
    found = explain(model, feed, picture, 1)
    inside = np.zeros_like(picture, bool)
    inside[5:13, 19:29] = True
    assert found.map.shape == (24, 32) and found.map.max() == 1 and found.method == "Grad-CAM of conv"
    assert found.map[inside].mean() > 20 * found.map[~inside].mean()
    assert found.failure == "" and found.alike < 0.5
    assert all(map(np.array_equal, before, model.get_weights()))


def test_a_map_that_shuffled_weights_do_not_change_or_leave_empty_is_called_none():
    model, picture = detector(), np.full((24, 32), 20, np.uint8)
    picture[6:12, 20:28] = 250
    weights = model.get_weights()
    for shuffled, failure in (
        (weights, "a network that knows nothing has much the same map"),
        ([0 * each for each in weights], "shuffled weights give no map to compare it with"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            change = lambda _, s=shuffled: [v.assign(w) for v, w in zip(model.weights, s, strict=True)]  # noqa: E731
            patch.setattr(model, "set_weights", change)
            assert explain(model, feed, picture, 1).failure == failure
        model.set_weights(weights)
    model.set_weights([0 * each for each in weights])
    assert explain(model, feed, picture, 1).failure == "the map is the same everywhere"


HEADS = {  # ends of a network that say the same
    "activation layer": lambda x, dense: keras.layers.Activation("softmax")(dense(x)),
    "operation": lambda x, dense: keras.ops.softmax(dense(x)),
    "nested": lambda x, dense: keras.Sequential([keras.Sequential([dense]), keras.layers.Softmax()])(x),
}


@pytest.mark.parametrize("name", HEADS)
def test_what_goes_into_a_softmax_is_found_wherever_it_lies(name):
    picture = np.full((24, 32), 40, np.uint8)
    picture[4:10, 20:28] = 230
    for times in (1, 1000):  # unsure, and saturated
        whole = detector()
        apart = keras.Model(whole.inputs, HEADS[name](whole.layers[-2].output, keras.layers.Dense(2)))
        kernel, *others = whole.get_weights()
        for model in (whole, apart):
            model.set_weights([kernel, others[0], times * others[1], times * others[2]])
        one, two = (explain(model, feed, picture, 1) for model in (whole, apart))
        np.testing.assert_allclose(one.map, two.map, atol=1e-5)
        assert one.map.max() == 1 and (one.failure, two.failure) == ("", "")


@pytest.mark.parametrize("shape", [(8, 8), (64, 1), (1, 64, 1)])
def test_a_convolution_over_something_else_than_the_picture_is_no_map(shape):
    """Of one over steps, and of one over a picture laid out in a row, the input's gradients are the map."""
    inputs = keras.Input(shape)
    conv = keras.layers.Conv2D(3, (1, 5)) if len(shape) == 3 else keras.layers.Conv1D(3, 5)
    x = keras.layers.Flatten()(conv(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))

    def fed(batch):
        return tf.reshape(tf.cast(batch, tf.float32), (-1, *shape))

    picture = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
    found = explain(model, fed, picture, 1)
    values = tf.Variable(fed(picture[None]))
    with tf.GradientTape() as tape:
        logit = (keras.Model(inputs, x)(values) @ model.layers[-1].kernel)[0, 1]
    by_hand = np.abs(tape.gradient(logit, values)).reshape(8, 8)
    np.testing.assert_allclose(found.map, by_hand / by_hand.max(), rtol=1e-4, atol=1e-5)
    assert found.method == "saliency"
    with pytest.raises(UserError, match="no rows and columns of a picture"):
        explain(model, fed, picture, 1, layer=conv.name)


def test_what_has_no_one_picture_in_it_is_refused():
    grey, small = keras.Input((8, 8)), keras.Input((4, 4))
    flat = [keras.layers.Flatten()(each) for each in (grey, small)]
    model = keras.Model([grey, small], keras.layers.Dense(2)(keras.layers.Concatenate()(flat)))
    picture = np.zeros((8, 8), np.uint8)
    with pytest.raises(UserError, match="its input is no one picture"):
        explain(model, lambda b: [np.float32(b), np.float32(b[:, ::2, ::2])], picture, 1)
    layers = [keras.layers.Flatten(), keras.layers.Lambda(lambda x: keras.ops.cast(x > 3, "float32"))]
    cut = keras.Sequential([keras.Input((8, 8)), *layers, keras.layers.Dense(2)])
    with pytest.raises(UserError, match="does not pass gradients on"):
        explain(cut, np.float32, picture, 1)


def test_layers_within_frozen_models_and_beside_other_inputs_are_found():
    keras.utils.set_random_seed(0)
    model = cats_dogs_features.build(alpha=0.25, size=64)
    layer = layer_of(model, None, (64, 64))
    assert layer.name == "conv_pw_13_relu" and not layer.trainable_weights
    heat = grad_cam(model, layer, 255 * pictures(2, 64, 64, 3), 1)
    assert heat.shape == (2, 2, 2) and heat.any()
    assert layer_of(cnn.build(), None, (28, 28)).name == "conv2"
    several = multi_input.build()
    x = {"img_gray_bigsize": pictures(1, 64, 64, 1), "img_rgb_smallsize": pictures(1, 32, 32, 3)}
    layer = layer_of(several, None, (28, 28))
    assert grad_cam(several, layer, x, 3).shape == (1, *layer.output.shape[1:3])


def test_a_layer_can_be_named_and_one_without_places_is_refused():
    picture, model = np.pad(np.full((12, 4), 255, np.uint8), ((8, 8), (12, 12))), cnn.build(filters=(4, 4))
    assert explain(model, feed, picture, 1, layer="pool1").method == "Grad-CAM of pool1"
    for name, said in (("flatten", "no rows and columns"), ("conv3", "Did you mean conv")):
        with pytest.raises(UserError, match=said):
            explain(model, feed, picture, 1, layer=name)


def test_rank_correlation_is_scipys():
    random = np.random.default_rng(0)
    for _ in range(5):
        a, b = random.integers(0, 9, (2, 40)).astype(float)
        assert rank_correlation(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    assert rank_correlation(np.zeros(5), np.arange(5.0)) == 0
