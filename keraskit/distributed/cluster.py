"""Cluster: the devices and machines that train one model together, with tf.distribute; and repairs of Keras's `fit`."""

import contextlib
import copy
import dataclasses
import functools
import itertools
import json
import os
import re
import signal
import socket
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import tensorflow as tf

from keraskit import signals, start, system
from keraskit.config import RunConfig, Settings
from keraskit.datasets.splits import Shard, Splits, untuned
from keraskit.errors import RunStopped, UserError, flag, lasting, printable, sentence
from keraskit.models import keras_internals
from keraskit.recipe import Recipe
from keraskit.registry import Card

MAY_DIFFER = {"output_dir", "threads", "dataset", "weights", "options", "requested"}  # files are compared by content
COMPUTE = {"keraskit", "tensorflow", "keras", "numpy", "pillow"}  # whose versions must be the same
HEARTBEAT, SHUTDOWN = 10, 5  # seconds until a silent worker counts as lost, and for all to shut down
SEE_LOG = "See that worker's own log; then start the same command with --resume on every machine."
REDUCE = getattr(*keras_internals.REDUCE_PER_REPLICA)
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.CancelledError)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The devices and workers that train together."""

    devices: int = 1  # number of this machine's
    workers: tuple[str, ...] = ()  # host:port of every process, the same everywhere; empty for a single process
    index: int = 0  # of this worker; the first is the chief, which writes the run folder
    how: str = "one device"  # the source of this description, such as --workers or TF_CONFIG
    strategy: tf.distribute.Strategy | None = None  # None for one device
    service: Any = None  # TensorFlow's coordination service, through which workers talk; None for a single process
    rounds: Iterator[int] = dataclasses.field(default_factory=itertools.count)  # of talks, numbered alike everywhere

    @property
    def shard(self) -> Shard:
        """The shards of each global batch that this process feeds to its devices."""
        return Shard(self.devices * max(1, len(self.workers)), self.devices * self.index, self.devices)

    def __str__(self) -> str:
        return f"worker {self.index} of {len(self.workers)}; {self.how}" if self.workers else self.how

    def distribute(self, dataset: tf.data.Dataset) -> Any:
        """Return a dataset of this process's shards, device by device, for `fit` under the strategy.

        With one device per process, return the dataset itself, marked as distributed: TensorFlow's distributed dataset
        takes 80 ms to create at the start of an epoch, and asks all workers before each step whether data is left.
        """
        if self.strategy is None:
            return dataset
        if self.devices == 1:
            made = copy.copy(dataset)
            made.__class__ = type("OneShard", (type(dataset), tf.distribute.DistributedDataset), {})
            return made
        distributed = self.strategy.distribute_datasets_from_function(lambda _: dataset)
        if (batches := int(dataset.cardinality())) > 0:  # otherwise it is infinite
            distributed._cardinality = batches // self.devices  # TensorFlow counts those of each device
        return distributed

    def agree(self, **facts: Any) -> None:
        """Wait for all workers; raise UserError on all unless these facts are equal, RunStopped if a worker is lost."""
        if self.service is None:
            return
        key = f"keraskit/{next(self.rounds)}"
        with self._losses(tf.errors.OpError):
            mine = {name: lasting(value) for name, value in facts.items()}
            self.service.set_config_key_value(f"{key}/{self.index}", json.dumps(mine))
            self.service.wait_at_barrier(key, 10**9)  # milliseconds; a lost worker ends it
            said = [json.loads(self.service.get_config_key_value(f"{key}/{i}")) for i in range(len(self.workers))]
        names = dict.fromkeys(name for each in said for name in each)
        if differing := [name for name in names if any(each.get(name) != said[0].get(name) for each in said)]:
            advice = "Start the same command everywhere, with one --output-dir for all."
            raise UserError(f"The workers do not agree on {', '.join(differing)}.", advice)

    @contextlib.contextmanager
    def _losses(self, lost: Any) -> Iterator[None]:
        """Raise RunStopped if a worker is lost inside the block."""
        try:
            yield
        except lost as error:
            problem = f"A worker was lost; worker {self.index} of {len(self.workers)} stopped: {type(error).__name__}."
            traceback.clear_frames(error.__traceback__)  # of a thread pool, which prints an error if it lives on
            raise RunStopped(problem, SEE_LOG) from error

    def agree_on_run(self, recipe: Recipe, settings: Settings, splits: Splits, weights: str, precision: str) -> None:
        """Raise UserError on every worker unless flags, code, data, initial weights and versions are equal."""
        knobs = settings.model_dump(exclude=MAY_DIFFER) | settings.options | {"precision": precision}
        flags = {flag(name): value for name, value in knobs.items() if not isinstance(value, Path)}
        versions = {name: version for name, version in system.versions().items() if name in COMPUTE}
        data = splits.source["name"], splits.sizes(), splits.source.get("sha256")
        code = recipe.name, Card(recipe.source, recipe.name).sha256
        self.agree(**flags, **versions, data=data, recipe=code, weights=weights)

    def leave(self) -> None:
        """Wait for the chief, which takes a worker that has exited for lost. Raises RunStopped if the chief is lost."""
        with contextlib.suppress(*[RunStopped] * (self.index == 0)):  # whose run has finished, whoever was lost
            self.agree()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Create and fit the training copy inside this context. Raises RunStopped if a worker is lost.

        Keras's `fit` is patched to be correct and fast under the strategy. The datasets that a strategy creates for
        each device do not inherit the option that disables autotuning. Keras would also take the mean of per-replica
        batches to build the model, which is already built: shares may differ in size.
        """
        create = getattr(*keras_internals.DEVICE_DATASET)
        with contextlib.ExitStack() as stack:
            if self.strategy:
                created = lambda *given: untuned(create(*given))  # noqa: E731
                stack.enter_context(mock.patch.object(*keras_internals.DEVICE_DATASET, created))
                stack.enter_context(mock.patch.object(*keras_internals.MAYBE_SYMBOLIC_BUILD, lambda *_, **__: None))
                stack.enter_context(self.strategy.scope())
            if self.service:
                stack.enter_context(mock.patch.object(*keras_internals.REDUCE_PER_REPLICA, reduce_per_replica))
            stack.enter_context(self._losses(LOST if self.service else ()))
            yield


def reduce_per_replica(values: Any, strategy: tf.distribute.Strategy, reduction: str) -> Any:
    """Reduce all metrics to their means in one exchange between replicas, since each exchange takes time."""
    if reduction not in ("auto", "mean"):
        return REDUCE(values, strategy, reduction)
    flat = keras.tree.flatten(values)
    shapes = [strategy.experimental_local_results(value)[0].shape for value in flat]
    row = strategy.run(lambda *each: tf.concat([tf.reshape(tf.cast(v, tf.float32), [-1]) for v in each], 0), flat)
    parts = tf.split(strategy.reduce("MEAN", row, axis=None), [shape.num_elements() for shape in shapes])
    return keras.tree.pack_sequence_as(values, [tf.reshape(p, s) for p, s in zip(parts, shapes, strict=True)])


def join(config: RunConfig) -> Cluster:
    """Return the cluster of a run, before TensorFlow is initialised. Raises RunStopped if workers do not come."""
    workers, index, how = find_workers(config)
    if not workers and (config.devices or 1) == 1:
        return Cluster(how="as asked" if config.devices else Cluster.how)
    gpus = [] if config.device == "cpu" else tf.config.list_physical_devices("GPU")
    if workers and not gpus and (config.devices or 1) > 1:
        raise UserError(f"--devices {config.devices} makes parts of one CPU, one for each worker.", "Leave it out.")
    try:
        count = config.devices or len(gpus) or 1
        if gpus and count > len(gpus):
            raise UserError(f"--devices {count}, but TensorFlow sees {len(gpus)} GPUs here.", "Ask for fewer.")
        if gpus:
            tf.config.set_visible_devices(gpus[:count], "GPU")
        elif count > 1:  # parts of the CPU, for trying things out
            cpu = tf.config.list_physical_devices("CPU")[0]
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
        local = [f"{'GPU' if gpus else 'CPU'}:{i}" for i in range(count)]
        replicas = count * max(1, len(workers))
        if config.batch_size and config.batch_size % replicas:
            raise UserError(f"A batch of {config.batch_size} cannot be shared evenly by {replicas} devices.")
        if not workers:
            return Cluster(len(local), how="as asked", strategy=mirrored(*local))
        print(f"waiting        for {len(workers)} workers, as {how} says; this is worker {index}", flush=True)
        spec, gpu = tf.train.ClusterSpec({"worker": list(workers)}), {"GPU": len(local) if gpus else 0}
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(spec, "", "worker", index, "", gpu, "grpc")
        meet(workers, index, config.wait)
        # Configured before the strategy, which then waits for all workers.
        service = keras_internals.coordination_service(len(workers), config.wait, HEARTBEAT, SHUTDOWN)
        # Python handles no signals while TensorFlow waits, so SIGINT's default handler ends the process; SIGTERM's is
        # TensorFlow's own. It raises its errors as well as printing them.
        with signals.sent_to(signal.SIG_DFL), start.quietly(known="^"):
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
        return Cluster(len(local), workers, index, how, strategy, service)
    except RuntimeError as error:
        raise UserError(f"Several devices come too late: {sentence(error)}", "Start a new process.") from error
    except (OSError, OverflowError, tf.errors.OpError) as error:
        problem = f"After {config.wait} s at most, worker {index} could not join the others: {sentence(error)}"
        raise RunStopped(problem, f"Are all started? --wait SECONDS waits longer. {SEE_LOG}") from error


@functools.cache
def mirrored(*devices: str) -> tf.distribute.Strategy:
    """Return a strategy for these devices, one in a process: the collectives of a second one would be the first's."""
    return tf.distribute.MirroredStrategy(devices)


def find_workers(config: RunConfig) -> tuple[tuple[str, ...], int, str]:
    """Return host:port of all workers, the index of this one, and their source; no workers for a single process."""
    index: int | None
    if config.workers is not None or config.worker_index is not None:
        workers, index, source = (config.workers or "").split(","), config.worker_index, "--workers"
    elif source := "TF_CONFIG" if os.environ.get("TF_CONFIG") else "":
        try:
            resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
            chief, workers = (resolver.cluster_spec().as_dict().get(name, []) for name in ("chief", "worker"))
        except (ValueError, TypeError, AttributeError, LookupError, RuntimeError) as error:
            raise UserError(f"TF_CONFIG cannot be read: {sentence(error)}", "docs/distributed.md shows one.") from error
        if not [*chief, *workers]:  # as some platforms set it for a single machine
            return (), 0, ""
        workers, index = [*chief, *workers], (resolver.task_id or 0) + len(chief) * (resolver.task_type == "worker")
        index = index if resolver.task_type in (None, "chief", "worker") else None
    else:
        return (), 0, ""
    known = len(set(workers)) == len(workers) and all(re.fullmatch(r"\S+:\d{1,5}", each) for each in workers)
    if index is None or not known or not 0 <= index < len(workers):
        problem = f"{source} makes this worker {index} of {printable(', '.join(workers))}."
        advice = "Name each worker once, as in 10.0.0.1:12345,10.0.0.2:12345, and which of them this is, from 0."
        raise UserError(problem, advice)
    return (tuple(workers) if len(workers) > 1 else ()), index, source


def meet(workers: tuple[str, ...], index: int, wait: int) -> None:
    """Wait until all listen at their ports, as TensorFlow would, but deaf to SIGTERM. Raises OSError."""
    absent, until = [each for each in workers if each != workers[index]], time.monotonic() + wait
    own, dual = int(workers[index].rpartition(":")[2]), socket.has_dualstack_ipv6()
    with socket.create_server(("", own), family=[socket.AF_INET, socket.AF_INET6][dual], dualstack_ipv6=dual):
        while absent := [each for each in absent if not listens(each)]:
            if time.monotonic() > until:
                raise TimeoutError(f"{', '.join(absent)} did not come")
            time.sleep(0.1)


def listens(worker: str) -> bool:
    """Whether a worker's port accepts connections."""
    host, _, port = worker.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=1):
        return True
    return False
