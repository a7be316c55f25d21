"""Runs that were broken off go on, and end as if they had not been: the unbroken run is the oracle, bit for bit."""

import dataclasses
import errno
import fcntl
import json
import os
import resource
import shutil
import signal

import keras
import numpy as np
import pytest
from breaking import at, hashes, kill, only, outcome, send
from conftest import ROOT, command
from hostile import damaged

import keraskit
from keraskit import signals, system
from keraskit.config import KNOBS
from keraskit.errors import RunStopped, UserError
from keraskit.errors import flags as words
from keraskit.registry import load_recipe
from keraskit.runs import listing, report
from keraskit.runs.folder import RunFolder
from keraskit.training import resume, runner, settings
from keraskit.training.fit import Checkpoints
from keraskit.training.user_callbacks import UserCallbacks

MLP = {"limit": 640, "batch_size": 10, "epochs": 3, "hidden": (12,)}  # 64 steps, handed over 32 at a time
CNN = {"limit": 160, "batch_size": 16, "epochs": 3, "filters": (4, 4), "precision": "bfloat16"}  # 10, 8 at a time
PETS = {"limit": 16, "batch_size": 4, "steps_per_epoch": 5, "epochs": 2, "size": 64}
RUNS = {
    "mlp, compiled": ("mlp", MLP, 1, 31),
    "cnn": ("cnn", CNN, 1, 7),
    "pets, dropout, scaled loss": ("cats_dogs_augmented", PETS | {"precision": "float16", "save_every": 4}, 0, 3),
}

pytestmark = pytest.mark.usefixtures("undrawn")  # no pictures are looked at here


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The outcome of a run that was never broken, made once."""
    made = {}

    def run(name):
        if name not in made:
            recipe, knobs, _, _ = RUNS[name]
            made[name] = outcome(keraskit.run(recipe, output_dir=tmp_path_factory.mktemp("unbroken"), **knobs).folder)
        return made[name]

    return run


def flags(recipe, knobs, output):
    config = keraskit.RunConfig(**{k: v for k, v in knobs.items() if k in KNOBS}, output_dir=output)
    options = {k: v for k, v in knobs.items() if k not in KNOBS}
    return ["run", recipe, *words(config.given()).split(), *words(options).split()]


def at_rest(output):
    found = resume.Checkpoint(only(output) / "checkpoint.npz").position
    return found.epoch, found.step


@pytest.mark.parametrize("name", RUNS)
def test_a_signal_in_mid_epoch_saves_and_resume_ends_with_the_same_bits(name, unbroken, tmp_path):
    number = dict(zip(RUNS, signals.CAUGHT, strict=True))[name]
    if signal.getsignal(number) == signal.SIG_IGN:  # as under nohup
        signal.signal(number, signal.SIG_DFL)
    recipe, knobs, epoch, step = RUNS[name]
    with at(epoch, step, send(number)):
        code, _, err = command(*flags(recipe, knobs, tmp_path))
    folder = only(tmp_path)
    assert code == 128 + number and err.count("\n") == 1 and f"after step {step + 1} of epoch {epoch + 1}" in err
    assert f"keraskit resume {folder}" in err
    assert RunFolder(folder).read_json("run.json")["status"] == "interrupted"
    page = (folder / "report.html").read_text()
    assert "this run was interrupted" in page and f"keraskit resume {folder}" in page.partition("</header>")[0]
    code, out, _ = command("resume", folder)
    assert code == 0 and f"goes on at epoch {epoch + 1}, step {step + 2}" in out
    assert outcome(folder) == unbroken(name)


def test_it_goes_on_several_times_and_saves_within_an_epoch_when_asked(unbroken, tmp_path):
    recipe, knobs, _, _ = RUNS["cnn"]
    with at(0, 3, kill), pytest.raises(RuntimeError):
        keraskit.run(recipe, output_dir=tmp_path, save_every=2, **knobs)
    positions = [at_rest(tmp_path)]
    with at(2, 3, kill):
        assert command("resume", tmp_path / recipe).code == 2  # as of code of one's own, which `kill` is
    positions.append(at_rest(tmp_path))
    assert positions == [(0, 2), (2, 2)]
    stopped = listing.read(only(tmp_path))
    assert stopped.history[stopped.facts["best_epoch"] - 1] == stopped.best and len(stopped.history) == 2
    (only(tmp_path) / ".keraskit-0123ab.keras").write_text("half of it")
    assert command("resume", only(tmp_path)).code == 0 and not list(only(tmp_path).glob(".*"))
    assert outcome(only(tmp_path)) == unbroken("cnn")
    run = RunFolder(only(tmp_path)).read_json("run.json")
    assert [(r["epoch"], r["step"]) for r in run["resumed"]] == positions
    assert run["timings"]["fit"] > sum(row["seconds"] for row in RunFolder(only(tmp_path)).read_history())


class Ends(keras.callbacks.Callback):
    """Sees the weights at the end of training, which Keras sets to their average just before."""

    def on_train_end(self, logs=None):
        ENDS.append([weight.tobytes() for weight in self.model.get_weights()])


ENDS = []


def test_an_average_of_weights_is_taken_once_at_the_very_end(tmp_path):
    def compile_model(model):
        optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=7)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])

    averaged = dataclasses.replace(load_recipe("mlp"), compile=compile_model, callbacks=lambda: [Ends()])
    knobs = {"limit": 96, "batch_size": 16, "epochs": 2, "hidden": (8,), "xla": "off", "save_every": 2}
    ENDS.clear()
    keraskit.run(averaged, output_dir=tmp_path / "whole", **knobs)
    with at(1, 3, kill), pytest.raises(RuntimeError):
        keraskit.run(averaged, output_dir=tmp_path / "broken", **knobs)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError, match="No space"):
        patch.setattr("keraskit.training.runner.evaluate", full)
        keraskit.run(averaged, output_dir=tmp_path / "broken", resume=True, **knobs)
    keraskit.run(averaged, output_dir=tmp_path / "broken", resume=True, **knobs)  # after training
    assert len(ENDS) == 3 and ENDS[0] == ENDS[1] == ENDS[2]


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    output = tmp_path_factory.mktemp("broken")
    with at(1, 7, kill), pytest.raises(RuntimeError):
        keraskit.run("cnn", output_dir=output, **CNN)
    return only(output)


@pytest.fixture
def copied(broken, tmp_path):
    """A copy of it, in tmp_path/cnn; what it knows of its place is where it lies."""
    shutil.copytree(broken.parent, tmp_path / "cnn")
    return tmp_path / "cnn" / broken.name


def test_the_flag_finds_the_run_of_the_same_flags_and_a_finished_one_is_not_trained_anew(copied, unbroken, tmp_path):
    recipe = load_recipe("cnn")
    knobs = {name: value for name, value in CNN.items() if name != "filters"}
    config = keraskit.RunConfig(**knobs, output_dir=tmp_path)
    assert settings.find(recipe, config.replace(epochs=1), {"filters": (4, 4)}) is None
    found, (_, *asked) = settings.unfinished(copied), settings.requested(RunFolder(copied))
    assert settings.find(recipe, config, {"filters": (4, 4)}).path == copied
    assert command(*flags("cnn", CNN, tmp_path), "--resume").code == 0
    assert outcome(copied) == unbroken("cnn")
    before = (copied / "run.json").read_bytes()
    with pytest.raises(UserError, match=r"This run has come to epoch 3 already"):
        runner.train(recipe, *asked, found)  # which another process has finished meanwhile
    assert (copied / "run.json").read_bytes() == before


def test_what_cannot_go_on_is_one_line_and_stays_as_it_was(broken, tiny_run, tmp_path):
    def refused(folder, code, says):
        before = hashes(folder)
        ended, out, err = command("resume", folder)
        text = err if code else out
        assert ended == code and text.count("\n") == 1 and says in text, text
        assert hashes(folder) == before

    def copy(name, **changes):
        folder = tmp_path / name / "cnn" / "run"
        shutil.copytree(broken, folder)
        RunFolder(folder).update_manifest(**changes)
        return folder

    refused(tmp_path, 2, "holds no unfinished run. Name a run; with --epochs a finished one goes on.")
    refused(tiny_run.folder, 0, "has finished")
    held = os.open(broken, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    refused(broken, 2, "still running")
    os.close(held)
    facts = RunFolder(broken).read_json("run.json")
    asked = facts["asked"]
    refused(copy("names", classes=list("abcdefghij")), 2, "data is not what this run began with")
    refused(copy("data", data=facts["data"] | {"sha256": "0" * 64}), 2, "data is not what this run began with")
    refused(copy("recipe", asked=asked | {"recipe": {"epochs": "9"}}), 2, "not cnn as it is now: epochs 9")
    refused(
        copy("python", recipe="mine"), 2, "mine, was made in Python. Its own command goes on: the same keraskit.run("
    )
    refused(copy("none", asked=None), 2, "it lacks asked.knobs")
    refused(copy("knobs", asked=asked | {"knobs": {"epoch": 3}}), 2, "There is no flag --epoch")
    refused(copy("smaller", asked=asked | {"options": {"filters": [4, 3]}}), 2, "does not fit the model")
    damaged = copy("damaged")
    content = bytearray((damaged / "checkpoint.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (damaged / "checkpoint.npz").write_bytes(content)
    refused(damaged, 2, "is damaged")


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_last_checkpoint(copied, monkeypatch):
    before = (copied / "checkpoint.npz").read_bytes()
    limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    real = Checkpoints.save

    def cramped(self, *where):
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # the system itself refuses larger files
        try:
            real(self, *where)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

    monkeypatch.setattr(Checkpoints, "save", cramped)
    code, _, err = command("resume", copied)
    assert code == 2
    assert "checkpoint.npz: File too large. When that is mended, go on with: keraskit resume" in err.splitlines()[-1]
    assert (copied / "checkpoint.npz").read_bytes() == before and not list(copied.glob(".*"))


def test_a_folder_that_is_moved_in_mid_run_is_not_made_anew_and_the_run_goes_on_where_it_is(unbroken, tmp_path):
    with at(1, 31, lambda folder: folder.rename(tmp_path / "moved")), pytest.raises(RunStopped, match="was moved or"):
        keraskit.run("mlp", output_dir=tmp_path / "runs", **MLP)
    assert not [*(tmp_path / "runs" / "mlp").iterdir()] and command("resume", tmp_path / "moved")[0] == 0
    assert outcome(tmp_path / "moved") == unbroken("mlp, compiled")


@pytest.mark.parametrize(("broken_by", "code", "said"), [
    (send(signal.SIGTERM), 143, "Interrupted. Go on with: keraskit resume"),
    (full, 2, "No space left on device. When that is mended, go on with: keraskit resume"),
    (lambda folder: folder.path.rename(folder.path.parents[1] / "moved"), 1, "was moved or removed while the run"),
])  # fmt: skip
def test_a_run_whose_report_is_broken_off_has_not_finished_and_goes_on(tmp_path, unbroken, broken_by, code, said):
    real = report.write_report

    def once(folder, **known):
        patch.undo()
        broken_by(folder)
        real(folder, **known)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write_report", once)
        ended, _, err = command(*flags("mlp", MLP, tmp_path / "runs"))
    assert ended == code and said in err
    (folder,) = [*tmp_path.glob("runs/mlp/*/run.json"), *tmp_path.glob("runs/moved/run.json")]
    assert command("resume", folder.parent).code == 0
    assert outcome(folder.parent) == unbroken("mlp, compiled")


def test_a_loss_that_is_no_number_names_the_step_and_keeps_no_such_model(tmp_path):
    def no_number(model):
        loss = lambda labels, probabilities: keras.ops.sum(probabilities, axis=-1) * float("nan")  # noqa: E731
        model.compile("adam", loss, metrics=["accuracy"])

    with pytest.raises(UserError, match=r"became nan by step 32 of epoch 1\. Lower .* labels count from 0"):
        keraskit.run(dataclasses.replace(load_recipe("mlp"), compile=no_number), output_dir=tmp_path, xla="off", **MLP)
    folder = RunFolder(only(tmp_path))
    assert folder.read_json("run.json")["status"] == "failed" and not (folder.path / "model.keras").exists()
    page = (folder.path / "report.html").read_text().partition("</header>")[0]
    assert "this run failed" in page and "became nan by step 32 of epoch 1. Lower the learning rate" in page
    assert "0 of 3 epochs are done" in page and f"keraskit resume {folder.path}" in page
    assert "became nan" in listing.table([tmp_path])[0][0][listing.HEAD.index("result")]


def test_a_second_signal_stops_at_once_and_leaves_no_half_file(tmp_path, monkeypatch):
    def twice(path, *_):
        path.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(resume, "write", twice)
    with at(0, 7, send(signal.SIGINT)):
        code, _, err = command(*flags("cnn", CNN, tmp_path))
    assert code == 130 and err.count("\n") == 1 and "Interrupted" in err and "keraskit resume" in err
    assert not list(only(tmp_path).glob(".*")) and not (only(tmp_path) / "checkpoint.npz").exists()


ROW = {"epoch": 1, "loss": float("nan"), "val_loss": 0.5, "seconds": 1.0}


def test_a_checkpoint_that_was_changed_anywhere_is_one_line_or_as_good_as_before(tmp_path, monkeypatch):
    """Nothing but UserError, and what is read is what was written."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    path = tmp_path / "checkpoint.npz"
    for odd in ([ROW, ROW], [ROW | {"epoch": 2}], [{"epoch": 1}], [ROW, {"epoch": 2, "seconds": 1.0}], []):
        resume.write(path, model, resume.Position(epoch=max(1, len(odd)), rows=odd), {})
        with pytest.raises(UserError, match=r"checkpoint.npz is damaged: its history is not that of its epochs"):
            resume.Checkpoint(path)
    resume.write(path, model, resume.Position(epoch=1, rows=[ROW]), {})
    weights, refused = model.get_weights(), 0
    monkeypatch.setattr(system, "available_memory", lambda: 1)  # one that was trained fits, read array by array
    resume.Checkpoint(path).restore(model, UserCallbacks([]))
    for data in damaged([path.read_bytes()], 60):
        path.write_bytes(data)
        try:
            resume.Checkpoint(path).restore(model, UserCallbacks([]))
        except UserError:
            refused += 1
            model.set_weights(weights)
        for ours, theirs in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert refused > 30


def test_killed_runs_go_on_to_the_same_bits(preforked, tmp_path):
    """By SIGKILL, in the middle of writes too; benchmarks/kill.py kills many."""
    words = ["--kills", 3, "--only", "mlp", "--seed", 1, "--json", tmp_path / "kill.json"]
    done = preforked.run(ROOT / "benchmarks" / "kill.py", words, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "kill.json").read_text())
    assert record["kills"] == 3 and record["equal"] == record["runs"] and not record["wrong"]
    hit = set(record["recipes"]["mlp"]["where"])
    assert "any moment" in hit and len(hit) >= 2, hit
