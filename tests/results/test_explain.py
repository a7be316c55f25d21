"""`keraskit explain`: a run's answers and mistakes as a user asks for them; maps against models known by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import command
from keraskit.recipes import cats_dogs_features, cnn, multi_input
from PIL import Image

import keraskit
from keraskit.errors import UserError
from keraskit.runs import predictions, report
from keraskit.runs.folder import RunFolder
from keraskit.runs.opening import open_run
from keraskit.runs.pictures import network
from keraskit.tools import explain
from keraskit.tools.explain import convolution, grad_cam, locate, logit, saliency


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    return keraskit.run("cnn", quick=True, epochs=2, filters=(8, 8), output_dir=place).folder


def test_mistakes_and_right_answers_are_explained_in_a_sheet_and_in_the_page(run, here):
    before = (run / "report.html").read_text()
    assert "Where the network saw" not in before
    done = command("explain", run, "--mistakes", "--output", "sheet.png")
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "") and lines[-1] == "sheet: sheet.png"
    assert [line.split(": ")[0] for line in lines[:-1]] == ["wrong"] * 8 + ["right"] * 8
    assert all(("Grad-CAM of conv2 passes" in line) != ("NO EXPLANATION" in line) for line in lines[:16])
    page = (run / "report.html").read_text()
    passed = sum("passes its test" in line for line in lines)
    assert "Where the network saw" in page and f"{passed} of 16 maps pass their test" in page
    assert page.count("<img") == before.count("<img") + 32
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 1_000


def test_large_pictures_are_explained_as_they_were_tested(tmp_path):
    """What the page shows is what the model saw, to the last bit: its answer to each is the one in predictions.npz."""
    noise = np.random.default_rng(0).integers(0, 256, (90, 170, 170, 3)).astype("uint8")  # JPEG would spoil these
    labels = np.arange(90) % 2

    def build() -> keras.Model:
        inputs = keras.Input((170, 170, 3))
        return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(keras.layers.Flatten()(inputs)))

    def compile_model(model):
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"])

    data = keraskit.from_arrays(noise[:60], labels[:60], noise[60:], labels[60:], scale="unit")
    recipe = keraskit.Recipe(build=build, compile=compile_model, data=data, epochs=1, batch_size=20)
    folder = RunFolder(keraskit.run(recipe, output_dir=tmp_path).folder)
    asked = open_run(folder.path)
    kept = explain.kept(asked)
    tested = predictions.read(folder).of_classes(folder.read_json("run.json"))[1]
    wrong = np.flatnonzero(tested.argmax(axis=1) != labels[60:])
    worst = wrong[np.argsort(-tested[wrong].max(axis=1), kind="stable")][: report.WHOLE]
    good = np.flatnonzero(tested.argmax(axis=1) == labels[60:])[: report.WHOLE]
    assert len(kept) == len(worst) + len(good)
    for (_, picture), i in zip(kept, [*worst, *good], strict=True):
        assert np.array_equal(picture, noise[60 + i])
        np.testing.assert_allclose(network(asked).probabilities(picture[None])[0], tested[i], atol=1e-4)
    report.pack(folder, {})
    with pytest.raises(UserError, match="kept no pictures"):
        explain.kept(asked)


def mapped(model, fed, picture, k):
    return locate(model, fed(picture[None]), picture.shape[:2], k)


def convnet(shape, channels, classes):
    conv = keras.layers.Conv2D(channels, 3, padding="same", activation="relu", name="conv")
    dense = keras.layers.Dense(classes, activation="softmax")
    return keras.Sequential([keras.Input(shape), conv, keras.layers.GlobalAveragePooling2D(), dense])


def pictures(*shape):
    return np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)


def test_grad_cam_is_what_its_equations_say_by_hand():
    """Averaging channels and weighing them: the gradient of a logit in each place of a channel is weight / places."""
    keras.utils.set_random_seed(1)
    model, x = convnet((9, 8, 2), 3, 4), pictures(5, 9, 8, 2)
    features = model.get_layer("conv")(x).numpy()
    for k in range(4):
        weights = model.layers[-1].kernel.numpy()[:, k] / 72
        by_hand = np.maximum((features * weights).sum(-1), 0)
        assert np.abs(grad_cam(model, model.get_layer("conv"), x, k) - by_hand).max() < 1e-7
    assert np.allclose(model(x).numpy().sum(axis=1), 1)  # the softmax is back


def test_a_linear_models_saliency_is_its_weights():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    found = saliency(model, pictures(1, 6), 2, (3, 2))
    assert np.allclose(found, np.abs(model.layers[1].kernel.numpy()[:, 2]).reshape(1, 3, 2))
    one = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(inputs))
    assert np.allclose(logit(one, pictures(4, 6), 0), -logit(one, pictures(4, 6), 1))


def detector():
    """A network, made by hand, that says class 1 where something bright lies in a picture, wherever it lies."""
    model, bright = convnet((24, 32, 1), 2, 2), np.ones((3, 3, 1)) / 9
    kernel = np.stack([bright, -bright], axis=-1)
    model.set_weights([kernel, np.array([-0.4, 0.4]), np.array([[-60.0, 60.0], [0.1, -0.1]]), np.array([1.0, -1.0])])
    return model


def feed(batch):
    return tf.cast(batch, tf.float32)[..., None] / 255


@pytest.fixture
def picture():
    dark = np.full((24, 32), 20, np.uint8)
    dark[6:12, 20:28] = 250
    return dark


def test_the_heat_lies_on_the_object_and_the_map_passes_its_own_tests(picture):
    model = detector()
    before = model.get_weights()
    found, method, failure = mapped(model, feed, picture, 1)
    inside = np.zeros_like(picture, bool)
    inside[5:13, 19:29] = True
    assert found.shape == (24, 32) and found.max() == 1 and (method, failure) == ("Grad-CAM of conv", "")
    assert found[inside].mean() > 20 * found[~inside].mean()
    assert all(map(np.array_equal, before, model.get_weights()))


def test_a_map_that_shows_nothing_is_called_none(picture, monkeypatch):
    model = detector()
    weights, set_weights = model.get_weights(), model.set_weights
    for shuffled, says in ((weights, "much the same map"), ([0 * each for each in weights], "no map to compare")):
        monkeypatch.setattr(model, "set_weights", lambda _, given=shuffled: set_weights(given))
        assert says in mapped(model, feed, picture, 1)[2]
        set_weights(weights)
    set_weights([0 * each for each in weights])
    assert mapped(model, feed, picture, 1)[2] == "the map is the same everywhere"


HEADS = {  # ends of a network that say the same
    "activation layer": lambda x, dense: keras.layers.Activation("softmax")(dense(x)),
    "operation": lambda x, dense: keras.ops.softmax(dense(x)),
    "nested": lambda x, dense: keras.Sequential([keras.Sequential([dense]), keras.layers.Softmax()])(x),
}


@pytest.mark.parametrize("name", HEADS)
def test_what_goes_into_a_softmax_is_found_wherever_it_lies(name, picture):
    whole = detector()
    apart = keras.Model(whole.inputs, HEADS[name](whole.layers[-2].output, keras.layers.Dense(2)))
    kernel, weights, bias = whole.get_weights()[0], *whole.get_weights()[2:]
    for times in (1, 1000):  # unsure, and saturated
        for model in (whole, apart):
            model.set_weights([kernel, whole.get_weights()[1], times * weights, times * bias])
        (one, _, failure), (two, *_) = (mapped(model, feed, picture, 1) for model in (whole, apart))
        np.testing.assert_allclose(one, two, atol=1e-5)
        assert one.max() == 1 and failure == ""


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
    found, method, _ = mapped(model, fed, picture, 1)
    values = tf.Variable(fed(picture[None]))
    with tf.GradientTape() as tape:
        value = (keras.Model(inputs, x)(values) @ model.layers[-1].kernel)[0, 1]
    by_hand = np.abs(tape.gradient(value, values)).reshape(8, 8)
    np.testing.assert_allclose(found, by_hand / by_hand.max(), rtol=1e-4, atol=1e-5)
    assert method == "saliency"


def test_what_has_no_one_picture_in_it_is_refused():
    grey, small = keras.Input((8, 8)), keras.Input((4, 4))
    flat = [keras.layers.Flatten()(each) for each in (grey, small)]
    several = keras.Model([grey, small], keras.layers.Dense(2)(keras.layers.Concatenate()(flat)))
    layers = [keras.layers.Flatten(), keras.layers.Lambda(lambda x: keras.ops.cast(x > 3, "float32"))]
    cut = keras.Sequential([keras.Input((8, 8)), *layers, keras.layers.Dense(2)])
    for model, fed in ((several, lambda b: [np.float32(b), np.float32(b[:, ::2, ::2])]), (cut, np.float32)):
        with pytest.raises(UserError, match="its input is no one picture that passes gradients on"):
            mapped(model, fed, np.zeros((8, 8), np.uint8), 1)


def test_the_last_layer_over_the_picture_is_found_in_nested_models_and_beside_other_inputs():
    keras.utils.set_random_seed(0)
    features, several = cats_dogs_features.build(alpha=0.25, size=64), multi_input.build()
    frozen = convolution(features)  # not its head of 1x1 places
    assert frozen.name == "conv_pw_13_relu" and not frozen.trainable_weights
    heat = grad_cam(features, frozen, 255 * pictures(2, 64, 64, 3), 1)
    assert heat.shape == (2, 2, 2) and heat.any()
    assert convolution(cnn.build()).name == "conv2"
    x = {"img_gray_bigsize": pictures(1, 64, 64, 1), "img_rgb_smallsize": pictures(1, 32, 32, 3)}
    layer = convolution(several)
    assert grad_cam(several, layer, x, 3).shape == (1, *layer.output.shape[1:3])
    inputs = keras.Input((16, 16, 3))
    block = keras.layers.BatchNormalization()(keras.layers.Conv2D(3, 3, padding="same")(inputs))
    block = keras.layers.ReLU(name="end")(keras.layers.Add()([inputs, block]))
    residual = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(keras.layers.MaxPooling2D()(block)))
    assert convolution(residual).name == "end"
    dense = keras.Sequential([inputs, keras.layers.Rescaling(2.0), keras.layers.Flatten(), keras.layers.Dense(2)])
    assert convolution(dense) is None
