"""--dataset: a user's own arrays, any number of classes; whatever is wrong with them is one clear error."""

import gzip
import zipfile

import keras
import numpy as np
import pytest

import keraskit
from keraskit.cli import app
from keraskit.config import RunConfig
from keraskit.datasets import array_files, digits
from keraskit.errors import UserError
from keraskit.recipe import options_of
from keraskit.registry import find_card, load_recipe
from keraskit.runs.folder import RunFolder
from keraskit.training.runner import load
from keraskit.training.settings import settle

pytestmark = pytest.mark.usefixtures("undrawn")


def made(classes=3, n=120, shape=(28, 28)):
    """Pictures with a bright band whose place tells their class, and labels, in Keras's layout."""
    random = np.random.default_rng(0)

    def drawn(count):
        y = np.arange(count) % classes
        x = random.integers(0, 60, (count, *shape), dtype=np.uint8)
        for picture, label in zip(x, y, strict=True):
            picture[label * shape[0] // classes : (label + 1) * shape[0] // classes] += 150
        return x, y.astype(np.uint8)

    (x, y), (x_test, y_test) = drawn(n), drawn(n // 3)
    return {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}


def idx(array):
    """The bytes of an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@pytest.fixture
def npz(tmp_path):
    """Save arrays as an .npz and return its path."""

    def save(arrays):
        np.savez(tmp_path / "own.npz", **arrays)
        return tmp_path / "own.npz"

    return save


@pytest.mark.parametrize("recipe", ["mlp", "cnn"])
def test_the_output_layer_follows_the_data(npz, tmp_path, recipe):
    result = keraskit.run(
        recipe, dataset=str(npz(made(n=600))), epochs=4, batch_size=32, xla="off", output_dir=tmp_path
    )
    assert result.model.output_shape == (None, 3) and result.metrics["accuracy"] > 0.9


@pytest.mark.parametrize(("recipe", "flag"), [("mlp", "dataset"), ("cats_dogs", "data_dir")])
def test_flags_that_data_functions_share_are_told_once_and_read_from_source_or_module_alike(recipe, flag):
    read, real = (options_of(each.functions).model_fields for each in (find_card(recipe), load_recipe(recipe)))
    assert str(read) == str(real) and flag not in (load_recipe(recipe).data.__doc__ or "")
    assert all(field.description for field in read.values())


def same(one, other):
    """Whether two that `array_files.read` returned hold the same."""
    pairs = [(one[0][name], other[0][name]) for name in ("x_train", "x_test")]
    pairs += [(one[1].indices[split], other[1].indices[split]) for split in ("train", "test")]
    return all(np.array_equal(*pair) for pair in pairs) and one[1].names == other[1].names


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_hold_the_same_as_npz(tmp_path, npz, zipped):
    arrays = made()
    for name, stem in array_files.IDX_FILES.items():
        data = idx(arrays[name])
        (tmp_path / f"{stem}-ubyte{'.gz' if zipped else ''}").write_bytes(gzip.compress(data) if zipped else data)
    assert same(array_files.read(tmp_path), array_files.read(npz(arrays)))


def test_floats_from_0_to_1_channels_and_columns_are_understood(npz):
    plain = made()
    other = {
        "x_train": (plain["x_train"] / 255)[..., None],
        "y_train": plain["y_train"][:, None].astype(float),
        "x_test": (plain["x_test"] / 255).astype(np.float32),
        "y_test": plain["y_test"],
    }
    one, two = array_files.read(npz(other)), array_files.read(npz(plain))
    whole = array_files.read(npz(plain | {"x_train": plain["x_train"] * 1.0, "x_test": plain["x_test"].astype(int)}))
    assert same(one, two) and same(whole, two)


def test_one_scale_holds_for_all_arrays_and_is_recorded(npz):
    plain = made()
    shares = {k: plain[k] / 255 for k in ("x_train", "x_test")}
    arrays, _, facts = array_files.read(npz(plain | shares))
    assert facts == {"scale": "0 to 1, times 255"} and np.array_equal(arrays["x_train"], plain["x_train"])
    assert digits.flat(dataset=str(npz(plain | shares))).source["scale"] == "0 to 1, times 255"
    assert digits.flat(dataset=str(npz(plain))).source["scale"] == "0 to 255"
    above = shares["x_test"].copy()
    above[3, 4, 5] = 1.5
    for name, wrong in (
        ("x_test", above),
        ("x_train", np.concatenate([above] * 3)),
        ("x_test", plain["x_test"]),
        ("x_test", (plain["x_test"] > 100).astype(np.uint8)),
        ("x_train", plain["x_train"] + 0.5),
    ):
        with pytest.raises(UserError, match=r"the pixels have fractions and no one scale: \w+ up to .* Expected: 0 to"):
            array_files.read(npz(plain | shares | {name: wrong}))


def test_pictures_that_are_very_dark_are_noted(npz):
    plain = made()
    dark = {k: plain[k] // 16 for k in ("x_train", "x_test")}
    notes = digits.flat(dataset=str(npz(plain | dark))).source["notes"]
    assert notes == ["no pixel is above 13 of 255: very dark pictures, or on another scale"]
    assert "notes" not in digits.flat(dataset=str(npz(plain))).source


def test_labels_from_1_are_noted_and_make_no_further_class(npz, tmp_path, capsys):
    plain = made()
    shifted = plain | {k: plain[k] + 1 for k in ("y_train", "y_test")}
    one, two = (digits.flat(dataset=str(npz(arrays))) for arrays in (plain, shifted))
    assert two.classes == ("1", "2", "3") and any("counted from 1" in note for note in two.source["notes"])
    for split in ("train", "validation", "test"):
        assert np.array_equal(getattr(one, split).labels, getattr(two, split).labels)
    path = npz(shifted | {"classes": np.array(["a", "b", "c"])})
    assert digits.flat(dataset=str(path)).classes == ("a", "b", "c")
    words = ["run", "mlp", "--dataset", path, "--quick", "--epochs", 1, "--output-dir", tmp_path / "runs"]
    with pytest.raises(SystemExit) as end:
        app.command_line(list(map(str, words)))
    assert end.value.code == 0 and "labels are counted from 1" in capsys.readouterr().out


def test_members_that_are_no_arrays_are_one_clear_error(npz):
    for name in ("x_train", "y_test", "classes"):
        path = npz({k: v for k, v in made().items() if k != name})
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{name}.npy", b"no array")
        with pytest.raises(UserError, match=f"its member '{name}' is no array"):
            digits.flat(dataset=str(path))


def test_little_memory_is_not_told_as_damage(npz, monkeypatch, tmp_path):
    arrays = made()
    path = npz(arrays)
    for name, stem in array_files.IDX_FILES.items():
        (tmp_path / f"{stem}-ubyte").write_bytes(idx(arrays[name]))

    def full(*_, **__):
        raise MemoryError("Unable to allocate 9 GiB for an array")

    for place, call in ((path, "load"), (tmp_path, "frombuffer")):
        with monkeypatch.context() as patch, pytest.raises(UserError, match=r"does not fit into memory: Unable") as end:
            patch.setattr(np, call, full)
            array_files.read(place)
        assert "damaged" not in str(end.value)


def test_a_set_sorted_by_class_is_mixed_before_validation_is_cut_off(npz):
    arrays = made(n=240)
    order = np.argsort(arrays["y_train"], kind="stable")
    splits = digits.flat(dataset=str(npz(arrays | {k: arrays[k][order] for k in ("x_train", "y_train")})))
    assert set(splits.validation.labels) == {0, 1, 2}
    test = np.argsort(arrays["y_test"], kind="stable")
    by_class = npz(arrays | {k: arrays[k][test] for k in ("x_test", "y_test")})
    assert set(digits.flat(dataset=str(by_class)).limited(20).test.labels) == {0, 1, 2}
    x, y = splits.train.take(np.arange(splits.train.size))
    bright = x.reshape(-1, 28, 28)[:, [4, 13, 22]].mean(axis=2).argmax(axis=1)
    assert np.array_equal(bright, y)  # pictures and labels still belong together


WRONG = [
    (lambda a: a.pop("y_test"), "it lacks 'y_test"),
    (lambda a: a.update(x_train=a["x_train"][:, :, :, None, None]), r"shape \(120, 28, 28, 1, 1\)"),
    (lambda a: a.update(y_train=a["y_train"][:-1]), "120 pictures and y_train 119 labels"),
    (lambda a: a.update(y_train=a["y_train"].astype(int) - 1), "from -1 to 2"),
    (lambda a: a.update(y_train=a["y_train"] + 0.5), "expected one label per picture"),
    (lambda a: a.update(y_test=a["y_test"] + 5), r"train has no example of '5', '6', '7'"),
    (lambda a: a.update(x_train=np.where(a["x_train"] > 200, np.nan, a["x_train"])), "NaN or infinite"),
    (lambda a: a.update(x_train=a["x_train"].astype(int) * 10), "expected 0 to 255"),
    (lambda a: a.update(x_train=a["x_train"].astype(str)), "expected numbers"),
    (lambda a: a.update(x_test=a["x_test"][:, :20]), "differ in shape"),
    (lambda a: a.update(x_train=a["x_train"][:0], y_train=a["y_train"][:0]), "above 0"),
    (lambda a: a.update(x_train=a["x_train"].astype(object)), "cannot be read"),
    (lambda a: a.update(y_train=a["y_train"] * 0, y_test=a["y_test"] * 0), "training examples are of one class, 0"),
    (lambda a: a.update(y_train=a["y_train"] * 0 + 1, y_test=a["y_test"] * 0 + 1), "are of one class, 1"),
    (lambda a: a.update(y_train=a["y_train"].astype(int) * 1_000), "labels go from 0 to 2000. Classes are counted"),
]


@pytest.mark.parametrize(("damage", "words"), WRONG, ids=[words for _, words in WRONG])
def test_wrong_arrays_are_one_clear_error(npz, damage, words):
    arrays = made()
    damage(arrays)
    with pytest.raises(UserError, match=words):
        digits.two_sizes(dataset=str(npz(arrays)))


def test_wrong_idx_files_are_one_clear_error(tmp_path):
    with pytest.raises(UserError, match="holds no train-images-idx3"):
        array_files.read(tmp_path)
    for name, stem in array_files.IDX_FILES.items():
        (tmp_path / f"{stem}-ubyte").write_bytes(idx(made()[name])[:-1])
    with pytest.raises(UserError, match=r"its header says \(120, 28, 28\)"):
        array_files.read(tmp_path)
    for content in (b"", b"\0\0\x08", b"\0\0\x63\x01" + bytes(4), b"\0\0\x08\xff" + bytes(20)):
        (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
        with pytest.raises(UserError, match="cannot be read as IDX"):
            array_files.read(tmp_path)


def test_a_recipe_says_what_size_it_takes_and_multi_input_takes_any(npz, tmp_path):
    path = str(npz(made(shape=(32, 32, 3))))
    with pytest.raises(UserError, match=r"28x28; own.npz has \(32, 32, 3\)"):
        digits.flat(dataset=path)
    x, _ = digits.two_sizes(dataset=path).train.take(np.arange(2))
    assert x["img_rgb_smallsize"].shape == (2, 32, 32, 3) and x["img_gray_bigsize"].shape == (2, 64, 64, 1)
    with pytest.raises(UserError, match="does not exist"):
        digits.flat(dataset=str(tmp_path / "no.npz"))


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_keras_own_sets(monkeypatch, name):
    """With the download faked: CI has no network."""
    shape = (32, 32, 3) if name == "cifar10" else (28, 28)
    a = made(classes=10, n=300, shape=shape)
    loaded = ((a["x_train"], a["y_train"][:, None]), (a["x_test"], a["y_test"][:, None]))
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", lambda: loaded)
    splits = (digits.two_sizes if name == "cifar10" else digits.images)(dataset=name)
    assert len(splits.classes) == 10 and splits.sizes() == {"train": 275, "validation": 25, "test": 100}

    def no_network():
        raise Exception(f"URL fetch failure on https://{'x' * 150}: None -- [Errno -2] Name or service not known")

    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", no_network)
    with pytest.raises(UserError, match=f"could not download {name}: URL .* Name or service not known. Once fetched"):
        digits.two_sizes(dataset=name)


def lines(path, *names, encoding="utf-8"):
    path.write_bytes("\n".join(names).encode(encoding))
    return path


def test_names_of_classes_come_from_the_flag_then_the_npz_then_labels_txt(npz, tmp_path):
    path = npz(made())
    names = lambda **knobs: digits.flat(dataset=str(path), **knobs).classes  # noqa: E731
    assert names() == ("0", "1", "2")
    lines(tmp_path / "labels.txt", "下", "中 ", "上", "", encoding="utf-8-sig")
    assert names() == ("下", "中", "上")
    npz(made() | {"classes": np.array(["low", "in  the middle", "high"])})
    assert names() == ("low", "in the middle", "high")
    asked = lines(tmp_path / "asked.txt", "a", "b\r", "c")
    settings = settle(load_recipe("mlp"), RunConfig(), {"dataset": str(path), "classes": str(asked)})
    assert names(classes=asked) == load(load_recipe("mlp"), settings).classes == ("a", "b", "c")
    source = digits.flat(dataset=str(path), classes=asked).source
    assert source["notes"] == [f"class names: from --classes {asked}"]
    arrays = made()
    folder = tmp_path / "idx"
    folder.mkdir()
    for name, stem in array_files.IDX_FILES.items():
        (folder / f"{stem}-ubyte").write_bytes(idx(arrays[name]))
    lines(folder / "labels.txt", "x", "y", "z")
    assert digits.flat(dataset=str(folder)).classes == ("x", "y", "z")


def test_names_may_be_given_for_mnist_and_not_for_data_that_has_names(tmp_path):
    german = lines(tmp_path / "names.txt", *"01234", "fünf", *"6789")
    assert digits.flat(classes=german).limited(10).classes[5] == "fünf"
    for name in ("quickstart", "cats_dogs", "vgg16"):
        with pytest.raises(UserError, match=f"{name} has no flag classes"):
            keraskit.run(name, quick=True, classes=german, output_dir=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


NOT_NAMES = [
    (["a", "b"], "has 2 names; the data has 3 classes"),
    (["a", "", "c"], "name 2 is empty"),
    (["a", "b", "a "], "a stands there twice"),
    (["a", "b", "c" * 101], r"c\.\.\. has 101 letters"),
    (["a", "b", "\ud800"], "is not UTF-8 text"),
    (["a" * 1_000_000, "b", "c"], "more than 1,000,000 bytes"),
]


@pytest.mark.parametrize(("names", "words"), NOT_NAMES, ids=[words for _, words in NOT_NAMES])
def test_what_are_no_names_is_one_clear_line(npz, tmp_path, names, words):
    path = str(npz(made()))
    (tmp_path / "labels.txt").write_bytes("\n".join(names).encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError, match=words):
        digits.flat(dataset=path)
    (tmp_path / "labels.txt").rename(tmp_path / "asked.txt")
    with pytest.raises(UserError, match=words):
        digits.flat(dataset=path, classes=tmp_path / "asked.txt")


NO_TEXT = [
    (np.array(["a", "b", "c"], dtype=object), r"cannot be read as .npz: Object arrays"),
    (np.arange(3), r"is int64 \(3,\), expected text"),
    (np.array([["a", "b", "c"]]), r"\(1, 3\), expected text"),
    (np.array(["a" * 100_000, "b", "c"]), "more than 1,000,000 bytes"),
    (np.array(["a", "b"]), "has 2 names"),
]


@pytest.mark.parametrize(("names", "words"), NO_TEXT, ids=[words for _, words in NO_TEXT])
def test_an_array_that_holds_no_names_is_one_clear_line(npz, tmp_path, names, words):
    path = str(npz(made() | {"classes": names}))
    with pytest.raises(UserError, match=words):
        digits.flat(dataset=path)
    asked = lines(tmp_path / "asked.txt", "a", "b", "c")
    assert digits.flat(dataset=path, classes=asked).classes == ("a", "b", "c")


def test_a_file_of_names_that_is_not_there_is_refused_in_a_line(tmp_path, capsys):
    for place, words in ((tmp_path / "none.txt", "does not exist"), (tmp_path, "is not a file")):
        with pytest.raises(SystemExit) as end:
            app.command_line(["run", "mlp", "--classes", str(place), "--output-dir", str(tmp_path / "runs")])
        said = capsys.readouterr().err
        assert end.value.code == 2 and words in said and said.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("place", "classes", "second"),
    [("fashion-mnist", 10, "Trouser"), ("FashionMNIST/raw", 10, "Trouser"), ("fashion", 3, "1"), ("digits", 10, "1")],
)
def test_a_folder_that_is_called_fashion_has_its_names(tmp_path, place, classes, second):
    folder, arrays = tmp_path / place, made(classes, n=200)
    folder.mkdir(parents=True)
    for name, stem in array_files.IDX_FILES.items():
        (folder / f"{stem}-ubyte").write_bytes(idx(arrays[name]))
    splits = digits.flat(dataset=str(folder))
    assert splits.classes[1] == second and splits.source["name"] == place.partition("/")[0]
    assert ("notes" in splits.source) == (second == "Trouser")


def test_a_run_on_other_data_says_so_and_not_what_the_recipes_own_reaches(npz, tmp_path, tiny_run):
    lines(tmp_path / "labels.txt", "下", "中", "上")
    result = keraskit.run("mlp", dataset=str(npz(made())), batch_size=32, xla="off", output_dir=tmp_path)
    run = RunFolder(result.folder).read_json("run.json")
    page = (result.folder / "report.html").read_text("utf-8")
    shown = page.partition("<details>")[0] + page.partition("What it was shown")[2].partition("<h2>")[0]
    assert "<h1>mlp on own.npz</h1>" in page and "<title>mlp on own.npz: test accuracy" in page and "MNIST" not in shown
    assert "110 training, 10 validation, 40 test examples of 3 classes: 下, 中, 上." in shown
    assert run["verdict"] == "" and run["classes"] == ["下", "中", "上"]
    own = (tiny_run.folder / "report.html").read_text("utf-8")
    assert "<h1>mlp on MNIST</h1>" in own and "Multilayer perceptron on MNIST, three hidden layers (document" in own


def test_the_folder_that_a_user_stands_in_has_a_name(tmp_path, monkeypatch):
    (tmp_path / "digits" / "deep").mkdir(parents=True)
    for name, stem in array_files.IDX_FILES.items():
        (tmp_path / "digits" / f"{stem}-ubyte").write_bytes(idx(made()[name]))
    for place, word in (("digits", "."), ("digits/deep", ".."), ("", "digits/")):
        monkeypatch.chdir(tmp_path / place)
        assert digits.flat(dataset=word).source["name"] == "digits"
