"""`--tensorboard`: what TensorBoard's own reader finds, against the run's history, also where a run goes on."""

import pytest
import tensorflow as tf

import keraskit
from keraskit.cli import app
from keraskit.runs.folder import RunFolder


def test_curves_are_the_history(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    knobs = {"quick": True, "limit": 64, "hidden": (8,), "tensorboard": True}
    folder = RunFolder(keraskit.run("mlp", output_dir=tmp_path, xla="off", **knobs).folder)
    with pytest.raises(SystemExit) as end:
        app.command_line(["resume", str(folder.path), "--epochs", "3"])
    assert end.value.code == 0
    history = folder.read_history()
    for split, prefix in (("train", ""), ("validation", "val_")):
        found = reader.EventAccumulator(str(folder.path / "tensorboard" / split))
        found.Reload()
        for name in ("loss", "accuracy"):
            steps = {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in found.Tensors(f"epoch_{name}")}
            assert [steps[k] for k in range(3)] == pytest.approx([row[f"{prefix}{name}"] for row in history], rel=1e-6)
