"""--dataset: a user's own arrays, any number of classes; whatever is wrong is one clear error; tables become arrays."""

import shutil

import keras
import numpy as np
import pytest
from conftest import ROOT, command

import keraskit
from keraskit.datasets import array_files, digits
from keraskit.errors import UserError
from keraskit.runs.folder import RunFolder

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


@pytest.fixture
def npz(tmp_path):
    def save(arrays):
        np.savez(tmp_path / "own.npz", **arrays)
        return tmp_path / "own.npz"

    return save


def test_a_run_follows_the_data_and_says_whose_it_is(npz, tmp_path):
    data = npz(made(n=600) | {"classes": np.array(["下", "中", "上"])})
    result = keraskit.run("mlp", dataset=str(data), epochs=4, batch_size=32, xla="off", output_dir=tmp_path)
    assert result.model.output_shape == (None, 3) and result.metrics["accuracy"] > 0.9
    run = RunFolder(result.folder).read_json("run.json")
    page = (result.folder / "report.html").read_text("utf-8")
    assert "<h1>mlp on own.npz</h1>" in page and run["verdict"] == "" and run["classes"] == ["下", "中", "上"]


def test_floats_from_0_to_1_channels_and_columns_are_understood(npz):
    plain = made()
    other = {
        "x_train": (plain["x_train"] / 255)[..., None],
        "y_train": plain["y_train"][:, None].astype(float),
        "x_test": (plain["x_test"] / 255).astype(np.float32)[..., None],
        "y_test": np.eye(3)[plain["y_test"]],
    }
    one, two = (digits.flat(dataset=str(npz(arrays))) for arrays in (other, plain))
    for split in ("train", "validation", "test"):
        (x, y), (x2, y2) = (getattr(each, split).take(np.arange(20)) for each in (one, two))
        assert np.array_equal(x, x2) and np.array_equal(y, y2)
    assert (one.source["scale"], two.source["scale"]) == ("0 to 1, times 255", "0 to 255")
    whole = plain | {"x_train": plain["x_train"] * 1.0, "x_test": plain["x_test"].astype(int)}
    one, two = (array_files.read(npz(arrays))[0] for arrays in (whole, plain))
    assert all(np.array_equal(one[name], two[name]) for name in array_files.NAMES)
    ink = {name: (plain[name] > 127).astype(int) for name in ("x_train", "x_test")}
    assert all(np.array_equal(array_files.read(npz(plain | ink))[0][name], 255 * ink[name]) for name in ink)
    dim = {name: plain[name] // 16 for name in ink} | {"classes": np.array([b"a", b"b", b"c"])}
    splits = digits.flat(dataset=str(npz(plain | dim)))
    assert splits.classes == ("a", "b", "c") and "if 13 is white, multiply by 255 / 13" in splits.source["notes"][-1]
    above = plain["x_test"] / 255
    above[3, 4, 5] = 1.5
    shares = {name: plain[name] / 255 for name in ("x_train", "x_test")}
    for wrong in ({"x_test": above}, {"x_test": plain["x_test"]}, {"x_train": plain["x_train"] + 0.5}):
        with pytest.raises(UserError, match=r"the pixels are \w+ from 0 to .* Expected: 0 to 255 in whole"):
            array_files.read(npz(plain | shares | wrong))


WRONG = [  # of files; what arrays share with those of `from_arrays` is tested there
    (lambda a: a.pop("y_test"), "it lacks 'y_test"),
    (lambda a: a.update(x_train=np.where(a["x_train"] > 200, np.nan, a["x_train"])), "NaN, infinite or masked"),
    (lambda a: a.update(x_train=a["x_train"].astype(int) * 10), r"are int64 from 0 to \d+ for x_train .*: 0 to 255"),
    (lambda a: a.update(x_test=a["x_test"].reshape(-1, 784)), r"x_test has the shape \(\d+, 784\)\. Expected"),
    (lambda a: a.update(x_train=a["x_train"].astype(object)), r"cannot be read .* by \.astype\(str\)"),
]


@pytest.mark.parametrize(("damage", "words"), WRONG, ids=[words for _, words in WRONG])
def test_wrong_arrays_are_one_clear_error(npz, damage, words):
    arrays = made()
    damage(arrays)
    with pytest.raises(UserError, match=words):
        digits.two_sizes(dataset=str(npz(arrays)))


def test_a_recipe_says_what_size_it_takes_and_multi_input_takes_any(npz):
    path = str(npz(made(shape=(32, 32, 3))))
    with pytest.raises(UserError, match=r"own.npz have the shape \(32, 32, 3\), the model's input \(784,\)"):
        digits.flat(dataset=path)
    x, _ = digits.two_sizes(dataset=path).train.take(np.arange(2))
    assert x["img_rgb_smallsize"].shape == (2, 32, 32, 3) and x["img_gray_bigsize"].shape == (2, 64, 64, 1)


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_keras_own_sets(monkeypatch, name):
    """With the download faked: CI has no network."""
    shape = (32, 32, 3) if name == "cifar10" else (28, 28)
    a = made(classes=10, n=300, shape=shape)
    loaded = ((a["x_train"], a["y_train"][:, None]), (a["x_test"], a["y_test"][:, None]))
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", lambda: loaded)
    splits = (digits.two_sizes if name == "cifar10" else digits.images)(dataset=name)
    assert len(splits.classes) == 10 and splits.sizes() == {"train": 250, "validation": 50, "test": 100}

    def no_network():
        raise Exception(f"URL fetch failure on https://{'x' * 150}: None -- [Errno -2] Name or service not known")

    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", no_network)
    with pytest.raises(UserError, match=f"could not download {name}: URL .* Name or service not known. Once fetched"):
        digits.two_sizes(dataset=name)


@pytest.mark.parametrize("flag", ["--dataset", "--data-dir"])
def test_pictures_in_files_are_for_another_recipe_which_is_named(flag, here):
    (here / "my photos" / "a").mkdir(parents=True)
    (here / "my photos" / "a" / "1.jpg").touch()
    shutil.make_archive("photos", "zip", "my photos")
    for name, quoted in (("my photos", "'my photos'"), ("photos.zip", "photos.zip")):
        code, _, err = command("run", "cnn", flag, name)
        assert code == 2 and err.count("\n") == 1 and f"`keraskit run cats_dogs --data-dir {quoted}`" in err


# Tables in place of a recipe, arrays or pictures: the lines that are printed make arrays

X = np.arange(80.0).reshape(40, 2)


def ran(err):
    names = {"keraskit": keraskit}
    exec("\n".join(line.strip() for line in err.splitlines()[1:]), names)
    return names


@pytest.mark.parametrize(("name", "delimiter"), [("it's [1].csv", ","), ("n.tsv", "\t"), ("büro.csv", ";")])
def test_the_lines_of_numpy_make_a_tables_arrays(name, delimiter, here, tiny_run):
    table, head = np.column_stack([X, X.sum(axis=1)]), delimiter.join(["area", "rooms", "price"])
    np.savetxt(here / name, table, delimiter=delimiter, header=head, comments="")
    for words in (["run", name], ["run", "mlp", "--dataset", name, "--output-dir", "runs"]):
        code, _, err = command(*words)
        assert code == 2 and "is a table; " in err and "# price" in err and "`keraskit new mine` begins one" in err
        found = ran(err)
        assert np.array_equal(found["x"], X) and np.array_equal(found["y"], X.sum(axis=1))
        assert found["data"]().test.size == 8
    code, _, err = command("predict", tiny_run.folder, name)
    assert code == 2 and "`predict` takes pictures, or the model's inputs as an .npy" in err
    ran(err)
    assert np.array_equal(np.load((here / name).with_suffix(".npy")), X)
    (here / "no.xlsx").touch()
    assert "no.xlsx is a table; a recipe is a Python file. Save it as .csv" in command("run", "no.xlsx").err


def test_validation_is_the_last_5000():
    arrays = digits.load_mnist()[0]
    splits = digits.flat()
    assert splits.sizes() == {"train": 55_000, "validation": 5_000, "test": 10_000}
    x, y = splits.validation.take(np.array([0, 4_999]))
    assert np.allclose(x * 255, arrays["x_train"][[55_000, 59_999]].reshape(2, 784), atol=1e-4)
    assert y.tolist() == arrays["y_train"][[55_000, 59_999]].tolist()


def test_the_same_pixels_in_any_shape_of_as_many_values():
    index, pictures = np.arange(10), digits.load_mnist()[0]["x_train"][:10]
    for data in (digits.flat, digits.images):
        for shape in ((784,), (28, 28, 1), (28, 28)):
            train = data().load(shape).limited(10).train
            x = train.take(index)[0]
            assert x.shape == (10, *shape) and np.array_equal(x.reshape(10, 28, 28), pictures / np.float32(255))
            assert np.array_equal(train.pictures(index), pictures)
    assert digits.pixels().load((28, 28)).train.take(index)[0].shape == (10, 28, 28)  # rows as steps


def test_another_packing_is_mnist_and_what_is_not_is_refused(tmp_path):
    file, arrays, whole = tmp_path / "mnist.npz", digits.load_mnist()[0], (ROOT / "data" / "mnist.npz").read_bytes()
    np.savez(file, **arrays)
    assert digits.load_mnist(tmp_path)[1]["found"] == "--data-dir"
    np.savez(file, **arrays | {"y_test": np.zeros(10_000, "u1")})
    with pytest.raises(UserError, match="is not MNIST"):
        digits.load_mnist(tmp_path)
    for content, why in ((whole[:100_000], ""), (b"", "first"), (b"PK\x05\x06" + bytes(18), ""), (b"no zip", "first")):
        file.write_bytes(content)
        with pytest.raises(UserError, match=f"cannot be read.*{why}"):
            digits.load_mnist(tmp_path)
    with pytest.raises(UserError, match=r"elsewhere/mnist\.npz is no file"):
        digits.load_mnist(tmp_path / "elsewhere")


def test_the_order_of_search_and_a_download_whose_failure_is_one_clear_error(tmp_path, monkeypatch):
    assert digits.load_mnist()[1]["found"] == "the repository's data/"
    ours, its_own = ROOT / "data" / "mnist.npz", keras.datasets.mnist
    shutil.copy(ours, tmp_path)
    monkeypatch.setenv("KERASKIT_DATA", str(tmp_path))
    assert digits.load_mnist()[1]["found"] == "$KERASKIT_DATA"
    monkeypatch.setattr(digits, "search_path", lambda: [("Keras's cache", tmp_path / "none" / "mnist.npz")])
    monkeypatch.setattr(its_own, "load_data", lambda: shutil.copy(ours, tmp_path / "none" / "mnist.npz"))  # fails
    with pytest.raises(UserError, match=r"looked for .*No such file or directory.*--data-dir"):
        digits.load_mnist()
    arrays = array_files.read_npz(ours)
    pairs = [(arrays[f"x_{split}"], arrays[f"y_{split}"]) for split in ("train", "test")]
    monkeypatch.setattr(its_own, "load_data", lambda: pairs)
    assert digits.load_mnist()[1]["found"] == "downloaded by Keras"
