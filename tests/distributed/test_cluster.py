"""Several devices and several machines train as one does: the same losses, each example once, and losses of workers."""

import json
import re
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import keraskit
from keraskit.config import RunConfig
from keraskit.datasets.splits import Share, ranges
from keraskit.distributed import cluster, launch
from keraskit.errors import RunStopped, UserError
from keraskit.results.run_folder import RunFolder
from keraskit.training.micro_batches import MicroBatched

# 500 examples in batches of 64: 52 are left for the last step of an epoch.
KNOBS = {"limit": 500, "epochs": 3, "batch_size": 64, "precision": "float32", "threads": 1}
PATIENT = 90  # seconds; the documentation says 30, on a machine that has nothing else to do


@pytest.fixture(scope="module")
def one(tmp_path_factory, undrawn):
    """The same training on one device of one process."""
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


def words(output):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in KNOBS.items()]
    return ["run", "cnn", "--filters", "8", "8", *flags, "--output-dir", str(output)]


def test_two_devices_train_as_one(one, command, tmp_path):
    done = command(*words(tmp_path), "--devices", "2")
    assert done.returncode == 0 and "devices        2 (as asked)" in done.stdout, done.stderr
    same(next((tmp_path / "cnn").iterdir()), one)
    again = command(*words(tmp_path), "--devices", "3")
    assert again.returncode == 2 and "A batch of 64 cannot be shared evenly by 3 devices" in again.stderr


def test_workers_train_as_one_and_go_on_when_one_was_lost(one, command, tmp_path):
    addresses = [f"127.0.0.1:{port}" for port in launch.free_ports(2)]
    logs = [tmp_path / f"worker-{i}.log" for i in range(2)]
    with logs[0].open("wb") as first, logs[1].open("wb") as second:
        started = [launch._start(words(tmp_path), addresses, i, log) for i, log in enumerate((first, second))]
        try:
            patience = time.monotonic() + PATIENT
            while "epoch 1/3" not in logs[0].read_text() and time.monotonic() < patience:
                time.sleep(0.05)
            started[1].kill()
            assert started[0].wait(PATIENT) == 1
        finally:
            for process in started:
                process.kill()
                process.wait()
    assert "A worker was lost, so worker 0 of 2 stopped" in logs[0].read_text()
    (folder,) = (tmp_path / "cnn").iterdir()  # the chief's alone
    done = command("launch", "--workers", "2", "--logs", tmp_path / "logs", "--", *words(tmp_path), "--resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "cnn").iterdir()) == [folder] and "goes on at epoch" in done.stdout
    assert {log.name for log in (tmp_path / "logs").glob("*/*")} == {"worker-0.log", "worker-1.log"}
    same(folder, one)


def test_a_launch_that_cannot_work_says_why(command):
    for wrong, said in (
        (
            ("--workers", "2", "--", "run", "cnn", "--epochs", "ten"),
            "--epochs ten makes no sense",
        ),
        (("--workers", "2", "--", "run", "cnn", "--epochs", "0"), "epochs"),
        (("--workers", "2", "--", "run", "no-such"), "no-such"),
        (("--workers", "1", "--", "run", "cnn"), "--workers 1 is not several"),
        (("--workers", "2", "--", "list"), "launch starts a training"),
    ):
        done = command("launch", *wrong)
        assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
        assert not done.stdout  # no worker was started
    done = command(
        "launch", "--workers", "2", "--", "run", "cnn", "--data-dir", "no/such"
    )  # only a worker can see that
    assert done.returncode == 1 and re.search(r"Worker [01] ended with code 2: keraskit: .*no/such", done.stderr)


@pytest.mark.parametrize("replicas", [1, 2, 3, 8])
def test_every_epoch_has_each_example_once_in_shares_of_one_size(replicas):
    for size, batch in ((8, 8), (100, 24), (97, 24), (145, 24), (55_000, 120)):
        parts = np.stack([ranges(size, batch, Share(replicas, i, 1)) for i in range(replicas)], axis=1)
        assert parts.reshape(-1, 2)[0, 0] == 0 and parts.reshape(-1, 2)[-1, 1] == size
        np.testing.assert_array_equal(parts.reshape(-1, 2)[1:, 0], parts.reshape(-1, 2)[:-1, 1])
        lengths = parts[..., 1] - parts[..., 0]
        assert lengths.min() > 0 and np.ptp(lengths, axis=1).max() <= 1
        together = ranges(size, batch, Share(replicas, 0, replicas))  # one process that feeds them all
        np.testing.assert_array_equal(together, parts.reshape(-1, 2))
    with pytest.raises(UserError, match="cannot be shared"):
        ranges(replicas - 1, 4, Share(replicas, 0, 1))


def found(environment, **knobs):
    return cluster.find_workers(RunConfig(**knobs), environment)


def test_workers_are_named_by_flags_by_tf_config_or_by_slurm():
    given = {"cluster": {"chief": ["a:1"], "worker": ["b:2", "c:3"]}, "task": {"type": "worker", "index": 1}}
    environment = {"TF_CONFIG": json.dumps(given)}
    assert found(environment) == (("a:1", "b:2", "c:3"), 2, "TF_CONFIG")
    assert found(environment, workers="x:1,y:2", worker_index=1) == (("x:1", "y:2"), 1, "--workers")
    slurm = {"SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_NODELIST": "n[9-10]", "SLURM_STEP_TASKS_PER_NODE": "2,1"}
    step = slurm | {"SLURM_PROCID": "2", "SLURM_JOB_ID": "7"}
    assert found(step) == (("n9:12007", "n9:12008", "n10:12007"), 2, "SLURM")  # n9 before n10, as SLURM counts
    assert found(step | {"SLURM_STEP_NUM_TASKS": "1"}) == ((), 0, "") == found({})
    alone = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
    assert found({"TF_CONFIG": json.dumps(alone)})[0] == ()


@pytest.mark.parametrize(
    ("environment", "knobs", "said"),
    [
        ({}, {"workers": "a:1,b:2"}, "belong together"),
        ({}, {"worker_index": 0}, "belong together"),
        ({}, {"workers": "a:1,b", "worker_index": 0}, "'b' is no address"),
        ({}, {"workers": "a:1,b:99999", "worker_index": 0}, "is no address"),
        ({}, {"workers": "a:1,a:1", "worker_index": 0}, "twice"),
        ({}, {"workers": "a:1,b:2", "worker_index": 2}, "no worker 2"),
        ({"TF_CONFIG": "{"}, {}, "cannot be read"),
        ({"TF_CONFIG": "[]"}, {}, "cannot be read"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "ps"}}'}, {}, "makes this a 'ps'"),
        ({"SLURM_STEP_NUM_TASKS": "2"}, {}, "SLURM's variables"),
        ({"SLURM_STEP_NUM_TASKS": "many"}, {}, "SLURM's variables"),
    ],
)
def test_workers_that_cannot_be_are_one_line(environment, knobs, said):
    with pytest.raises(UserError, match=re.escape(said)):
        found(environment, **knobs)


def test_workers_that_do_not_begin_at_one_epoch_stop():
    """As happens when the output folder is not shared: the chief goes on at epoch 3, another begins anew."""

    class Summing:
        def reduce(self, how, value, axis):
            return value + (3 if int(value) == 0 else 0)

    for epoch in (0, 3):
        with pytest.raises(RunStopped, match="do not go on from one epoch"):
            cluster.Cluster(1, ("a:1", "b:2"), 0, "", Summing()).agree(epoch)


def test_several_devices_come_too_late_for_a_process_that_has_computed():
    with pytest.raises(UserError, match="come too late"):
        keraskit.run("quickstart", quick=True, devices=2)


def test_keras_still_needs_the_repair():
    """When this fails, see whether Keras trains on several machines by itself now, and remove `cluster.repaired`."""
    assert cluster.needs_repair()


def test_micro_batches_learn_what_the_whole_learns():
    """Against plain Keras; 33 examples in batches of 16 leave one, which is less than there are micro-batches."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(33, 12, 2)).astype("float32"), random.integers(0, 3, 33)

    def learned(parts, jit, scaled=False):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((12, 2)), keras.layers.LSTM(8), keras.layers.Dense(3, "softmax")])
        model = MicroBatched.of(model, parts, jit) if parts else model
        kind = "sparse_categorical_crossentropy"
        optimizer = keras.optimizers.SGD(0.1)  # to which, unlike Adam, the size of gradients matters
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer
        model.compile(optimizer, kind, metrics=["accuracy"], jit_compile=False)
        history = model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0).history
        return history, model.get_weights()

    history, weights = learned(0, False)
    for parts, jit, scaled in ((2, False, False), (3, True, False), (2, False, True)):
        ours, reached = learned(parts, jit, scaled)
        for name, values in history.items():
            np.testing.assert_allclose(ours[name], values, atol=1e-6)
        for a, b in zip(reached, weights, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_launching_imports_no_tensorflow():
    code = "import sys, keraskit.distributed.launch; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
