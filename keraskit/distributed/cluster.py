"""Cluster: the devices of this machine, and the machines, that train one model together, as tf.distribute does it."""

import contextlib
import dataclasses
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from keraskit import signals, start, system
from keraskit.config import RunConfig, Settings, flag
from keraskit.datasets.splits import WHOLE, Shard, Splits
from keraskit.distributed import repairs
from keraskit.distributed.workers import find_workers
from keraskit.errors import RunStopped, UserError, lasting, sentence
from keraskit.models import keras_internals
from keraskit.recipe import Recipe
from keraskit.registry import Card

MAY_DIFFER = {"output_dir", "threads", "dataset", "weights", "options", "requested"}  # of files the content counts
COMPUTE = {"keraskit", "tensorflow", "keras", "numpy", "pillow"}  # whose versions must be the same
HEARTBEAT, SHUTDOWN = 10, 5  # seconds until a silent worker is lost, and for all to go
FOREVER = 10**9  # milliseconds at a barrier: a worker that is lost ends it
SEE_LOG = "See that worker's own log; then start the same command with --resume on every machine."
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.CancelledError)


class Coordination:
    """One of `count` workers. Make it before the strategy, which then waits `wait` seconds for the others."""

    def __init__(self, count: int, index: int, wait: int) -> None:
        self._count, self._index, self._round = count, index, 0
        self._service = keras_internals.coordination_service(count, wait, HEARTBEAT, SHUTDOWN)

    def gather(self, mine: Any) -> list[Any]:
        """Return every worker's JSON value, in their order. Raise RunStopped where a worker is lost."""
        self._round += 1
        key = f"keraskit/{self._round}"
        try:
            self._service.set_config_key_value(f"{key}/{self._index}", json.dumps(mine))
            self._service.wait_at_barrier(key, FOREVER)
            return [json.loads(self._service.get_config_key_value(f"{key}/{i}")) for i in range(self._count)]
        except tf.errors.OpError as error:
            raise lost(self._index, self._count, error) from error

    def leave(self) -> None:
        """Wait for the chief, which would take a worker that has gone for one that crashed."""
        with contextlib.suppress(RunStopped):
            self.gather("done")


def lost(index: int, count: int, error: tf.errors.OpError) -> RunStopped:
    """Say that another worker was lost."""
    return RunStopped(f"A worker was lost, so worker {index} of {count} stopped: {type(error).__name__}.", SEE_LOG)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Who trains together.

    Args:
        devices: how many of this machine compute.
        workers: host:port of every process, the same everywhere; empty for one process alone.
        index: which of the workers this process is; the first is the chief, who alone writes the run.
        how: where this was found.
        strategy: TensorFlow's, None for one device.
        coordination: with the other workers, if there are any.
    """

    devices: int = 1
    workers: tuple[str, ...] = ()
    index: int = 0
    how: str = "one device"
    strategy: tf.distribute.Strategy | None = None
    coordination: Coordination | None = None

    @property
    def chief(self) -> bool:
        """Whether this process writes the run."""
        return self.index == 0

    @property
    def shard(self) -> Shard:
        """The shares of each global batch that this process feeds to its devices."""
        if self.strategy is None:
            return WHOLE
        return Shard(self.devices * max(1, len(self.workers)), self.devices * self.index, self.devices)

    def __str__(self) -> str:
        return f"worker {self.index} of {len(self.workers)}; {self.how}" if self.workers else self.how

    def distribute(self, dataset: tf.data.Dataset) -> Any:
        """Return a dataset of this process's shards, as `fit` takes it under the strategy."""
        return repairs.distribute(dataset, self.strategy, self.devices) if self.strategy else dataset

    def agree(self, **facts: Any) -> None:
        """Raise UserError on every worker, the same, unless these facts are the same on all of them."""
        if self.coordination:
            said = self.coordination.gather({name: lasting(value) for name, value in facts.items()})
            names = dict.fromkeys(name for each in said for name in each)
            if differing := [name for name in names if any(each.get(name) != said[0].get(name) for each in said)]:
                advice = "Start the same command everywhere, with one --output-dir for all."
                raise UserError(f"The workers do not agree on {', '.join(differing)}.", advice)

    def agree_on_run(self, recipe: Recipe, settings: Settings, splits: Splits, weights: str, precision: str) -> None:
        """Raise UserError on every worker unless all train the same: flags, code, data, first weights and versions.

        Places may differ: of files, what is in them counts.
        """
        knobs = settings.model_dump(exclude=MAY_DIFFER) | settings.options | {"precision": precision}
        flags = {flag(name): value for name, value in knobs.items() if not isinstance(value, Path)}
        versions = {name: version for name, version in system.versions().items() if name in COMPUTE}
        data = splits.source["name"], splits.sizes(), splits.source.get("sha256")
        code = recipe.name, Card(recipe.source, recipe.name).sha256
        self.agree(**flags, **versions, data=data, recipe=code, weights=weights)

    def leave(self) -> None:
        """Wait for the chief, and end the work together."""
        if self.coordination:
            self.coordination.leave()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make and fit the training copy inside this context. A worker that is lost becomes one line."""
        with repairs.fit_repaired(self.strategy), self.strategy.scope() if self.strategy else contextlib.nullcontext():
            try:
                yield
            except LOST as error:
                raise lost(self.index, len(self.workers), error) if self.workers else error from error


def join(config: RunConfig) -> Cluster:
    """Return the cluster of a run. Call before TensorFlow's first computation.

    Raises UserError where devices are not there, workers not described well, the batch not to be shared evenly, or
    TensorFlow has computed already; RunStopped where workers are missing.
    """
    workers, index, how = find_workers(config)
    if not workers and (config.devices or 1) == 1:
        return Cluster(how="as asked" if config.devices else Cluster.how)
    gpus = [] if config.device == "cpu" else tf.config.list_physical_devices("GPU")
    if workers and not gpus and (config.devices or 1) > 1:
        raise UserError(f"--devices {config.devices} makes parts of one CPU, one for each worker.", "Leave it out.")
    try:
        local = _local_devices(gpus, config.devices)
        replicas = len(local) * max(1, len(workers))
        if config.batch_size and config.batch_size % replicas:
            raise UserError(f"A batch of {config.batch_size} cannot be shared evenly by {replicas} devices.")
        if not workers:
            return Cluster(len(local), how="as asked", strategy=tf.distribute.MirroredStrategy(local))
        print(f"waiting        for {len(workers)} workers, as {how} says; this is worker {index}", flush=True)
        spec, gpu = tf.train.ClusterSpec({"worker": list(workers)}), {"GPU": len(local) if gpus else 0}
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(spec, "", "worker", index, "", gpu, "grpc")
        coordination = Coordination(len(workers), index, config.wait)
        # Where it waits Python hears no signal, so Ctrl-C ends the process; it takes SIGTERM, which is put back after.
        # What goes wrong there is raised as well as printed.
        with signals.sent_to(signal.SIG_DFL), start.quietly(known="^"):
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
        return Cluster(len(local), workers, index, how, strategy, coordination)
    except RuntimeError as error:
        raise UserError(f"Several devices come too late: {sentence(error)}", "Start a new process.") from error
    except tf.errors.OpError as error:
        problem = f"After {config.wait} s at most, worker {index} could not join the others: {sentence(error.message)}"
        raise RunStopped(problem, f"Are all started? --wait SECONDS waits longer. {SEE_LOG}") from error


def _local_devices(gpus: list[Any], asked: int | None) -> list[str]:
    """Name the devices of this machine that compute: GPUs, or parts of the CPU, to try it out."""
    if gpus and (asked or 1) > len(gpus):
        raise UserError(f"--devices {asked}, but TensorFlow sees {len(gpus)} GPUs here.", "Ask for fewer.")
    if gpus:
        tf.config.set_visible_devices(gpus[:asked], "GPU")
    elif asked and asked > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * asked)
    return [f"{'GPU' if gpus else 'CPU'}:{i}" for i in range(asked or len(gpus) or 1)]
