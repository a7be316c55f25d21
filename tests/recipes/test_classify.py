"""The pretrained networks: Keras's own calls are the oracle, number for number; real weights where they are at hand."""

import hashlib
import json
import re

import keras
import numpy as np
import pytest
from conftest import command, shared
from keraskit.recipes import classify as recipe
from PIL import Image

from keraskit.datasets.images import decode, layout
from keraskit.errors import UserError
from keraskit.models import applications
from keraskit.tools.classify import network

BUILDERS = ["VGG16", "VGG19", "ResNet50", "InceptionV3", "InceptionResNetV2", "Xception", "MobileNet"]
EXPECTED = {  # with Keras's loader, by MobileNet 0.25
    "giant_panda.jpg": ("giant_panda", 0.997), "lion.jpg": ("lion", 0.999), "quail.jpg": ("quail", 0.995),
    "coffee.png": ("espresso", 0.934), "goldfish.jpg": ("goldfish", 0.853), "bear.jpg": ("brown_bear", 0.809),
}  # fmt: skip


@pytest.fixture
def photographs(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(6):
        pixels = random.integers(0, 256, (90 + 10 * i, 120, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.png")
    (tmp_path / "photos" / "6.jpg").write_text("text")
    return tmp_path / "photos"


@pytest.mark.parametrize(("name", "builder"), list(zip(recipe.SEVEN, BUILDERS, strict=True)))
def test_each_of_the_seven_is_asked_as_keras_asks_it(name, builder, photographs, monkeypatch):
    """A tiny network in the place of Keras's, so that its size, scale and order of channels are what is tested."""
    module, path, built = getattr(keras.applications, name), photographs / "3.png", []
    keras.utils.set_random_seed(0)
    pool, head = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1000, activation="softmax")
    model = keras.Sequential([keras.Input((64, 48, 3)), pool, head])

    def instead(**given):
        built.append(given)
        return model

    instead.__module__ = module.__name__
    monkeypatch.setattr(keras.applications, builder, instead)
    asked = network(name)
    array, note = asked.prepare(decode.read(path.read_bytes()))
    x = keras.utils.img_to_array(keras.utils.load_img(path, target_size=(64, 48)))  # the nearest pixels
    assert built == [{"weights": "imagenet"}] and np.array_equal(array, x) and note == ""
    expected = model(module.preprocess_input(x[None].copy())).numpy()
    assert np.allclose(asked.probabilities(array[None]), expected, rtol=1e-4)


def test_class_names_are_decoded_as_keras_decodes_them():
    as_keras_writes_it = json.dumps({str(i): list(pair) for i, pair in enumerate(layout.imagenet())})
    assert hashlib.md5(as_keras_writes_it.encode()).hexdigest() == "c2c37ea517e94d9795004a39431a14cb"
    rows = np.random.default_rng(0).dirichlet(np.ones(1000), 2)
    for row, decoded in zip(rows, applications.decode_predictions(rows, top=3), strict=True):
        order = row.argsort()[-3:][::-1]  # Keras's own line
        assert decoded == [(*layout.imagenet()[k], row[k]) for k in order]


def test_real_photographs_are_right_in_the_recipe_counted_in_folders_and_explained(capsys, tmp_path):
    weights = shared("weights/mobilenet_2_5_224_tf.h5")
    narrow = ["--alpha", 0.25, "--weights", weights]
    recipe.classify(*(shared(f"photos/{name}") for name in EXPECTED), top=1, alpha=0.25, weights=str(weights))
    lines = capsys.readouterr().out.splitlines()
    for line, (name, (what, probability)) in zip(lines, EXPECTED.items(), strict=True):
        found = re.search(rf"{name}  (\w+) \(([\d.]+)%\)", line)
        assert found[1] == what and abs(float(found[2]) / 100 - probability) <= 0.005, line
    for name, (what, _) in {**EXPECTED, "chelsea.png": ("Egyptian_cat", 0.235)}.items():
        folder = tmp_path / what.replace("_", "-").upper()
        folder.mkdir()
        (folder / name).write_bytes(shared(f"photos/{name}").read_bytes())
    out = command("classify", tmp_path, "--evaluate", *narrow).out  # the cat is taken for a lynx, 0.260
    assert "7 pictures of 7 classes" in out and f"top-1 accuracy {6 / 7:.4f}" in out and "top-5 accuracy 1.0000" in out
    assert re.search(r"chelsea\.png +Egyptian_cat +lynx \(26\.\d\d%\)", out) and "Confused most" not in out
    lion, why = shared("photos/lion.jpg"), tmp_path / "why.png"
    assert "Grad-CAM of conv_pw_13_relu passes its test" in command("classify", lion, "--explain", why, *narrow).out
    assert Image.open(why).width > 100
    code, _, err = command("classify", lion, "--weights", weights)
    assert code == 2 and re.search(r"does not fit mobilenet_1.00_224: .*conv1.*\. Name the file", err)


def test_a_crop_is_the_middle_filtered(photographs, monkeypatch):
    model = keras.applications.MobileNet(alpha=0.25, input_shape=(128, 128, 3), weights=None)
    monkeypatch.setattr(applications, "create", lambda *_, **__: model)
    with Image.open(photographs / "3.png") as image:  # of 120 pixels, its shorter side
        box = tuple(round(60 + sign * 0.875 * 120 / 2) for sign in (-1, -1, 1, 1))
        x = np.asarray(image.crop(box).resize((128, 128), Image.Resampling.BILINEAR), "float32")  # Pillow's own
        assert np.array_equal(network("mobilenet", "none", crop=True).prepare(image)[0], x)


def test_it_is_a_command_and_a_program_with_a_photograph_that_ships():
    words = ["--weights", "none", "--alpha", "0.25", "--top", "2"]
    for verb in (["classify"], ["run", "classify"]):
        code, out, err = command(*verb, *words)
        assert (code, err) == (0, "") and "coffee.png" in out and out.count("%)") == 2


def test_without_network_one_line_names_the_file_its_folder_and_the_way_out(photographs, monkeypatch):
    def unreachable(*_, **__):
        raise Exception("URL fetch failure on https://somewhere/mobilenet/mobilenet_1_0_224_tf.h5: None -- no route")

    monkeypatch.setattr("keras.src.applications.mobilenet.file_utils.get_file", unreachable)
    monkeypatch.setenv("KERAS_HOME", "/home/someone/.keras")
    with pytest.raises(UserError) as caught:
        recipe.classify(photographs / "0.png")
    line = str(caught.value)
    assert "mobilenet_1_0_224_tf.h5: None -- no route. Put the file" in line  # sentences end
    assert "/home/someone/.keras/models" in line and "--weights FILE" in line
