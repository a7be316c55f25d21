"""The coach speaks of runs that went wrong, and of no others."""

import types

import numpy as np
import pytest

import keraskit
from keraskit.training import coach, verdict

pytestmark = pytest.mark.usefixtures("undrawn")


def told(capsys, **knobs):
    """What a run ends with, from the test split's figures on."""
    keraskit.run("mlp", xla="off", **knobs)
    said = capsys.readouterr().out
    return said[said.index("test loss") :]


def test_a_run_that_learns_nothing_is_told_so(tmp_path, capsys):
    stuck = told(capsys, limit=512, epochs=4, learning_rate=1e-9, output_dir=tmp_path)
    assert "For 4 epochs the loss has stood at 2.29, where guessing stands: nothing is learned." in stuck
    assert "Another learning rate" in stuck and "by heart" not in stuck
    learns = told(capsys, limit=512, epochs=4, output_dir=tmp_path)
    assert "nothing is learned" not in learns and "may be anything" not in learns


def test_learning_by_heart_and_small_splits_are_told(tmp_path, capsys):
    by_heart = told(capsys, limit=300, epochs=25, output_dir=tmp_path)
    assert "100% of the training examples are right and " in by_heart and "it learns by heart." in by_heart
    small = told(capsys, limit=14, epochs=2, output_dir=tmp_path, quick=True)
    assert "a quick run shows that everything runs" in small and " of 14 right may be anything from " in small


def rows(train, validation, losses):
    return [
        {"epoch": i + 1, "loss": loss, "accuracy": a, "val_loss": loss, "val_accuracy": v}
        for i, (a, v, loss) in enumerate(zip(train, validation, losses, strict=True))
    ]


def splits(train=1_000, validation=1_000, test=1_000, classes=10):
    labels = np.arange(train) % classes
    sizes = {"validation": validation, "test": test}
    each = {name: types.SimpleNamespace(size=size) for name, size in sizes.items()}
    return types.SimpleNamespace(train=types.SimpleNamespace(labels=labels), **each)


def test_the_interval_of_nine_in_fourteen_is_wilsons():
    found = coach.advice(splits(test=14), rows([0.9], [0.9], [0.3]), {"accuracy": 9 / 14}, None)
    assert found == ["9 of 14 right may be anything from 39% to 84%: take more test examples to know."]


def test_what_is_not_sure_is_not_said():
    healthy = rows([0.8, 0.9, 0.95, 0.97], [0.82, 0.9, 0.93, 0.94], [0.6, 0.3, 0.2, 0.1])
    assert coach.advice(splits(), healthy, {"accuracy": 0.94}, None) == []
    at_chance = rows([0.1] * 4, [0.1] * 4, [2.31, 2.30, 2.30, 2.29])
    assert len(coach.advice(splits(), at_chance, {"accuracy": 0.1}, None)) == 1
    assert coach.advice(splits(), at_chance[:2], {"accuracy": 0.1}, None) == []  # two epochs may be too few
    begins = rows([0.1, 0.1, 0.2], [0.1, 0.1, 0.3], [2.30, 2.30, 2.0])
    assert coach.advice(splits(), begins, {"accuracy": 0.3}, None) == []
    few = rows([0.95] * 3, [0.83] * 3, [0.1] * 3)
    assert coach.advice(splits(validation=12), few, {"accuracy": 0.83}, None) == []  # 10 of 12 may be 95 % as well
    assert len(coach.advice(splits(), few, {"accuracy": 0.85}, None)) == 1
    assert coach.advice(types.SimpleNamespace(train=types.SimpleNamespace(labels=None)), few, {"loss": 1.0}, None) == []


def test_as_promised_nothing_is_added(capsys):
    for words, silent in (
        ("test accuracy 0.9852 is better than expected (0.982, ±0.003)", True),
        ("test accuracy 0.7300 is as expected (0.73, ±0.029)", True),
        ("test accuracy 0.5000 is BELOW what is expected (0.73, ±0.029)", False),
        ("", False),
    ):
        verdict.show({"accuracy": 0.5}, words, ["It learns by heart."])
        assert ("by heart" not in capsys.readouterr().out) == silent
