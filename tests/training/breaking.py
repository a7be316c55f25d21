"""Breaks runs off within this process, and looks at what became of them."""

import os
from unittest import mock

import keras

from keraskit.runs.folder import RunFolder
from keraskit.training.fit import Checkpoints


def outcome(folder):
    """What must be equal: weights, history but for its seconds, metrics."""
    folder = RunFolder(folder)
    run = folder.read_json("run.json")
    assert run["status"] == "finished" and (folder.path / "report.html").exists()
    weights = keras.models.load_model(folder.path / "model.keras").get_weights()
    history = [row | {"seconds": 0} for row in folder.read_history()]
    return [w.tobytes() for w in weights], run["weights_sha256"], history, folder.read_json("metrics.json")


def at(epoch, step, do):
    """Do something after a step, before anything is saved there. Both count from 0."""
    real = Checkpoints.on_train_batch_end

    def watched(self, batch, logs=None):
        if (self._epoch, batch) == (epoch, step):
            do(self.best.folder.path)
        real(self, batch, logs)

    return mock.patch.object(Checkpoints, "on_train_batch_end", watched)


def send(number):
    return lambda _: os.kill(os.getpid(), number)


def kill(_):
    raise RuntimeError("killed")  # what SIGKILL leaves behind is tested with real processes, by benchmarks/kill.py


def only(output):
    (folder,) = output.glob("*/*/")
    return folder


def hashes(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
