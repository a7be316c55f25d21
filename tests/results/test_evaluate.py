"""Pictures whose class is known: names of classes in every form, counts as scikit-learn's, files, and sheets."""

import csv
import json
import re

import numpy as np
import pytest
from conftest import command
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix

from keraskit.datasets.digits import load_mnist
from keraskit.datasets.images.layout import Labels, imagenet, imagenet_labels
from keraskit.errors import UserError
from keraskit.runs import metrics, pictures
from keraskit.runs.pictures import Prediction

TWICE = ("crane", "maillot")  # names of two classes each
BY_CASE = ("cardigan", "Cardigan")  # a jacket and a dog


def tree(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(root / name, "png")
    return root


def test_every_class_of_imagenet_by_every_name():
    labels = imagenet_labels()

    def index_of(word):
        return labels.find([word])[word]

    for k, (wordnet, name) in enumerate(imagenet()):
        both = [f"{wordnet}_{name}", f"{wordnet}-{name.replace('_', '-')}", f"{name} ({wordnet})"]
        forms = [wordnet, wordnet.upper(), *both, *map(str.upper, both), str(k)]
        plain = [name, name.replace("_", " "), name.replace("_", "-"), name.replace("-", "_"), f" {name}_"]
        assert {index_of(form) for form in forms} == {k}, name
        if name not in TWICE:
            assert {index_of(form) for form in plain[:4]} == {k}, name
        if name not in (*TWICE, *BY_CASE):
            assert {index_of(form) for form in (*plain, name.upper(), name.title())} == {k}, name
        assert index_of(labels.names[k]) == k  # what the tool itself prints


def test_a_name_of_none_or_of_two_classes():
    for word, message in (
        ("crane", "'crane' names no class of ImageNet. Did you mean"),
        ("CARDIGAN", "names no class of ImageNet."),
        ("golden retreiver", "Did you mean golden_retriever?"),
        ("-1", "names no class of ImageNet"),
        ("9" * 5_000, "names no class of ImageNet"),
        ("n99999999", "Its classes are tench, goldfish"),
        ("", "names no class of ImageNet"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            imagenet_labels().find([word])


def test_names_ids_and_indices_are_not_mixed_and_classes_called_by_numbers_have_none():
    for words in (("tench", "n01443537"), ("tench", "1"), ("n01440764", "1")):
        with pytest.raises(UserError, match=f"'{words[1]}' names no class of ImageNet as '{words[0]}' does"):
            imagenet_labels().find(words)
    labels = Labels(["10", "3", "7"], "this run")
    assert labels.find(["3", "7", "10"]) == {"3": 1, "7": 2, "10": 0}
    for words in (["0", "1", "2"], ["3", "1"], ["03"]):
        with pytest.raises(UserError, match=r"names no class of this run\..* Its classes are 10, 3, 7"):
            labels.find(words)


def test_pictures_in_folders_or_with_their_class_in_their_names(tmp_path):
    expected = {"TENCH/c.jpg": "tench", "tench/c.jpg": "tench", "cock/d.jpg": "cock", "lion/below/b.PNG": "lion"}
    expected |= {"crane (n02012849)/x.jpg": "crane (n02012849)"}
    folder = tree(tmp_path / "folders", *expected, ".hidden/e.jpg", "tench/.f.jpg")
    (folder / "tiger").mkdir()
    (folder / "read.txt").write_text("text")
    truth = imagenet_labels().of_pictures([folder])
    assert {str(path.relative_to(folder)): name for path, name in truth.items()} == expected
    flat = tree(tmp_path / "flat", "n01440764_tench.JPEG", "n01443537_10026.JPEG", "n02012849_a bird.jpg")
    truth = imagenet_labels().of_pictures([str(flat)])
    assert sorted(truth.values()) == ["crane (n02012849)", "goldfish", "tench"]
    kaggle = tree(tmp_path / "kaggle", "cat.0.jpg", "dog.12499.jpg", "Dog_7.jpg", "cat (2).png")
    truth = Labels(["cat", "dog"], "this run").of_pictures([kaggle])
    assert all(path.name.casefold().startswith(name) for path, name in truth.items()) and len(truth) == 4
    phones = tree(tmp_path / "phones", "iphone 12.png", "iphone 3.png")
    assert {*Labels(["iphone", "iphone 12"], "this run").of_pictures([phones]).values()} == {"iphone", "iphone 12"}


def test_what_is_no_class_is_one_line(tmp_path):
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    cases = [
        (["cat/a.jpg", "unicorn/b.jpg"], "'unicorn' names no class of this run. Its classes are"),
        (["cat/a.jpg", "cover.jpg"], "'cover' names no class of this run"),
        (["00.jpg"], "'00.jpg' names no class of this run"),  # a number is no label
        (["test/cat/a.jpg"], "'test' names no class of this run"),
        (["doog/b.jpg"], "Did you mean dog?"),
        ([], "is no folder that holds pictures. --evaluate needs pictures whose class is known"),
    ]
    for i, (names, message) in enumerate(cases):
        tree(tmp_path / str(i), *names)
        with pytest.raises(UserError, match=re.escape(message)):
            Labels(["cat", "dog"], "this run").of_pictures([tmp_path / str(i)])
    good = tree(tmp_path / "good", "cat/a.jpg")
    for other in ("empty", "nowhere", "good/cat/a.jpg"):
        with pytest.raises(UserError, match=f"{other} is no folder that holds pictures"):
            Labels(["cat", "dog"], "this run").of_pictures([good, tmp_path / other])
    with pytest.raises(UserError, match="No folder is named"):
        imagenet_labels().of_pictures([])


def made(count, classes, right=0.6):
    """Predictions with their truth, as a model would make them that is often right."""
    random = np.random.default_rng(0)
    rows = []
    for i in range(count):
        order, p = random.permutation(classes), np.sort(random.dirichlet(np.ones(len(classes))))[::-1]
        truth = order[0] if random.random() < right else order[random.integers(len(order))]
        best = [(str(n), float(q)) for n, q in zip(order, p, strict=True)]
        rows.append(Prediction(f"{i}.png", best=best, truth=truth))
    return rows


def test_printed_accuracy_and_confusions_are_scikit_learns(capsys):
    for classes in (["cat", "dog"], [f"a very long name of number {k}" for k in range(12)]):
        rows = made(200, classes)
        pictures.report([*rows, Prediction("x.png", error="is empty", truth="cat")], len(classes))
        out = capsys.readouterr().out
        truth, predicted = [row.truth for row in rows], [row.best[0][0] for row in rows]
        assert f"accuracy {accuracy_score(truth, predicted):.4f}, 95% interval" in out
        expected = confusion_matrix(truth, predicted, labels=classes)
        np.fill_diagonal(expected, 0)
        i, j = np.unravel_index(expected.argmax(), expected.shape)
        assert re.search(rf"^confused: \D.* {expected.max()}, ", out, re.MULTILINE)
        assert f"{classes[i]} as {classes[j]} {expected.max()}" in out
        fives = np.mean([row.truth in [name for name, _ in row.best[:5]] for row in rows])
        assert ("top-5" in out) == (len(classes) == 12) and (f"top-5 accuracy {fives:.4f}" in out or len(classes) == 2)
        assert "1 could not be read: x.png is empty" in out
    with pytest.raises(UserError, match=r"None of the 1 pictures could be read: x\.png is empty"):
        pictures.report([Prediction("x.png", error="is empty")], 2)


def test_a_run_is_measured_on_labelled_folders(tiny_run, here):
    data = load_mnist()[0]
    x, y = data["x_test"][:40], data["y_test"][:40]
    for i, label in enumerate(y):
        folder = here / "labelled" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x[i]).save(folder / f"{i:02d}.png")
    (here / "labelled" / "5" / "bad.png").write_bytes(b"text")
    files = ("--json", "a.json", "--csv", "a.csv", "--sheet", "a.png")
    done = command("predict", tiny_run.folder, "labelled", "--evaluate", "--top", 2, *files)
    assert done.code == 0, done.err
    predicted = tiny_run.model.predict(x.reshape(40, 784) / np.float32(255), verbose=0).argmax(1)
    right = int((predicted == y).sum())
    low, high = metrics.interval(right, 40)
    assert "40 pictures of" in done.out and "labelled/5/bad.png is no picture" in done.out
    assert f"accuracy {accuracy_score(y, predicted):.4f}, 95% interval {low:.4f} to {high:.4f}" in done.out
    assert f"of {40 - right} mistakes" in done.out
    entries = json.loads((here / "a.json").read_text())
    table = list(csv.DictReader((here / "a.csv").open()))
    assert len(entries) == len(table) == 41 and list(table[0])[2:5] == ["truth", "right", "class_1"]
    for entry, line in zip(entries, table, strict=True):
        i = entry["picture"].rpartition("/")[2].partition(".")[0]
        known = None if i == "bad" else bool(predicted[int(i)] == y[int(i)])
        assert entry["right"] is known and line["right"] == ("" if known is None else str(known))
        assert entry["truth"] == line["truth"] == entry["picture"].split("/")[1] and entry.keys() == line.keys()
        assert (entry["class_2"] is None) == (known is None)
    with Image.open(here / "a.png") as drawn:
        assert drawn.width > 400
