"""The page of `keraskit demo` computes, in a real browser, what Keras computes, of pictures that predict would see."""

import base64
import dataclasses
import io
import shutil

import keras
import numpy as np
import pytest
import scipy.special
from conftest import ROOT, barriers, command, tab_of
from hostile import NASTY
from keras import layers
from PIL import Image, ImageDraw

import keraskit
from keraskit import spread_gates
from keraskit.datasets.digits import load_mnist
from keraskit.datasets.images import decode, digit_pictures, drawn_pets
from keraskit.datasets.preprocessing import Inputs
from keraskit.registry import find_card
from keraskit.runs.folder import RunFolder
from keraskit.runs.opening import open_run
from keraskit.runs.pictures import network as network_of
from keraskit.tools.demo import demo
from keraskit.tools.predict import predict

UNIT = Inputs((28, 28), 1, "unit", (28, 28, 1))
BOTH = {"img_gray_bigsize": (64, 64, 1), "img_rgb_smallsize": (32, 32, 3)}
INPUTS = {  # of recipes
    **{"cnn": UNIT, "lstm": Inputs((28, 28), 1, "standard", (784, 1))},
    **{"multi_input": Inputs((28, 28), 1, "unit", BOTH), "cats_dogs": Inputs((150, 150), 3, "unit", (150, 150, 3))},
}
FLAT, WIDE = Inputs((28, 28), 1, "unit", (784,)), dataclasses.asdict(Inputs((30, 100), 1, "unit", BOTH))
BYTES = "text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0))"
ANSWERS = f"""([text, count]) => {{
    const all = ({BYTES})(text), size = all.length / count, network = withWeights(run), found = [];
    for (let i = 0; i < count; i++)
        found.push([...compute(network, all.subarray(i * size, (i + 1) * size)).at(-1).data]);
    return found;
}}"""
PREPARED = f"""([text, width, height, drawn]) => {{
    const {{pixels, note}} = prepared({{width, height, data: ({BYTES})(text)}}, run, drawn);
    return [[...pixels], note];
}}"""


def folder_of(tiny_run, place, model, prepared, **facts):
    shutil.copytree(tiny_run.folder, place)
    model.set_weights([weights.astype("float16").astype("float32") for weights in model.get_weights()])
    model.save(place / "model.keras")
    folder = RunFolder(place)
    folder.write_json("run.json", folder.read_json("run.json") | {"inputs": dataclasses.asdict(prepared)} | facts)
    return place


def spread(model, pictures):
    """The model with random biases, and a last layer that answers these pictures in many ways, as trained ones do."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.LSTM) and layer.use_bias:
            spread_gates(layer, span=784)  # it remembers ink that no row below has
        if isinstance(layer, layers.Dense | layers.Conv2D):
            layer.set_weights([w if w.ndim > 1 else random.normal(0, 0.1, w.shape) for w in layer.get_weights()])
    last = model.get_layer("output")
    before = keras.Model(model.inputs, last.input).predict(pictures, verbose=0)
    kernel, _ = last.get_weights()
    kernel = kernel * 4 / (before @ kernel).std(axis=0)
    last.set_weights([kernel, -(before @ kernel).mean(axis=0)])
    return model


def encoded(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def answers(browser, page, pictures):
    """What the page's own arithmetic makes of pictures of the run's size, shape (pictures, outputs)."""
    tab = browser.new_page()
    tab.goto(page.as_uri())
    found = np.array(tab.evaluate(ANSWERS, [encoded(pictures), len(pictures)]))
    tab.close()
    return found


@pytest.mark.parametrize("name", INPUTS)
def test_a_page_answers_as_keras_does(name, browser, tiny_run, tmp_path):
    inputs, pictures = INPUTS[name], load_mnist()[0]["x_test"][:6]
    if inputs.channels == 3:
        photographs = [Image.open(ROOT / "data" / "photos" / name) for name in ("chelsea.png", "coffee.png")]
        photographs += [each.crop((100, 50, 250, 200)) for each in photographs]
        pictures = np.stack([decode.pixels(each, inputs.size) for each in photographs])
    x = inputs.arranged(inputs.scaled(pictures))
    keras.utils.set_random_seed(0)
    model = spread(find_card(name).load().build(), x)
    classes = {"classes": ["cat", "dog"]} if model.output_shape == (None, 1) else {}
    folder = folder_of(tiny_run, tmp_path / "run", model, inputs, **classes)
    said = open_run(folder).classifier.predict(x, verbose=0)
    assert said.std(axis=0).mean() > 0.05  # else any page would do
    page = demo.write_demo(folder)
    assert np.abs(answers(browser, page, pictures) - said).max() < 1e-4
    assert page.stat().st_size < 2.7 * model.count_params() + 200_000  # float16 in base64; scripts and pictures


def test_a_page_standardises_by_what_was_measured_and_makes_probabilities_of_logits(browser, tiny_run, tmp_path):
    augment, arrays = keraskit.Augmentation(featurewise_std_normalization=True), load_mnist()[0]
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10)])
    facts = {"class_activation": "softmax", "config": {"augment": augment.given()}}
    folder = folder_of(tiny_run, tmp_path / "run", model, UNIT, **facts)
    fitted = augment.fit(np.asarray(UNIT.scaled(arrays["x_train"][:500, ..., None])))
    np.savez(folder / "statistics.npz", **fitted.statistics)
    pictures = arrays["x_test"][:20]
    known = scipy.special.softmax(model.predict(UNIT.preprocess(pictures, fitted), verbose=0), axis=1)
    assert np.abs(answers(browser, demo.write_demo(folder), pictures) - known).max() < 1e-3


def all_layers():
    """A model with every class of layer that a page knows, the recipes' and others, in many settings."""
    inputs = keras.Input((28, 28, 1), name="input")
    shared = layers.Conv2D(6, (3, 2), strides=2, padding="same", activation="relu", name="shared")
    whole = layers.Normalization(mean=[0.2], variance=[0.3])(layers.Rescaling(2.0, offset=-0.5)(inputs))
    x = layers.ZeroPadding2D(((1, 2), (3, 0)))((whole / 0.5 - 0.25) * 1.5 + 0.1)
    y = layers.BatchNormalization()(layers.Conv2D(6, 5, use_bias=False, activation="silu")(x))
    y = layers.ReLU(6)(layers.DepthwiseConv2D(3, strides=2, padding="same")(y))
    y = layers.ReLU()(layers.DepthwiseConv2D(2, padding="valid", activation="silu")(y))
    inner = keras.Sequential([keras.Input((13, 13, 6)), layers.Conv2D(6, 2, padding="same")], name="inner")
    y = layers.Add()([inner(y), inner(layers.Activation("tanh")(y))])
    y = layers.AveragePooling2D(3, strides=2, padding="same")(y)
    y = layers.MaxPooling2D((2, 3), strides=1, padding="same")(y)
    pooled = layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(y))
    rows = layers.Dense(5, activation="softmax")(layers.Reshape((4, 196))(inputs))
    rows = layers.LSTM(4, activation="relu", recurrent_activation="tanh", use_bias=False, return_sequences=True)(rows)
    rows = layers.Concatenate(axis=1)([rows, layers.Activation("relu6")(rows)])
    both = layers.Concatenate()([shared(inputs), shared(whole)])
    both = layers.Concatenate(axis=3)([both, shared(whole)])
    parts = [pooled, layers.LSTM(7)(rows), layers.GlobalAveragePooling2D()(both), layers.Dropout(0.5)(pooled)]
    last = layers.Dense(10, activation="softmax", name="output")(layers.Concatenate()(parts))
    return keras.Model(inputs, {"other": layers.GRU(3)(rows), "output": last})


def test_every_class_of_layer_computes_as_in_keras(browser, tiny_run, tmp_path):
    keras.utils.set_random_seed(0)
    model, random = all_layers(), np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            found = [random.uniform(0.5, 2, w.shape) for w in layer.get_weights()]
            found[0][0], found[1][0] = 0.004, 8  # a small scale beside a large offset
            layer.set_weights(found)
    pictures = load_mnist()[0]["x_test"][:20]
    spread(model, UNIT.scaled(pictures[..., None]))
    page = demo.write_demo(folder_of(tiny_run, tmp_path / "run", model, UNIT, class_output="output"))
    said = model.predict(UNIT.scaled(pictures[..., None]), verbose=0)["output"]
    assert said.std(axis=0).mean() > 0.05
    assert np.abs(answers(browser, page, pictures) - said).max() < 1e-4
    assert {type(each).__name__ for each in model._flatten_layers()} >= set(demo.KINDS) - {"Resize"}


@pytest.fixture(scope="module")
def page(tiny_run, tmp_path_factory):
    return demo.write_demo(tiny_run.folder, tmp_path_factory.mktemp("demo") / "demo.html")


def seen(tab, image, drawn=False):
    rgba = np.asarray(image.convert("RGBA"))
    pixels, note = tab.evaluate(PREPARED, [encoded(rgba), image.width, image.height, drawn])
    return np.array(pixels, int), note


def pictures():
    """Pictures as people would drop them, on evenly lit paper: strokes, ink, chalk, MNIST's own, blank paper."""
    digits = load_mnist()[0]["x_test"]
    strokes = Image.new("L", (640, 640))
    ImageDraw.Draw(strokes).line([(200, 150), (420, 160), (300, 520)], fill=255, width=50, joint="curve")
    small = Image.new("RGB", (900, 720), (200, 210, 220))
    small.paste(Image.fromarray(210 - (digits[0] * 0.6).astype(np.uint8)).resize((90, 90)), (700, 150))
    large = Image.fromarray(digits[1].repeat(9, 0).repeat(9, 1))
    ink = Image.merge("RGB", [large.point(lambda v, k=k: 250 - v * k // 10) for k in (9, 10, 7)])
    own = [digits[5], 255 - digits[6], np.pad(digits[7], 9), np.roll(digits[4], 4, axis=1)]  # the last off the middle
    return [strokes, small, large, ink, *map(Image.fromarray, own), Image.new("L", (90, 60), 250)]


def test_a_page_prepares_pictures_as_predict_does(browser, tiny_run, page):
    network = network_of(open_run(tiny_run.folder))
    tab = browser.new_page()
    tab.goto(page.as_uri())
    for i, image in enumerate(pictures()):
        expected, said = network.prepare(image)
        found, note = seen(tab, image)
        assert note == said, i
        off = np.abs(found - expected.ravel().astype(int))
        assert off.max() <= 3 and off.mean() < 0.05, (i, off.max(), off.mean())
    strokes = pictures()[0]
    drawn = Image.merge("LA", [Image.new("L", strokes.size), strokes])
    assert np.abs(seen(tab, drawn, True)[0] - digit_pictures.cut_out(strokes, False)[0].ravel()).max() <= 3
    tab.close()


def until(tab, true):
    """Wait. Playwright's own wait evaluates text in the page, which the page forbids."""
    for _ in range(1_200):
        if tab.evaluate(f"Boolean({true})"):
            return
        tab.wait_for_timeout(50)
    raise AssertionError(f"never: {true}")


def answered(tab):
    until(tab, "latest && !busy && !next && !document.getAnimations().length")  # the bars stand
    widths = "[...document.querySelectorAll('.bar')].map(bar => new DOMMatrix(getComputedStyle(bar).transform).a)"
    return np.array(tab.evaluate(widths))


def test_a_drawn_digit_gets_the_answer_that_predict_gives_its_picture(browser, tiny_run, page, tmp_path):
    tab, said, asked = tab_of(browser, page, viewport={"width": 800, "height": 900})
    box, places = tab.locator("#ink").bounding_box(), ((0.3, 0.2), (0.7, 0.2), (0.4, 0.8))
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    tab.mouse.move(*points[0])
    tab.mouse.down()
    for point in points[1:]:
        tab.mouse.move(*point, steps=9)
    tab.mouse.up()
    shares = answered(tab)
    drawn = tab.evaluate("document.getElementById('ink').toDataURL()").partition(",")[2]
    Image.open(io.BytesIO(base64.b64decode(drawn))).getchannel("A").save(tmp_path / "drawn.png")
    (row,) = predict(tiny_run.folder, [tmp_path / "drawn.png"], top=10)
    expected = [dict(row.best)[str(k)] for k in range(10)]
    assert np.abs(shares - expected).max() < 5e-3  # a pixel's brightness may be off by one
    assert tab.locator("#verdict b").inner_text() == row.best[0][0]
    for scheme, width in (("light", 800), ("dark", 360), ("dark", 1400)):
        tab.emulate_media(color_scheme=scheme)
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        until(tab, "!document.getAnimations().length")
        assert not barriers(tab)
    assert not said and {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}
    tab.context.close()


def test_the_keyboard_alone_is_enough(browser, page):
    tab, said, _ = tab_of(browser, page, reduced_motion="reduce")
    for _ in range(3):
        tab.keyboard.press("Tab")
    name = tab.evaluate("document.activeElement.ariaLabel")
    tab.keyboard.press("Enter")
    assert name.startswith("Test picture: ") and answered(tab).sum() == pytest.approx(1, abs=1e-3)
    assert f"A test picture of {name[-1]}." in tab.locator("#note").inner_text()
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.press("Enter")
    assert tab.locator("#verdict b").inner_text() == "?" and not said
    tab.context.close()


DROP = """([text, type]) => {
    const files = new DataTransfer(), bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
    files.items.add(new File([bytes], "dropped", {type}));
    const drop = new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true});
    document.getElementById("slate").dispatchEvent(drop);
}"""


@pytest.mark.parametrize("crop", [False, True])
def test_a_photograph_is_dropped_and_what_is_none_is_said_to_be(crop, browser, tiny_run, tmp_path):
    model, inputs = find_card("cats_dogs").load().build(size=64), Inputs((64, 64), 3, "unit", (64, 64, 3), crop=crop)
    folder = folder_of(tiny_run, tmp_path / "run", model, inputs, classes=["cat", "dog"])
    tab, said, _ = tab_of(browser, demo.write_demo(folder))
    assert tab.locator("#ink").count() == 0
    Image.fromarray(drawn_pets.draw("cat", 0)).resize((601, 150)).save(tmp_path / "pet.png")
    (row,) = predict(folder, [tmp_path / "pet.png"])
    tab.evaluate(DROP, [base64.b64encode((tmp_path / "pet.png").read_bytes()).decode(), "image/png"])
    assert np.abs(answered(tab) - [dict(row.best)[name] for name in ("cat", "dog")]).max() < 1e-3
    tab.evaluate(DROP, [base64.b64encode(b"no picture").decode(), "image/png"])
    until(tab, "document.getElementById('note').textContent.includes('cannot read')")
    assert tab.locator("#verdict b").inner_text() == "?" and not said
    tab.context.close()


def test_a_page_may_send_nothing_even_if_it_would(browser, page):
    tab, said, _ = tab_of(browser, page)
    sent = "fetch('https://keraskit.invalid/').then(() => 'sent', () => 'refused')"
    picture = "Object.assign(new Image(), {src: 'https://keraskit.invalid/'})"
    loaded = f"new Promise(done => {picture}.addEventListener('error', () => done('refused')))"
    assert tab.evaluate(sent) == tab.evaluate(loaded) == "refused"
    assert sum("violates the following Content Security Policy" in line for line in said) == 2
    tab.context.close()


def test_names_made_to_do_harm_stay_text(browser, run):
    classes = [NASTY, "</script><img src=x onerror=alert(1)>", *"23456789"]
    run.update_manifest(classes=classes, recipe=NASTY, data={"name": NASTY})
    tab, said, asked = tab_of(browser, demo.write_demo(run.path))
    dialogs = []
    tab.on("dialog", lambda dialog: dialogs.append(dialog.message))
    tab.locator(".examples button").first.click()
    answered(tab)
    names = tab.evaluate("[...document.querySelectorAll('.bars .name')].map(each => each.textContent)")
    assert names == classes and not dialogs and not said and not [url for url in asked if url.endswith("/x")]
    assert tab.locator("script").count() == 6 and tab.locator("main img[src=x]").count() == 0
    tab.context.close()


def dense(activation="softmax", *more):
    last = layers.Dense(10, activation=activation, name="last")
    return keras.Sequential([keras.Input((784,), name="input"), *more, last])


def rows(*more, started=False):
    inputs = keras.Input((784,))
    x = layers.Reshape((28, 28))(inputs)
    for layer in more:
        x = layer(x)
    state = {"initial_state": [layers.Dense(10)(inputs) for _ in range(2)]} if started else {}
    return keras.Model(inputs, layers.LSTM(10, activation="softmax", name="lstm")(x, **state))


@keras.saving.register_keras_serializable("tests")
class Block(keras.Model):
    def __init__(self, **known):
        super().__init__(**known)
        self.inner = layers.Conv1D(28, 3, padding="same")

    def call(self, x):
        return self.inner(x)


REFUSED = {
    "the layer gru (GRU)": (lambda: dense("softmax", layers.Reshape((28, 28)), layers.GRU(10, name="gru")), {}),
    "the layer last (Dense, activation mish)": (lambda: dense("mish"), {}),
    "has not finished: it is interrupted": (dense, {"status": "interrupted"}),
    "learned from no pictures": (dense, {"inputs": None}),
    "its pictures have 12 bits": (dense, {"inputs": dataclasses.asdict(FLAT) | {"bits": 12}}),
    "the layer mask (Masking)": (lambda: rows(layers.Masking(name="mask")), {}),
    "the layer lstm (LSTM, initial_state)": (lambda: rows(started=True), {}),
    "(Resize, sizes [(30, 100, 1)": (lambda: find_card("multi_input").load().build(), {"inputs": WIDE}),
    " (Block)": (lambda: rows(Block()), {}),
    "(Mean, axis (1, 2))": (dense, {"config": {"augment": {"samplewise_center": True}}}),
}


def test_what_a_page_cannot_do_is_refused_in_one_line(tiny_run, tmp_path, monkeypatch):
    for i, (problem, (build, facts)) in enumerate(REFUSED.items()):
        folder = folder_of(tiny_run, tmp_path / str(i), build(), FLAT, **facts)
        code, _, said = command("demo", folder)
        assert code == 2 and said.count("\n") == 1 and problem in said, said
        assert not (folder / "demo.html").exists()
    folder = folder_of(tiny_run, tmp_path / "damaged", dense(), FLAT)
    sheet = {"captions": np.array(["5"]), "title": np.array(["Right"]), "0": np.frombuffer(b"no picture", np.uint8)}
    np.savez(folder / "pictures.npz", **{f"right/{name}": array for name, array in sheet.items()})
    code, _, said = command("demo", folder)
    assert code == 2 and said.count("\n") == 1 and "pictures.npz cannot be read" in said
    monkeypatch.setattr(demo, "MOST_WEIGHTS", 500_000)
    code, _, said = command("demo", tiny_run.folder)
    assert code == 2 and "541,794 weights; a page has room for 500,000" in said
