"""Cluster: the devices of this machine, and the machines, that train one model together, as tf.distribute does it."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from keraskit.config import RunConfig
from keraskit.datasets.splits import WHOLE, Share
from keraskit.errors import RunStopped, UserError

ADDRESS = re.compile(r"[^\s,:/]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")
ASKED = "as asked"
SLURM_PORTS = (12_000, 20_000)  # the first, and how many jobs have ports of their own
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.CancelledError)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Who trains together.

    Args:
        devices: how many of this machine compute.
        workers: host:port of every process, the same everywhere; empty for one process alone.
        index: which of the workers this process is; the first is the chief, who alone writes the run.
        how: where this was found.
        strategy: TensorFlow's, None for one device.
    """

    devices: int = 1
    workers: tuple[str, ...] = ()
    index: int = 0
    how: str = "one device"
    strategy: tf.distribute.Strategy | None = None

    @property
    def chief(self) -> bool:
        """Whether this process writes the run."""
        return self.index == 0

    @property
    def share(self) -> Share:
        """Which part of each global batch this process feeds to its devices."""
        if self.strategy is None:
            return WHOLE
        return Share(self.devices * max(1, len(self.workers)), self.devices * self.index, self.devices)

    def __str__(self) -> str:
        devices = f"{self.devices} device{'s' * (self.devices > 1)}"
        return f"worker {self.index} of {len(self.workers)}, {devices} each; {self.how}" if self.workers else self.how

    def check(self, batch_size: int) -> None:
        """Raise UserError where a batch cannot be shared evenly."""
        replicas = self.share.replicas
        if batch_size % replicas:
            near = [n for n in (batch_size // replicas * replicas, -(-batch_size // replicas) * replicas) if n]
            advice = f"Take --batch-size {' or '.join(map(str, near))}."
            raise UserError(f"A batch of {batch_size} cannot be shared evenly by {replicas} devices.", advice)

    def distribute(self, dataset: tf.data.Dataset) -> Any:
        """A dataset of this process's shares, one device's after another's, as the strategy feeds it."""
        if self.strategy is None:
            return dataset
        steps = int(dataset.cardinality()) // self.devices
        distributed = self.strategy.distribute_datasets_from_function(lambda _: dataset)
        distributed._cardinality = steps  # it counts every device's part, and Keras takes them for steps
        return distributed

    def agree(self, epoch: int) -> None:
        """Raise RunStopped unless every worker begins at this epoch."""
        if self.workers and self.strategy:
            total = self.strategy.reduce("SUM", tf.constant(epoch, tf.int64), axis=None)
            if int(total) != epoch * len(self.workers):
                problem = f"The workers do not go on from one epoch; worker {self.index} is at {epoch}."
                raise RunStopped(problem, "--output-dir must name a folder that all machines share.")

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Around whatever makes variables of the model in training."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Around fitting the model in training. A worker that is lost becomes one line."""
        if self.strategy is None:
            yield
            return
        with repaired(self.strategy):
            try:
                yield
            except LOST as error:
                if not self.workers:
                    raise
                raise RunStopped(
                    f"A worker was lost, so worker {self.index} of {len(self.workers)} stopped: "
                    f"{type(error).__name__}.",
                    "See that worker's own log; then start the same command with --resume on every machine.",
                ) from error


ONE = Cluster()


def join(config: RunConfig, environment: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster of a run. TensorFlow takes this before its first computation only.

    Raises:
        UserError: the devices are not there, the workers are not described well, or TensorFlow has computed already.
    """
    workers, index, how = find_workers(config, environment)
    devices = config.devices or 1
    if not workers and devices == 1:
        return ONE
    gpus = [] if config.device == "cpu" else tf.config.list_physical_devices("GPU")
    try:
        local = _local_devices(gpus, config.devices, devices)
        if not workers:
            strategy: tf.distribute.Strategy = tf.distribute.MirroredStrategy(local)
            return Cluster(len(local), (), 0, ASKED, strategy)
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(workers)}),
            task_type="worker",
            task_id=index,
            num_accelerators={"GPU": len(gpus[: config.devices])},
            rpc_layer="grpc",
        )
        print(f"waiting        for {len(workers)} workers, as {how} says; this is worker {index}", flush=True)
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
        return Cluster(max(1, len(local)), workers, index, how, strategy)
    except RuntimeError as error:
        problem = f"Several devices or workers come too late: {str(error).strip().partition(chr(10))[0]}"
        raise UserError(problem, "Start a new process.") from error


def _local_devices(gpus: list[Any], asked: int | None, devices: int) -> list[str]:
    """Names of what computes on this machine: GPUs, or parts of the CPU."""
    if gpus:
        if asked and asked > len(gpus):
            raise UserError(f"--devices {asked}, but TensorFlow sees {len(gpus)} GPUs here.", "Ask for fewer.")
        used = gpus[: asked or len(gpus)]
        tf.config.set_visible_devices(used, "GPU")
        for gpu in used:
            tf.config.experimental.set_memory_growth(gpu, True)
        return [f"GPU:{i}" for i in range(len(used))]
    if devices > 1:  # one CPU computes as several devices: for trying it out
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    return [f"CPU:{i}" for i in range(devices)]


def find_workers(config: RunConfig, environment: Mapping[str, str]) -> tuple[tuple[str, ...], int, str]:
    """host:port of all workers, which of them this is, and who says so: the flags, TF_CONFIG, or SLURM's step.

    Nobody, where this process trains alone. Raises UserError for what cannot be.
    """
    if config.workers or config.worker_index is not None:
        if not config.workers or config.worker_index is None:
            raise UserError("--workers and --worker-index belong together.", "Name all workers, and which this is.")
        found = tuple(address.strip() for address in config.workers.split(",") if address.strip())
        return _checked(found, config.worker_index, "--workers")
    if environment.get("TF_CONFIG"):
        return _from_tf_config(environment["TF_CONFIG"])
    if environment.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        return _from_slurm(environment)
    return (), 0, ""


def _checked(workers: tuple[str, ...], index: int, source: str) -> tuple[tuple[str, ...], int, str]:
    for address in workers:
        if not ADDRESS.fullmatch(address) or int(address.rpartition(":")[2]) > 65_535:
            raise UserError(f"{source}: {address!r} is no address.", "Expected host:port, as in 10.0.0.1:12345.")
    if len(set(workers)) < len(workers):
        raise UserError(f"{source} names an address twice.", "Each worker has its own.")
    if not 0 <= index < len(workers):
        raise UserError(f"{source}: there is no worker {index} among {len(workers)}.", "They are counted from 0.")
    return (workers if len(workers) > 1 else ()), index, source


def _from_tf_config(text: str) -> tuple[tuple[str, ...], int, str]:
    """`{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}`; a chief comes first."""
    try:
        given = json.loads(text)
        cluster, task = given.get("cluster", {}), given.get("task", {})
        chief, workers = list(cluster.get("chief", [])), list(cluster.get("worker", []))
        kind, index = task.get("type", "worker"), int(task.get("index", 0))
        workers = [str(address) for address in chief + workers]
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"TF_CONFIG cannot be read: {error}.", "docs/distributed.md shows one.") from error
    if not workers:
        return (), 0, ""
    if kind not in ("chief", "worker"):
        raise UserError(f"TF_CONFIG makes this a {kind!r}; keraskit trains with chief and worker alone.")
    return _checked(tuple(workers), index + (len(chief) if kind == "worker" else 0), "TF_CONFIG")


def _from_slurm(environment: Mapping[str, str]) -> tuple[tuple[str, ...], int, str]:
    """The tasks of this step in SLURM's order: node by node. Each job has ports of its own."""
    from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver as slurm

    try:
        nodes = slurm.expand_hostlist(environment["SLURM_STEP_NODELIST"])
        tasks = slurm.expand_tasks_per_node(environment["SLURM_STEP_TASKS_PER_NODE"])
        index = int(environment["SLURM_PROCID"])
        first = SLURM_PORTS[0] + int(environment.get("SLURM_JOB_ID", "0")) % SLURM_PORTS[1]
    except (KeyError, ValueError) as error:
        raise UserError(f"SLURM's variables cannot be read: {error}.", "Start the step with srun.") from error
    workers = [f"{node}:{first + i}" for node, count in zip(nodes, tasks, strict=True) for i in range(count)]
    return _checked(tuple(workers), index, "SLURM")


def needs_repair() -> bool:
    """Whether this version of Keras asks for the mean of scalars along an axis, as those until 3.15 do at least."""
    from keras.src.backend.tensorflow import trainer

    return 'strategy.reduce("MEAN", v, axis=0)' in inspect.getsource(trainer.reduce_per_replica)


@contextlib.contextmanager
def repaired(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Keras's `fit` made able to train on several machines, for as long as this lasts.

    Its trainer reduces a whole nest of per-replica values at once to build the model, and asks for the mean along an
    axis of scalars. Here the first takes each value's first local result, the second the mean of the values.
    """
    from keras.src.backend.tensorflow import trainer

    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or not needs_repair():
        yield
        return
    whole, build = trainer.reduce_per_replica, trainer.TensorFlowTrainer._maybe_symbolic_build

    def reduce_per_replica(values: Any, strategy: tf.distribute.Strategy, reduction: str) -> Any:
        if reduction not in ("auto", "mean"):
            return whole(values, strategy, reduction)
        return keras.tree.map_structure(lambda value: strategy.reduce("MEAN", value, axis=None), values)

    def first(value: Any) -> Any:
        return strategy.experimental_local_results(value)[0]

    def maybe_symbolic_build(self: Any, iterator: Any = None, data_batch: Any = None) -> None:
        for _, _, it in iterator or ():
            data_batch = keras.tree.map_structure(first, next(it))
            break
        with strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    trainer.reduce_per_replica = reduce_per_replica
    trainer.TensorFlowTrainer._maybe_symbolic_build = maybe_symbolic_build
    try:
        yield
    finally:
        trainer.reduce_per_replica, trainer.TensorFlowTrainer._maybe_symbolic_build = whole, build
