"""What is particular to a model: one graph built in two ways, Keras's own VGG16, sequences, names, preprocessing."""

import keras
import numpy as np
import pytest
from keraskit.recipes import lstm, multi_output, quickstart, vgg16

from keraskit.augment.augmentation import Augmentation
from keraskit.datasets import digits
from keraskit.datasets.preprocessing import Inputs
from keraskit.errors import UserError
from keraskit.models import applications
from keraskit.registry import load_recipe
from keraskit.training import setup


def test_quickstart_list_and_add_give_the_same_model():
    listed, added = quickstart.build(), quickstart.build_by_adding()
    added.set_weights(listed.get_weights())
    x = np.random.default_rng(0).normal(size=(5, 100)).astype("float32")
    assert listed.to_json() == added.to_json()
    assert np.array_equal(listed.predict(x, verbose=0), added.predict(x, verbose=0))


def test_vgg16_sequential_and_functional_are_the_same_network():
    small = {"size": 32, "width": 0.125, "classes": 7}
    one, two = vgg16.build("sequential", **small), vgg16.build("functional", **small)
    assert (one.name, two.name) == ("vgg16-sequential", "vgg16-funcapi")
    two.set_weights(one.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    assert np.array_equal(one.predict(x, verbose=0), two.predict(x, verbose=0))


def test_vgg16_is_keras_own(monkeypatch):
    """Our graph with the weights of `keras.applications.VGG16` gives its predictions."""
    published = keras.applications.VGG16(weights=None, input_shape=(32, 32, 3), classes=9)
    x = keras.applications.vgg16.preprocess_input(np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)))
    expected = published.predict(x, verbose=0)
    ours = vgg16.build(size=32, classes=9)
    assert not np.allclose(ours.predict(x, verbose=0), expected, rtol=1e-3)
    monkeypatch.setattr(keras.applications, "VGG16", lambda weights: published)
    setup.load_weights(load_recipe("vgg16"), "imagenet", ours, {})
    assert np.allclose(ours.predict(x, verbose=0), expected, rtol=1e-5)


def test_imagenet_fills_what_fits_and_names_the_rest(monkeypatch, capsys):
    """A head for two classes keeps its own weights; a missing network is one clear error."""
    small = {"size": 32, "width": 0.125}
    published = vgg16.build(classes=5, **small)
    monkeypatch.setattr(keras.applications, "VGG16", lambda weights: published)
    ours = vgg16.build(classes=2, **small)
    head = ours.get_layer("predictions").get_weights()[0]
    setup.load_weights(load_recipe("vgg16"), "imagenet", ours, {})
    assert "but for predictions" in capsys.readouterr().out
    assert np.array_equal(ours.get_layer("fc2").get_weights()[0], published.get_layer("fc2").get_weights()[0])
    assert np.array_equal(ours.get_layer("predictions").get_weights()[0], head)

    mobile, named = keras.applications.MobileNetV2((32, 32, 3), 0.35, include_top=False, weights=None), []
    monkeypatch.setattr(applications, "create", lambda name, alpha, *_, **__: named.append((name, alpha)) or mobile)
    applications.load_imagenet(keras.Sequential([mobile]))
    assert named == [("mobilenetv2", 0.35)]

    def no_network(weights):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG16", no_network)
    with pytest.raises(UserError, match=r"URL fetch failure.*--weights FILE"):
        setup.load_weights(load_recipe("vgg16"), "imagenet", ours, {})
    with pytest.raises(UserError, match="mlp has no weights from ImageNet"):
        setup.load_weights(load_recipe("mlp"), "imagenet", load_recipe("mlp").build(), {})


def test_weights_from_a_file(tmp_path, recwarn):
    mlp = load_recipe("mlp")
    source, target, narrow = mlp.build(), mlp.build(), mlp.build(hidden=(8,))
    for name in ("a.weights.h5", "a.keras"):
        source.save(tmp_path / name) if name.endswith("keras") else source.save_weights(tmp_path / name)
        target.set_weights([w * 0 for w in target.get_weights()])
        setup.load_weights(mlp, str(tmp_path / name), target, {})
        assert all(np.array_equal(a, b) for a, b in zip(source.get_weights(), target.get_weights(), strict=True))
        # The file's first layer that differs, and nothing of the many lines that Keras says.
        shapes = r"shape=\(784, 8\).* shape=\(784, 512\).*hidden1|\(784, 8\).*\(784, 512\).*hidden1"
        with pytest.raises(UserError, match=rf"^\S+ does not fit mlp: .*({shapes}).* Name the file of the same model"):
            setup.load_weights(mlp, str(tmp_path / name), narrow, {})
        with pytest.raises(UserError, match=r"does not fit cnn: Layer 'conv1' expected 2 variables, but received 0"):
            setup.load_weights(mlp, str(tmp_path / name), load_recipe("cnn").build(), {})
    with pytest.raises(FileNotFoundError):
        setup.load_weights(mlp, str(tmp_path / "missing.weights.h5"), target, {})
    assert not [each for each in recwarn if "Skipping nested container" in str(each.message)]  # a line is enough


def test_gates_are_spread_over_the_span_and_the_saved_model_needs_only_keras(tmp_path):
    for model, name, span in (
        (lstm.build(units=64), "lstm1", 4 * 28),  # four rows of pixels
        (lstm.build(units=64, timesteps=28), "lstm1", 28),  # all rows
        (multi_output.build(extract=64), "extract", 28),
        (multi_output.build(units=64), "class11", 4 * 28),
    ):
        bias = model.get_layer(name).get_weights()[2]
        remember, forget, cell = bias[:64], bias[64:128], bias[128:]
        assert np.array_equal(remember, -forget) and not cell.any()
        # A unit whose forget gate stands at s = u / (u + 1) remembers 1 / (1 - s) = u + 1 steps.
        spans = 1 / (1 - 1 / (1 + np.exp(-forget)))
        assert spans.min() >= 2 and 0.8 * span < spans.max() <= span and spans.std() > span / 7
        model.save(tmp_path / "lstm.keras")
        assert np.array_equal(keras.models.load_model(tmp_path / "lstm.keras").get_layer(name).get_weights()[2], bias)


def test_next_pixels_are_the_sequence_shifted_by_one():
    splits = digits.next_pixels().limited(20)
    x, y = splits.train.take(np.arange(20))
    brightness = np.floor((x[..., 0] * 0.3081 + 0.1307) * 255.001 * 10 / 256)
    assert y["output2"].shape == (20, 784) and set(np.unique(y["output2"])) <= set(range(10))
    assert np.array_equal(y["output2"][:, :-1], brightness[:, 1:]) and not y["output2"][:, -1].any()
    pixels = digits.load_mnist()[0]["x_test"].reshape(-1, 784)[:, 1:].astype(int)  # after the last: darkness
    dark = ((pixels * 10 // 256 == 0).sum(1) + 1).mean() / 784
    assert f"is right for {dark:.3f} of the test pixels" in multi_output.__doc__
    shown, captions = digits.brightness_pictures(splits.classes, y, {"output2": y["output2"]})
    assert shown.shape == (40, 28, 28) and len(captions) == 40 and np.array_equal(shown[0::2], shown[1::2])


def test_two_sizes_are_the_same_picture_and_are_fed_by_name():
    splits = digits.two_sizes().limited(10)
    x, _ = splits.train.take(np.arange(4))
    grey, colour = x["img_gray_bigsize"], x["img_rgb_smallsize"]
    assert grey.shape == (4, 64, 64, 1) and colour.shape == (4, 32, 32, 3)
    assert np.array_equal(colour[..., 0], colour[..., 2])
    assert np.abs(keras.ops.image.resize(grey, (32, 32)) - colour[..., :1]).mean() < 0.05
    model = load_recipe("multi_input").build()
    swapped = dict(reversed(list(x.items())))
    assert np.allclose(model.predict(x, verbose=0), model.predict(swapped, verbose=0))


# Preprocessing inside a saved model against the pipeline that fed the run's: two ways, the same numbers

GREY, COLOUR = ((9, 7), 1), ((8, 6), 3)
BOTH = {"grey": (12, 10, 1), "colour": (5, 4, 3)}
WHITENED, SAMPLEWISE = Augmentation(zca_whitening=True, rescale=0.01), Augmentation(samplewise_std_normalization=True)


@pytest.mark.parametrize(("inputs", "augmentation"), [
    (Inputs(*GREY, "standard", (63, 1)), Augmentation()), (Inputs(*COLOUR, "caffe", (8, 6, 3)), Augmentation()),
    (Inputs(*GREY, "unit", BOTH), Augmentation()), (Inputs(*COLOUR, "unit", (8, 6, 3)), WHITENED),
    (Inputs(*GREY, "unit", (9, 7, 1)), SAMPLEWISE),
], ids=["standard", "caffe", "two sizes", "zca", "samplewise"])  # fmt: skip
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
