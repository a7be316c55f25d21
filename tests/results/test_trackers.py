"""`--tensorboard` and `--track mlflow`: what their own readers find, against the run's history."""

import importlib.util

import pytest
import tensorflow as tf

import keraskit
from keraskit.cli import app
from keraskit.config import RunConfig
from keraskit.errors import UserError
from keraskit.results import trackers
from keraskit.results.run_folder import RunFolder
from keraskit.results.runs import find

needs_all = pytest.mark.skipif(
    any(importlib.util.find_spec(module) is None for modules in trackers.NEEDS.values() for module in modules),
    reason="the extras `tensorboard` and `mlflow` are not installed",
)


@needs_all
def test_both_hold_what_the_run_wrote(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    knobs = {"quick": True, "limit": 64, "hidden": (8,), "tensorboard": True, "track": "mlflow"}
    folder = RunFolder(keraskit.run("mlp", output_dir=tmp_path / "runs", xla="off", **knobs).folder)
    with pytest.raises(SystemExit) as end:
        app.command_line(["resume", str(folder.path), "--epochs", "3"])
    assert end.value.code == 0
    history, reached = folder.read_history(), folder.read_json("run.json")["test"]
    assert [row["epoch"] for row in history] == [1, 2, 3]

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = {name: EventAccumulator(str(folder.path / "tensorboard" / name)) for name in ("train", "validation", "test")}
    for each in read.values():
        each.Reload()

    def curve(split, name):
        found = {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in read[split].Tensors(name)}
        return [found[step] for step in sorted(found)]

    for name in ("loss", "accuracy"):
        assert curve("train", name) == pytest.approx([row[name] for row in history], rel=1e-6)
        assert curve("validation", name) == pytest.approx([row[f"val_{name}"] for row in history], rel=1e-6)
        assert curve("test", name)[-1] == pytest.approx(reached[name], rel=1e-6)
    assert {"curves", "confusion", "mistakes", "samples", "_hparams_/session_start_info"} <= set(
        read["test"].Tags()["tensors"]
    )

    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    first, again = sorted(
        client.search_runs([client.get_experiment_by_name("mlp").experiment_id]), key=lambda run: run.info.start_time
    )
    assert again.data.params["batch_size"] == "128" and again.data.params["epochs"] == "3"
    assert first.data.params["epochs"] == "2" and first.data.params["hidden"] == "(8,)"
    assert again.data.tags["folder"] == str(folder.path)
    assert again.data.metrics["test_accuracy"] == pytest.approx(reached["accuracy"])
    curve = {metric.step: metric.value for metric in client.get_metric_history(again.info.run_id, "val_loss")}
    assert curve == pytest.approx({row["epoch"]: row["val_loss"] for row in history})
    assert "confusion.png" in {file.path for file in client.list_artifacts(again.info.run_id)}
    assert len(find([tmp_path / "runs"])) == 1  # and none in MLflow's copy


def test_what_is_not_asked_for_is_not_there_and_what_is_missing_is_said(tiny_run, monkeypatch):
    assert trackers.trackers(RunConfig(), RunFolder(tiny_run.folder), {}) == []
    assert not (tiny_run.folder / "tensorboard").exists()
    there = importlib.util.find_spec
    hidden = {module for modules in trackers.NEEDS.values() for module in modules}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *given: None if name in hidden else there(name, *given)
    )
    with pytest.raises(UserError, match=r"--tensorboard needs tensorboard\. pip install 'keraskit\[tensorboard\]'"):
        keraskit.run("mlp", tensorboard=True)
    with pytest.raises(UserError, match="--track mlflow needs mlflow, sqlalchemy, alembic"):
        keraskit.run("mlp", track="mlflow")
