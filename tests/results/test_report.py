"""What the report shows: charts and captions that can be read, graphs that are whole, figures that are right."""

import re

import numpy as np
import pytest
import scipy.special
from keraskit.recipes import vgg16
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    hamming_loss,
    precision_recall_curve,
    precision_recall_fscore_support,
)

from keraskit.models import graph
from keraskit.runs import report
from keraskit.runs.folder import RunFolder
from keraskit.runs.predictions import SplitPredictions


def test_a_deep_model_is_drawn_by_its_blocks(tmp_path):
    graph.draw(vgg16.build(), tmp_path / "vgg16.dot", blocks=True)
    text = (tmp_path / "vgg16.dot").read_text()
    labels = dict(re.findall(r'\t(\w+)\t\[height[^]]*?label="\w+: ([^"]*)"', text))
    assert labels["block3"] == r"3 Conv2D relu, MaxPooling2D\n28 × 28 × 256" and labels["fc1"] == r"Dense relu\n4096"
    arrows = re.findall(r"(\w+) -> (\w+)", text)
    assert arrows == list(zip([*labels][:-1], [*labels][1:], strict=True)) and len(arrows) == 9


def table(page, head):
    """The rows of a page's table that begins with this head."""
    within = page.partition(f'<th scope="col">{head}</th>')[2].partition("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", within, re.S)
    return {re.search("<th[^>]*>(.*?)</th>", row)[1]: re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows}


@pytest.mark.parametrize(("below", "activation"), [(0, None), (0.05, None), (0, "sigmoid")])
def test_each_of_several_labels_has_its_threshold_and_scikit_learns_figures(below, activation, tiny_run, tmp_path):
    random = np.random.default_rng(0)
    y = (random.random((2, 400, 3)) < [0.5, 0.2, 0.05]).astype("f4")
    scores = np.clip(0.3 * y + 0.7 * random.random((2, 400, 3)), 1e-3, 1 - 1e-3) - below  # values need not lie in 0..1
    given = scipy.special.logit(scores) if activation else scores
    folder = RunFolder(tmp_path)
    kept = {"targets/": y, "predictions/": given}
    splits = ((f"{split}/{key}", a[i]) for i, split in enumerate(("validation", "test")) for key, a in kept.items())
    np.savez(tmp_path / "predictions.npz", **dict(splits))
    run = RunFolder(tiny_run.folder).read_json("run.json")
    known = {"classes": [], "class_activation": activation, "test": {"loss": 0.5, "binary_accuracy": 0.9}}
    folder.write_json("run.json", run | known)
    report.write_report(folder)
    page = (tmp_path / "report.html").read_text()
    rows, decided = table(page, "label"), []
    for i, cells in enumerate(rows.values()):
        precision, recall, grid = precision_recall_curve(y[0, :, i], scores[0, :, i])
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
        decided.append(scores[1, :, i] >= grid[int(np.argmax(f1[:-1]))])
        theirs = precision_recall_fscore_support(y[1, :, i], decided[i], average="binary")[:3]
        average = average_precision_score(y[1, :, i], scores[1, :, i])
        expected = grid[int(np.argmax(f1[:-1]))], y[1, :, i].mean(), *theirs, average
        assert cells == [f"{value:.3f}" for value in expected]
    assert len(rows) == 3
    for answers in (np.stack(decided, axis=1), scores[1] > 0.5):
        for figure in (accuracy_score(y[1], answers), 1 - hamming_loss(y[1], answers)):
            assert f"{figure:.4f}" in page
    assert "exact match" in page and "label-wise accuracy" in page


def test_a_verdict_in_words_says_of_whom_how_much_and_beside_what():
    labels = np.array([0] * 60 + [1] * 40)
    named = np.eye(2)[np.where(np.arange(100) < 70, labels, 1 - labels)]
    said, better = report.in_words({"classes": ["a", "b"]}, SplitPredictions(labels, {"": labels}, {"": named}))
    assert said == (
        "On 100 examples that it had never seen, it names 70.0% correctly (on others like them, expect 60.4% to "
        "78.1%), where always giving the most frequent answer would be right for 60.0%."
    )
    assert better
    same = SplitPredictions(labels, {"": labels}, {"": np.eye(2)[[0] * 100]})
    said, better = report.in_words({"classes": ["a", "b"]}, same)
    assert said.endswith("right for 60.0%, and these examples cannot tell the two apart.") and not better
    y = np.linspace(0, 1, 100)[:, None]
    values = SplitPredictions(None, {"height": y}, {"height": y + 0.1})
    copies = {"notes": ["9 of 100 test examples are exact copies of train examples"]}
    said, better = report.in_words({"training_means": {"height": 0.5}, "data": copies}, values)
    assert said.startswith("On 100 examples, height is off by") and not better
    said, better = report.in_words({"training_means": {"height": 0.5}}, values)
    assert "never seen, height is off by 0.1 on average" in said and "would be off by 0.253." in said and better
    assert report.in_words({}, None) == report.in_words({}, values) == ("", False)


def test_classes_of_unequal_size_have_balanced_accuracy_and_the_majority_beside_accuracy(tiny_run, run):
    run.update_manifest(balanced_accuracy=0.4321)
    report.write_report(run)
    shown = (run.path / "report.html").read_text().partition('<dl class="figures">')[2].partition("</dl>")[0]
    with np.load(run.path / "predictions.npz") as file:
        most = np.bincount(file["test/labels"]).max() / len(file["test/labels"])
    assert re.findall(r"<dd>(.*?)</dd>", shown) == [f"{tiny_run.metrics['accuracy']:.4f}", "0.4321", f"{most:.4f}"]
