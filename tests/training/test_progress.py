"""What a run into a file says of its epochs, against a clock that the test turns."""

import pytest

from keraskit.training import progress


def test_a_line_per_epoch_with_the_time_left_once_nothing_compiles(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    lines = progress.EpochLines()
    lines.set_params({"epochs": 4})
    lines.on_train_begin()
    for epoch, seconds in enumerate((30, 65, 50, 50)):
        lines.on_epoch_begin(epoch)
        now[0] += seconds
        lines.on_epoch_end(epoch, {"loss": 1.0, "accuracy": 0.25})
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1/4  loss 1.0000  accuracy 0.2500  30.0 s",
        "epoch 2/4  loss 1.0000  accuracy 0.2500  65.0 s  about 2 min 10 s left",
        "epoch 3/4  loss 1.0000  accuracy 0.2500  50.0 s  about 50 s left",
        "epoch 4/4  loss 1.0000  accuracy 0.2500  50.0 s",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (95, "1 min 35 s"), (3661, "1 h 1 min")])
def test_durations(seconds, text):
    assert progress.duration(seconds) == text
