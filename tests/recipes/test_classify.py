"""The pretrained networks: Keras's own calls are the oracle, number for number; real weights where they are at hand."""

import csv
import hashlib
import json
import re

import keras
import numpy as np
import pytest
from keraskit.recipes.classify import SEVEN, classify, network
from PIL import Image
from shared_data import shared

from keraskit.datasets.images import decode, imagenet
from keraskit.errors import UserError
from keraskit.models import applications

KERAS = {  # Keras's own module, builder and input size of each network
    "vgg16": (keras.applications.vgg16, "VGG16", 224),
    "vgg19": (keras.applications.vgg19, "VGG19", 224),
    "resnet50": (keras.applications.resnet50, "ResNet50", 224),
    "inception_v3": (keras.applications.inception_v3, "InceptionV3", 299),
    "inception_resnet_v2": (keras.applications.inception_resnet_v2, "InceptionResNetV2", 299),
    "xception": (keras.applications.xception, "Xception", 299),
    "mobilenet": (keras.applications.mobilenet, "MobileNet", 224),
}
EXPECTED = {  # with Keras's loader, by MobileNet 0.25
    "giant_panda.jpg": ("giant_panda", 0.997),
    "lion.jpg": ("lion", 0.999),
    "quail.jpg": ("quail", 0.995),
    "coffee.png": ("espresso", 0.934),
    "goldfish.jpg": ("goldfish", 0.853),
    "bear.jpg": ("brown_bear", 0.809),
}


@pytest.fixture
def photographs(tmp_path):
    """Six noisy pictures of different sizes, with one that is none."""
    random = np.random.default_rng(0)
    for i in range(6):
        pixels = random.integers(0, 256, (90 + 10 * i, 120, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    (tmp_path / "6.jpg").write_text("text")
    return tmp_path


@pytest.fixture
def small(monkeypatch):
    """A network that is quick to ask."""
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNet(alpha=0.25, input_shape=(128, 128, 3), weights=None)
    monkeypatch.setattr(applications, "create", lambda *_, **__: model)
    return model


@pytest.mark.parametrize("name", SEVEN)
def test_each_of_the_seven_is_asked_as_keras_asks_it(name, photographs, monkeypatch):
    module, builder, size = KERAS[name]
    keras.utils.set_random_seed(0)
    model = alive(getattr(keras.applications, builder)(weights=None))
    asked = []

    def instead(**given):
        asked.append(given)
        return model

    instead.__module__ = module.__name__
    monkeypatch.setattr(keras.applications, builder, instead)
    path = photographs / "3.png"
    ready = network(name, "imagenet", 1.0, None, False, "nearest")
    assert asked == [{"weights": "imagenet"}]
    array, note = ready.prepare(decode.read(path.read_bytes()))
    x = keras.utils.img_to_array(keras.utils.load_img(path, target_size=(size, size)))  # nearest, as in the document
    assert np.array_equal(array, x) and note == ""
    expected = model(module.preprocess_input(x[None].copy()), training=False).numpy()
    said = ready.probabilities(array[None])
    assert np.allclose(said, expected, rtol=1e-4, atol=1e-7)
    decoded = [(wordnet, name) for wordnet, name, _ in ours(said)]
    for mine, (wordnet, label, p) in zip(decoded, keras_decoded(expected), strict=True):
        assert mine == (wordnet, label) or (said[0] == p).sum() > 1  # where several are as probable, any may come first
    assert decoded[0] == keras_decoded(expected)[0][:2]


def alive(model):
    """Random weights whose normalisations know one batch: without that every class is as probable as any other."""
    normalisations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in normalisations:
        layer.momentum = 0.0
    if normalisations:
        model(np.random.default_rng(0).uniform(-1, 1, (4, *model.input_shape[1:])).astype("float32"), training=True)
    return model


def ours(said):
    order = np.argsort(-said[0], kind="stable")[:5]
    return [(*imagenet.classes()[k], said[0, k]) for k in order]


def keras_decoded(said):
    """`decode_predictions` with the class index that ships in place of a download."""
    order = said[0].argsort()[-5:][::-1]  # Keras's own line
    index = {str(i): pair for i, pair in enumerate(imagenet.classes())}
    return [(*index[str(i)], said[0, i]) for i in order]


def test_the_class_names_are_keras_own():
    as_keras_writes_it = json.dumps({str(i): list(pair) for i, pair in enumerate(imagenet.classes())})
    assert hashlib.md5(as_keras_writes_it.encode()).hexdigest() == "c2c37ea517e94d9795004a39431a14cb"
    assert imagenet.names()[imagenet.labels().find(["n02504458"])["n02504458"]] == "African_elephant"


def test_the_class_index_file_is_the_same():
    index = json.loads(shared("weights/imagenet_class_index.json").read_text())
    assert tuple(tuple(index[str(i)]) for i in range(1000)) == imagenet.classes()


def test_real_photographs_with_real_weights(capsys):
    weights = shared("weights/mobilenet_2_5_224_tf.h5")
    rows = classify(shared("photos"), alpha=0.25, weights=str(weights), top=1)
    said = {row.path.name: row.best[0] for row in rows}
    for name, (what, probability) in EXPECTED.items():
        assert said[name][0] == what and abs(said[name][1] - probability) <= 0.005, said[name]
    assert "giant_panda (99.67%)" in capsys.readouterr().out


def test_real_photographs_in_folders_are_counted(capsys, tmp_path):
    weights = shared("weights/mobilenet_2_5_224_tf.h5")
    for name, (what, _) in {**EXPECTED, "chelsea.png": ("Egyptian_cat", 0.235)}.items():
        folder = tmp_path / what.replace("_", "-").upper()
        folder.mkdir()
        (folder / name).write_bytes(shared(f"photos/{name}").read_bytes())
    classify(tmp_path, evaluate=True, alpha=0.25, weights=str(weights))  # the cat is taken for a lynx, 0.260
    out = capsys.readouterr().out
    assert "7 pictures of 7 classes" in out and f"top-1 accuracy {6 / 7:.4f}" in out and "top-5 accuracy 1.0000" in out
    assert re.search(r"chelsea\.png +Egyptian_cat +lynx \(26\.\d\d%\)", out) and "Confused most" not in out


def test_where_the_network_saw_its_answer(photographs, small, capsys, tmp_path):
    target = tmp_path / "why.png"
    classify(photographs, weights="none", explain=target)
    out = capsys.readouterr().out
    assert (
        out.count("shuffled weights alike") == 6 and "not read: is no picture" in out
    )  # what is no picture hinders none
    assert Image.open(target).width > 600  # eight columns
    classify(photographs / "3.png", model="mobilenet,vgg16", weights="none", explain=target)
    assert re.findall(r"3\.png (\S+): ", capsys.readouterr().out) == ["mobilenet", "vgg16"]
    with pytest.raises(UserError, match=r"why\.txt"):
        classify(photographs, weights="none", explain=tmp_path / "why.txt")


def test_real_weights_see_a_lion_where_it_lies(tmp_path, capsys):
    weights = shared("weights/mobilenet_2_5_224_tf.h5")
    classify(shared("photos/lion.jpg"), alpha=0.25, weights=str(weights), explain=tmp_path / "why.png")
    assert "Grad-CAM of conv_pw_13_relu passes its test" in capsys.readouterr().out


def test_several_networks_side_by_side_and_bad_files(photographs, small, capsys, tmp_path):
    names = {"json": tmp_path / "new" / "below" / "a.json", "csv": tmp_path / "a.csv", "sheet": tmp_path / "a.png"}
    rows = classify(photographs, model="mobilenet,vgg16", weights="none", top=2, **names)
    assert len(rows) == 14 and [row.network for row in rows] == ["mobilenet"] * 7 + ["vgg16"] * 7
    out = capsys.readouterr().out
    assert out.count("not read: is no picture") == 2
    assert out.count("[untrained network]") == 12  # every line says that the network is untrained
    table = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert (
        table[0]["network"] == "mobilenet"
        and table[6]["error"].startswith("is no picture")
        and "class_3" not in table[0]
    )
    assert json.loads(names["json"].read_text())[13]["error"].startswith("is no picture")
    assert (tmp_path / "a.png").is_file()


def test_the_crop_is_the_middle_square(small, tmp_path):
    image = Image.new("RGB", (160, 80))
    image.paste((200, 100, 50), (45, 5, 115, 75))  # 70 of 80 pixels, in the middle
    for resize in ("nearest", "bilinear"):
        array, _ = network("mobilenet", "none", 1.0, None, True, resize).prepare(image)
        assert array.shape == (128, 128, 3) and (array == (200, 100, 50)).all()


@pytest.mark.parametrize(
    ("flags", "crop", "resize"),
    [
        ({}, False, "nearest"),
        ({"resize": "bilinear"}, False, "bilinear"),
        ({"crop": True}, True, "bilinear"),
        ({"crop": True, "resize": "nearest"}, True, "nearest"),
    ],
)
def test_crop_and_resize_are_two_choices(flags, crop, resize, photographs, small):
    with Image.open(photographs / "3.png") as image:
        side = 0.875 * 120  # of 120 pixels, the shorter side
        box = tuple(round(edge) for w in (-1, 1) for edge in (60 + w * side / 2, 60 + w * side / 2))
        cut = image.crop(box) if crop else image
        x = np.asarray(cut.resize((128, 128), Image.Resampling[resize.upper()]), "float32")  # Pillow's own
    expected = small(keras.applications.mobilenet.preprocess_input(x[None]), training=False).numpy()[0]
    (row,) = classify(photographs / "3.png", weights="none", top=1000, **flags)
    assert np.allclose([dict(row.best)[name] for name in imagenet.names()], expected, rtol=1e-3, atol=1e-6)


def test_accuracy_of_labelled_photographs(photographs, small, capsys, tmp_path):
    known = list(classify(photographs, weights="none", top=5))
    best, fifth = known[0].best[0][0], known[1].best[4][0]
    root = tmp_path / "labelled"
    for i, name in enumerate((best, fifth)):
        wordnet = imagenet.classes()[imagenet.names().index(name)][0]
        (root / wordnet).mkdir(parents=True, exist_ok=True)
        (root / wordnet / f"{i}.png").write_bytes((photographs / f"{i}.png").read_bytes())
    (root / "n02129165").mkdir()
    (root / wordnet / "text.jpg").write_text("text")
    capsys.readouterr()
    rows = classify(root, evaluate=True, weights="none", csv=tmp_path / "a.csv", top=1)
    out = capsys.readouterr().out
    assert "2 pictures of 2 classes" in out and "Confused most" not in out  # for one pair that occurs once
    assert "top-1 accuracy 0.5000" in out and "top-5 accuracy 1.0000" in out
    assert f"{wordnet}/text.jpg is no picture" in out and "no pictures in n02129165" in out
    assert {row.path.name: (row.truth, row.right) for row in rows} == {
        "0.png": (best, True),
        "1.png": (fifth, False),
        "text.jpg": (fifth, None),
    }
    table = {line["picture"]: line for line in csv.DictReader((tmp_path / "a.csv").open())}
    assert table[str(root / wordnet / "1.png")]["truth"] == fifth and len(table) == 3
    (root / "unicorn").mkdir()
    for words, message in (
        ([root], "'unicorn' names no class of ImageNet"),
        ([photographs / "0.png", root], r"0\.png is no folder"),
        ([], "Name their folder"),
    ):
        with pytest.raises(UserError, match=message):
            classify(*words, evaluate=True, weights="none")


def test_bad_words_are_one_line(photographs, tmp_path):
    weights = tmp_path / "weights.h5"
    weights.write_text("no weights")
    for words, given, message in (
        (["nowhere.jpg"], {}, "does not exist"),
        ([photographs], {"model": "vgg61"}, "no application"),
        ([photographs], {"model": "all", "weights": "x.h5"}, "fits one network, not 7"),
        ([photographs], {"weights": str(weights), "alpha": 0.25}, "does not fit mobilenet_0.25_224"),
        ([photographs], {"csv": weights / "a.csv"}, "is a file"),
        ([photographs], {"show": "unsure"}, "Name its file with --sheet"),
        ([photographs], {"show": "mistakes", "sheet": tmp_path / "a.png"}, "Name their folder with --evaluate"),
        ([photographs], {"alpha": 0.3}, "mobilenet cannot be built"),
        ([photographs], {"model": "vgg16", "size": 20, "weights": "none"}, "vgg16 cannot be built"),
    ):
        with pytest.raises(UserError, match=message):
            classify(*words, **given)


def test_weights_of_another_width_name_the_flag_that_takes_them(photographs):
    weights = str(shared("weights/mobilenet_2_5_224_tf.h5"))
    with pytest.raises(UserError, match=r"does not fit mobilenet_1.00_224: .*conv1.*\. Name the file"):
        classify(photographs, weights=weights)
    with pytest.raises(UserError, match="Name the file of the same model"):
        classify(photographs, weights=weights, model="vgg16")


def test_it_is_a_command_with_a_photograph_that_ships(command):
    done = command("--weights", "none", "--alpha", "0.25", "--top", "2", module="keraskit.recipes.classify")
    assert done.returncode == 0, done.stderr
    assert "coffee.png" in done.stdout and done.stdout.count("%)") == 2 and "untrained" in done.stdout
    failed = command("run", "classify", "--top", "none")
    assert failed.returncode == 2 and failed.stderr.count("\n") == 1


def test_without_network_one_line_names_the_file_its_folder_and_the_way_out(photographs, monkeypatch):
    def unreachable(*_, **__):
        raise Exception("URL fetch failure on https://somewhere/mobilenet/mobilenet_1_0_224_tf.h5: None -- no route")

    monkeypatch.setattr(keras.utils, "get_file", unreachable)
    monkeypatch.setattr("keras.src.applications.mobilenet.file_utils.get_file", unreachable)
    monkeypatch.setenv("KERAS_HOME", "/home/someone/.keras")
    with pytest.raises(UserError) as caught:
        classify(photographs)
    line = str(caught.value)
    assert "-- no route. Put the file" in line  # sentences end
    assert "mobilenet_1_0_224_tf.h5" in line and "/home/someone/.keras/models" in line and "--weights FILE" in line


def test_the_help_shows_a_tree_as_it_is_written(command):
    lines = command("run", "classify", "--help", COLUMNS="80").stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("    LABELLED/"))
    words = [re.split("  +", line.strip())[0].split("/")[1] for line in lines[start : start + 3]]
    assert words == ["tench", "great-white shark", "crane (n02012849)"]
    assert list(imagenet.labels().find(words).values()) == [0, 2, 134]
    others = re.findall(r"\w+(?=/,)", lines[start])
    assert len(others) == 3 and all(imagenet.labels().find([word]) == {word: 0} for word in others)
