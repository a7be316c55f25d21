"""What a long run says of its time, against a clock that the test turns."""

import pytest

from keraskit.training import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is turned."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def train(shown, clock, epochs, steps, step_seconds, first=0.0, validation=0.0):
    """Drive the callback as `fit` does."""
    shown.set_params({"epochs": epochs, "steps": steps})
    for epoch in range(epochs):
        shown.on_epoch_begin(epoch)
        for step in range(steps):
            clock.now += step_seconds + (first if epoch == step == 0 else 0)
            shown.on_train_batch_end(step, {"loss": 1.0})
        clock.now += validation
        shown.on_epoch_end(epoch, {"loss": 1.0})
        yield epoch


def test_a_long_run_says_beforehand_how_long_it_takes_without_the_compilation(clock, capsys):
    next(train(progress.Progress(lines=True), clock, epochs=8, steps=100, step_seconds=0.5, first=30.0))
    first = capsys.readouterr().out.splitlines()[0]
    # 8 epochs of 100 steps of half a second, less the 8 steps that the estimate needed.
    assert first == "this will take about 6 min 36 s (0.5 s a step, measured)"


def test_time_left_counts_validation_once_it_was_measured(clock, capsys):
    list(train(progress.Progress(lines=True), clock, epochs=3, steps=10, step_seconds=1.0, validation=5.0))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert [line.split("  ")[-1] for line in lines] == ["about 30 s left", "about 15 s left", "15.0 s"]


def test_a_long_epoch_says_once_a_minute_where_it_is(clock, capsys):
    list(train(progress.Progress(lines=True), clock, epochs=1, steps=300, step_seconds=1.0))
    lines = [line for line in capsys.readouterr().out.splitlines() if " step " in line]
    assert [line.split("  ")[1] for line in lines] == ["step 61/300", "step 122/300", "step 183/300", "step 244/300"]
    assert lines[0].endswith("about 3 min 59 s left")


def test_a_short_run_says_nothing_of_the_kind(clock, capsys):
    list(train(progress.Progress(lines=True), clock, epochs=2, steps=10, step_seconds=1.0))
    assert "this will take" not in capsys.readouterr().out


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (95, "1 min 35 s"), (3661, "1 h 1 min")])
def test_durations(seconds, text):
    assert progress.duration(seconds) == text
