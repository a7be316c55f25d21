"""Hands a run's numbers and pictures on to TensorBoard or MLflow, where its user asked for that; offline."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from keraskit.config import RunConfig, changed
from keraskit.errors import UserError
from keraskit.lazy import tf
from keraskit.results.run_folder import RunFolder

PICTURES = ("curves.png", "confusion.png", "mistakes.png", "samples.png", "augmented.png", "architecture.png")
NEEDS = {"tensorboard": ("tensorboard",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}


class Tracker(Protocol):
    """Is told of a run."""

    def epoch(self, row: dict[str, float]) -> None:
        """Of an epoch, a row of the history."""

    def finish(self, metrics: dict[str, float]) -> None:
        """Of the test split, once the run's folder is whole."""


def check(config: RunConfig) -> None:
    """Raise UserError where a tracker is asked for that is not installed."""
    for name in _asked(config):
        if missing := [module for module in NEEDS[name] if importlib.util.find_spec(module) is None]:
            flag = "--tensorboard" if name == "tensorboard" else f"--track {name}"
            raise UserError(f"{flag} needs {', '.join(missing)}.", f"pip install 'keraskit[{name}]' brings it.")


def _asked(config: RunConfig) -> list[str]:
    return (["tensorboard"] if config.tensorboard else []) + ([config.track] if config.track else [])


def trackers(config: RunConfig, folder: RunFolder, options: dict[str, Any]) -> list[Tracker]:
    """Those that a run asks for.

    Args:
        config: the run's knobs.
        folder: its folder.
        options: the recipe's own flags.
    """
    knobs = {"epochs": config.epochs, "batch_size": config.batch_size} | changed(config) | options
    hyperparameters = {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in knobs.items()
        if value is not None and name not in ("tensorboard", "track", "output_dir", "options")
    }
    kinds: dict[str, Callable[..., Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow}
    return [kinds[name](folder, hyperparameters) for name in _asked(config)]


class TensorBoard:
    """Event files in the run's folder: `tensorboard --logdir runs` shows all runs side by side.

    Training and validation are two curves of one chart, as Keras's own callback has them.
    """

    def __init__(self, folder: RunFolder, hyperparameters: dict[str, Any]) -> None:
        self._folder, self._hyperparameters = folder, hyperparameters
        self._writers = {
            name: tf.summary.create_file_writer(str(folder.path / "tensorboard" / name))
            for name in ("train", "validation", "test")
        }

    def epoch(self, row: dict[str, float]) -> None:
        """Write its metrics, and make them visible."""
        for name, value in row.items():
            kind, metric = ("validation", name.removeprefix("val_")) if name.startswith("val_") else ("train", name)
            if name != "epoch":
                with self._writers[kind].as_default(int(row["epoch"])):
                    tf.summary.scalar(metric, value)
        for writer in self._writers.values():
            writer.flush()

    def finish(self, metrics: dict[str, float]) -> None:
        """Write the test split's metrics, the pictures and the hyperparameters."""
        import numpy as np
        from PIL import Image
        from tensorboard.plugins.hparams import api

        with self._writers["test"].as_default(0):
            api.hparams(self._hyperparameters)
            for name, value in metrics.items():
                tf.summary.scalar(name, value)
            for path in _pictures(self._folder):
                with Image.open(path) as image:
                    tf.summary.image(path.stem, np.asarray(image.convert("RGB"))[None])
        for writer in self._writers.values():
            writer.close()


class MLflow:
    """A run in MLflow's own database beside the runs, or where MLFLOW_TRACKING_URI says; written when all is there."""

    def __init__(self, folder: RunFolder, hyperparameters: dict[str, Any]) -> None:
        self._folder, self._hyperparameters = folder, hyperparameters

    def epoch(self, row: dict[str, float]) -> None:
        """Nothing: the run's folder keeps it."""

    def finish(self, metrics: dict[str, float]) -> None:
        """Write parameters, metrics of each epoch and of the test split, and pictures; a tag names the run's folder."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would report its use
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        recipe, runs = self._folder.path.parent.name, self._folder.path.parents[1]
        elsewhere = os.environ.get("MLFLOW_TRACKING_URI")
        client = MlflowClient(elsewhere or f"sqlite:///{runs / 'mlflow.db'}")
        known = client.get_experiment_by_name(recipe)
        place = None if elsewhere else str(runs / "mlflow")
        experiment = known.experiment_id if known else client.create_experiment(recipe, artifact_location=place)
        run = client.create_run(experiment, run_name=self._folder.path.name).info.run_id
        for name, value in self._hyperparameters.items():
            client.log_param(run, name, value)
        for row in self._folder.read_history():
            for name, value in row.items():
                if name != "epoch":
                    client.log_metric(run, name, value, step=int(row["epoch"]))
        for name, value in metrics.items():
            client.log_metric(run, f"test_{name}", value)
        for path in _pictures(self._folder):
            client.log_artifact(run, str(path))
        client.set_tag(run, "folder", str(self._folder.path))
        client.set_terminated(run)


def _pictures(folder: RunFolder) -> list[Path]:
    return [folder.path / name for name in PICTURES if (folder.path / name).is_file()]
