"""Several devices and several machines train as one does: the same losses, each example once, and losses of workers."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import command
from own import SOURCE

import keraskit
from keraskit.config import RunConfig
from keraskit.datasets.splits import Shard, ranges
from keraskit.distributed import cluster
from keraskit.distributed.cluster import find_workers
from keraskit.errors import RunStopped, UserError
from keraskit.runs.folder import RunFolder
from keraskit.training import launch

# 300 examples in batches of 64: 44 are left for the last step of an epoch.
KNOBS = {"limit": 300, "epochs": 5, "batch_size": 64, "precision": "float32", "threads": 1}
PATIENT = 180  # seconds; the documentation says 30, on a machine that has nothing else to do


@pytest.fixture(scope="module")
def one(tmp_path_factory, undrawn):
    knobs = {name: value for name, value in KNOBS.items() if name != "threads"}
    return keraskit.run("cnn", filters=(8, 8), **knobs, output_dir=tmp_path_factory.mktemp("one"))


def same(folder, one):
    """Losses to 1e-5, weights to 1e-4, evaluation identical."""
    history, test = RunFolder(folder).read_history(), RunFolder(folder).read_json("metrics.json")["test"]
    for ours, theirs in zip(history, one.history, strict=True):
        for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-5), name
    assert test["accuracy"] == one.metrics["accuracy"]
    assert test["loss"] == pytest.approx(one.metrics["loss"], abs=1e-5)
    weights = keras.saving.load_model(folder / "model.keras").get_weights()
    for ours, theirs in zip(weights, one.model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def words(output, *more):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in KNOBS.items()]
    return ["run", "cnn", "--filters", "8", "8", *flags, "--output-dir", str(output), *more]


def test_two_devices_train_as_one(one, preforked, tmp_path):
    line = f"import keraskit; keraskit.run('cnn', filters=(8, 8), **{KNOBS}, output_dir='.', devices=2)"
    odd = "keraskit.run('quickstart', limit=33, batch_size=64, epochs=1, devices=2)"  # a first batch of 17 and 16
    (tmp_path / "both.py").write_text(f"{line}\n{odd}")  # of other sizes, in one process
    done = preforked.run(tmp_path / "both.py", [], tmp_path)
    assert done.returncode == 0 and done.stdout.count("devices        2 (as asked)") == 2, done.stderr
    same(next((tmp_path / "cnn").iterdir()), one)


def until(log, said, process):
    patience, ended, text = time.monotonic() + PATIENT, False, ""
    while not (re.search(said, text) or ended or time.monotonic() > patience):
        time.sleep(0.02)
        ended = process.poll() is not None
        text = log.read_text() if log.exists() else ""  # the process makes it
    assert re.search(said, text), text


def test_workers_train_as_one_and_go_on_after_a_signal_and_when_one_was_lost(one, preforked, tmp_path):
    # Told to end, the launcher passes it on; the last epoch's checkpoint stays.
    launched = tmp_path / "launched.log"
    line = [sys.executable, "-m", "keraskit", "launch", "--logs", tmp_path / "logs", "--", *words(tmp_path)]
    with launched.open("wb") as log, subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT) as process:
        until(launched, "Epoch 2/5", process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENT) == 143
    assert re.search(r"keraskit: Interrupted\. Go on with: .* --resume, on every worker\n", launched.read_text())
    assert launched.read_text().splitlines()[-1] == "keraskit: Interrupted. The same command with --resume goes on."
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["worker-1.log"]
    (folder,) = (tmp_path / "cnn").iterdir()  # the chief's alone
    assert (folder / "checkpoint.npz").exists() and RunFolder(folder).read_json("run.json")["status"] == "interrupted"

    with pair(preforked, tmp_path, words(tmp_path, "--resume")) as (started, logs):
        until(logs[0], r"goes on at epoch \d(.|\n)*Epoch \d/5", started[0])
        started[1].kill()
        assert started[0].wait(PATIENT) == 1
        assert "Worker 1 was lost" in logs[0].read_text() or "A worker was lost" in logs[0].read_text()

    with pair(preforked, tmp_path, words(tmp_path, "--resume")) as (started, logs):
        assert started[1].wait(PATIENT) == 0
        assert (folder / "report.html").exists()  # it stays until then, else the chief takes it for lost
        assert started[0].wait(PATIENT) == 0
        assert "goes on at epoch" in logs[0].read_text() and "crashed" not in logs[0].read_text()
    assert list((tmp_path / "cnn").iterdir()) == [folder]
    same(folder, one)


@contextlib.contextmanager
def pair(preforked, place, *lines):
    """Two workers that run the same words, or each its own, and their logs."""
    workers = ["--workers", ",".join(f"127.0.0.1:{port}" for port in launch.free_ports(2))]
    logs = [place / f"worker-{i}.log" for i in range(2)]
    given = ([*lines[-i % len(lines)], *workers, "--worker-index", i] for i in range(2))
    pairs = zip(given, logs, strict=True)
    started = [preforked.start("keraskit", line, place, dict(os.environ), [log]) for line, log in pairs]
    try:
        yield started, logs
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_workers_that_disagree_say_what_about_on_both(preforked, tmp_path):
    """Places may differ, code, data, flags and weights not."""
    lines, other = [], ("--learning-rate", 0.2, "--precision", "bfloat16")
    for name, units, seed, more in (("one", 8, 0, ()), ("other", 9, 1, other)):
        (tmp_path / name).mkdir()
        text = SOURCE.replace("rng(0)", f"rng({seed})").replace("UNITS = 8", f"UNITS = {units}")
        (tmp_path / name / "mine.py").write_text(text)
        flags = ["--batch-size", 16, "--xla", "off", "--limit", 100 + seed, *more]
        lines.append(["run", tmp_path / name / "mine.py", *flags, "--output-dir", tmp_path / name, "--wait", 60 + seed])
    with pair(preforked, tmp_path, *lines) as (started, logs):
        assert [process.wait(PATIENT) for process in started] == [2, 2], [log.read_text() for log in logs]
    about = "--limit, --learning-rate, --precision, data, recipe, weights"
    for log in logs:
        found = re.search(r"keraskit: The workers do not agree on (.*?)\. ", log.read_text())[1]
        assert sorted(found.split(", ")) == sorted(about.split(", "))
    assert not list(tmp_path.glob("*/mine"))


def test_who_is_missing_is_said(preforked, tmp_path):
    workers = [f"127.0.0.1:{port}" for port in launch.free_ports(2)]
    flags = ["--workers", ",".join(workers), "--worker-index", 0, "--wait", 1]
    done = preforked.run("keraskit", [*words(tmp_path), *flags], tmp_path, timeout=PATIENT)
    said = "After 1 s at most, worker 0 could not join the others: "
    assert done.returncode == 1 and said in done.stderr and "--wait SECONDS waits longer" in done.stderr
    assert f"{workers[1]} did not come" in done.stderr and not (tmp_path / "cnn").exists()


def test_a_worker_that_waits_for_others_ends_at_sigterm_and_shares_no_port(preforked, tmp_path):
    waiting, (port, other) = tmp_path / "waiting.log", launch.free_ports(2)
    line = [*words(tmp_path), "--workers", f"127.0.0.1:{port},127.0.0.1:{other}", "--worker-index", 0]
    process = preforked.start("keraskit", line, tmp_path, dict(os.environ), [waiting])
    until(waiting, "waiting  ", process)
    while not cluster.listens(f"127.0.0.1:{port}"):
        time.sleep(0.02)
    with pytest.raises(OSError, match="Address already in use"):
        cluster.meet((f"127.0.0.1:{port}", f"127.0.0.1:{other}"), 0, 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENT) == 143 and waiting.read_text().endswith("keraskit: Interrupted.\n")


def test_workers_end_with_a_launcher_that_is_killed(tmp_path):
    worker, log = tmp_path / "worker", tmp_path / "log"
    worker.write_text(f"#!/bin/sh\ntrap 'echo ended >> {log}; exit' TERM\necho began >> {log}\nsleep 60 & wait\n")
    worker.chmod(0o755)
    line = "import sys, pathlib as p; from keraskit.training import launch; sys.executable = sys.argv[1]; "
    line = [sys.executable, "-c", f"{line}launch.run_all([[], []], p.Path())", worker]
    with subprocess.Popen(line, cwd=tmp_path) as launcher:
        until(log, "began\nbegan\n", launcher)
        launcher.kill()
    patience = time.monotonic() + 10
    while log.read_text().count("ended") < 2:
        assert time.monotonic() < patience
        time.sleep(0.02)


def test_a_worker_whose_chief_is_lost_in_the_end_says_so_and_a_chief_has_finished():
    service = mock.Mock()
    service.wait_at_barrier.side_effect = tf.errors.UnavailableError(None, None, "gone")
    cluster.Cluster(index=0, service=service).leave()
    with pytest.raises(RunStopped, match="A worker was lost"):
        cluster.Cluster(index=1, service=service).leave()


def test_a_launch_whose_run_cannot_work_shows_the_chiefs_words(capfd):
    code, _, err = command("launch", "--workers", "2", "--", "run", "cnn", "--epochs", "ten")
    assert code == 2 and "Worker 0 ended with code 2. See above." in err
    assert "--epochs ten makes no sense" in capfd.readouterr().err


@pytest.mark.parametrize("replicas", [1, 2, 3, 8])
def test_every_epoch_has_each_example_once_in_shares_of_one_size(replicas):
    for size, batch in ((8, 8), (100, 24), (97, 24), (145, 24), (55_000, 120)):
        parts = np.stack([ranges(size, batch, Shard(replicas, i, 1)) for i in range(replicas)], axis=1)
        assert parts.reshape(-1, 2)[0, 0] == 0 and parts.reshape(-1, 2)[-1, 1] == size
        np.testing.assert_array_equal(parts.reshape(-1, 2)[1:, 0], parts.reshape(-1, 2)[:-1, 1])
        lengths = parts[..., 1] - parts[..., 0]
        assert lengths.min() > 0 and np.ptp(lengths, axis=1).max() <= 1
        together = ranges(size, batch, Shard(replicas, 0, replicas))  # one process that feeds them all
        np.testing.assert_array_equal(together, parts.reshape(-1, 2))
    with pytest.raises(UserError, match="cannot be shared"):
        ranges(replicas - 1, 4, Shard(replicas, 0, 1))


@pytest.fixture
def found(monkeypatch):
    def find(environment, join=find_workers, **knobs):
        for name in [*os.environ]:
            if name.startswith("TF_CONFIG"):
                monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return join(RunConfig(**knobs))

    return find


def test_workers_are_named_by_flags_or_by_tf_config(found):
    given = {"cluster": {"chief": ["a:1"], "worker": ["b:2", "c:3"]}, "task": {"type": "worker", "index": 1}}
    environment = {"TF_CONFIG": json.dumps(given)}
    assert found(environment) == (("a:1", "b:2", "c:3"), 2, "TF_CONFIG")
    assert found(environment, workers="x:1,y:2", worker_index=1) == (("x:1", "y:2"), 1, "--workers")
    alone = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
    assert found({"TF_CONFIG": json.dumps(alone)})[0] == ()
    assert found({}) == found({"TF_CONFIG": '{"environment": "cloud"}'}) == ((), 0, "")


@pytest.mark.parametrize(("environment", "knobs", "said"), [
    ({}, {"workers": "a:1,b:2"}, "makes this worker None of a:1, b:2"),
    ({}, {"worker_index": 0}, "Name each worker once"),
    ({}, {"workers": "a:1,b", "worker_index": 0}, "Name each worker once"),
    ({}, {"workers": "a:1,a:1", "worker_index": 0}, "Name each worker once"),
    ({}, {"workers": "a:1,b:2", "worker_index": 2}, "makes this worker 2 of a:1, b:2"),
    ({}, {"workers": ""}, "--workers '' makes no sense"),
    ({"TF_CONFIG": "{"}, {}, "TF_CONFIG cannot be read"),
    ({"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "ps"}}'}, {}, "this worker None"),
    ({}, {"workers": "a:1,b:2,c:3", "worker_index": 1, "batch_size": 64}, "64 cannot be shared evenly by 3"),
    # TensorFlow would train on one part of a CPU alone, and the others' examples would be left out.
    ({}, {"workers": "a:1,b:2", "worker_index": 0, "devices": 2}, "--devices 2 makes parts of one CPU"),
])  # fmt: skip
def test_workers_that_cannot_be_are_one_line(environment, knobs, said, found):
    with pytest.raises(UserError, match=re.escape(said)):
        found(environment, join=cluster.join, device="cpu", **knobs)


def test_several_devices_come_too_late_for_a_process_that_has_computed():
    assert tf.constant(1) + 1 == 2
    with pytest.raises(UserError, match="come too late"):
        keraskit.run("quickstart", quick=True, devices=2)


def test_metrics_of_any_shape_and_type_are_reduced_in_one_exchange():
    found = {"loss": tf.constant(0.5), "f1": tf.constant([0.1, 0.2, 0.3], tf.float64), "count": tf.constant(7)}
    strategy = mock.Mock()  # of two replicas, the second with three times the values
    strategy.experimental_local_results = lambda value: [value, 3 * value]
    strategy.run = lambda function, given: [function(*given), function(*(3 * each for each in given))]
    strategy.reduce = mock.Mock(side_effect=lambda how, rows, axis: {"MEAN": tf.add_n(rows) / 2}[how])
    means = cluster.reduce_per_replica(found, strategy, "auto")
    assert list(means) == list(found) and strategy.reduce.call_count == 1
    for name, value in found.items():
        np.testing.assert_allclose(means[name], 2 * value, rtol=1e-6)
