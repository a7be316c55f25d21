"""Cluster: the devices of this machine, and the machines, that train one model together, as tf.distribute does it."""

import contextlib
import dataclasses
import hashlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keraskit import signals, start, system
from keraskit.config import RunConfig, Settings, flag
from keraskit.datasets.splits import WHOLE, Share, Splits
from keraskit.distributed import repairs
from keraskit.distributed.coordination import SEE_LOG, Coordination, lost, missing
from keraskit.distributed.workers import find_workers
from keraskit.errors import RunStopped, UserError, lasting, sentence
from keraskit.recipe import Recipe

MAY_DIFFER = {"output_dir", "threads", "dataset", "requested"}  # knobs; of a data set its content counts
COMPUTE = {"keraskit", "tensorflow", "keras", "numpy", "pillow"}  # whose versions must be the same
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
    def share(self) -> Share:
        """Which part of each global batch this process feeds to its devices."""
        if self.strategy is None:
            return WHOLE
        return Share(self.devices * max(1, len(self.workers)), self.devices * self.index, self.devices)

    def __str__(self) -> str:
        devices = f"{self.devices} device{'s' * (self.devices > 1)}"
        return f"worker {self.index} of {len(self.workers)}, {devices} each; {self.how}" if self.workers else self.how

    def distribute(self, dataset: tf.data.Dataset) -> Any:
        """Return a dataset of this process's shards, as `fit` takes it under the strategy."""
        return repairs.distribute(dataset, self.strategy, self.devices) if self.strategy else dataset

    def agree(self, **facts: Any) -> None:
        """Raise UserError on every worker, the same, unless these facts are the same on all of them."""
        if self.coordination is None:
            return
        said = self.coordination.gather({name: lasting(value) for name, value in facts.items()})
        differing = []
        for name in dict.fromkeys(name for each in said for name in each):
            values = [each.get(name, "the default") for each in said]
            if len(set(values)) > 1:
                named = (f"{value} on worker {values.index(value)}" for value in dict.fromkeys(values))
                differing.append(f"{name} is {' but '.join(named)}")
        if differing:
            advice = "Start the same command everywhere, with the same data and versions, and one --output-dir for all."
            raise UserError(f"The workers do not agree: {'; '.join(differing)}.", advice)

    def agree_on_run(self, recipe: Recipe, settings: Settings, splits: Splits) -> None:
        """Raise UserError on every worker unless all train the same: flags, code, data, first weights and versions.

        Places may differ: of files, what is in them counts.
        """
        knobs = settings.model_dump(exclude=MAY_DIFFER)
        augment = {f"augment.{name}": value for name, value in knobs.pop("augment").items()}
        knobs |= augment | knobs.pop("options") | {"devices": self.devices, "weights": _content(settings.weights)}
        flags = {flag(name): v for name, v in knobs.items() if name not in MAY_DIFFER and not isinstance(v, Path)}
        versions = {name: version for name, version in system.versions().items() if name in COMPUTE}
        data = splits.source["name"], splits.sizes(), splits.source.get("sha256")
        self.agree(**flags, data=data, recipe=(recipe.name, _content(recipe.source)), **versions)

    def leave(self) -> None:
        """Wait for the chief, and end the work together."""
        if self.coordination:
            self.coordination.leave()

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Create the variables of the training copy inside this context."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Fit the training copy inside this context. A worker that is lost becomes one line."""
        with repairs.fit_repaired(self.strategy):
            try:
                yield
            except LOST as error:
                if not self.workers:
                    raise
                raise lost(self.index, len(self.workers), error) from error


class StopTogether(keras.callbacks.Callback):
    """Stop all workers after the same epoch, which the chief saves, when one of them has had a signal.

    `agreed` is what all of them heed: where there is one process alone, this worker's own `patience`.
    """

    def __init__(self, cluster: Cluster, patience: signals.Patience) -> None:
        super().__init__()
        self.cluster, self.patience = cluster, patience
        self.agreed = signals.Patience() if cluster.coordination else patience

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.cluster.coordination is None:
            return
        self.agreed.asked = max(self.cluster.coordination.gather(self.patience.asked or 0)) or None
        if self.agreed.asked and not self.cluster.chief:
            self.cluster.leave()  # which waits for the chief, who saves
            raise signals.Stopped(self.agreed.asked, f"Interrupted after epoch {epoch + 1}, which worker 0 has saved.")


def join(config: RunConfig) -> Cluster:
    """Return the cluster of a run. Call before TensorFlow's first computation.

    Raises:
        UserError: the devices are not there, the workers are not described well, the batch cannot be shared evenly, or
            TensorFlow has computed already.
        RunStopped: workers are missing.
    """
    workers, index, how = find_workers(config)
    if not workers and (config.devices or 1) == 1:
        return Cluster(how="as asked") if config.devices else Cluster()
    gpus = [] if config.device == "cpu" else tf.config.list_physical_devices("GPU")
    if workers and not gpus and (config.devices or 1) > 1:
        problem = f"--devices {config.devices} makes parts of one CPU, of which TensorFlow uses one on each worker."
        raise UserError(problem, "Leave it out, or start more workers.")
    try:
        local = _local_devices(gpus, config.devices)
        replicas = len(local) * max(1, len(workers))
        if config.batch_size and config.batch_size % replicas:
            problem = f"A batch of {config.batch_size} cannot be shared evenly by {replicas} devices."
            raise UserError(problem, f"Take a multiple of {replicas} as --batch-size.")
        if not workers:
            return Cluster(len(local), how="as asked", strategy=tf.distribute.MirroredStrategy(local))
        print(f"waiting        for {len(workers)} workers, as {how} says; this is worker {index}", flush=True)
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(workers)}),
            task_type="worker",
            task_id=index,
            num_accelerators={"GPU": len(local) if gpus else 0},
            rpc_layer="grpc",
        )
        coordination = Coordination(len(workers), index, config.wait)
        # Where it waits Python hears no signal, so Ctrl-C ends the process; it takes SIGTERM, which is put back after.
        # What goes wrong there is raised as well as printed.
        with signals.sent_to(signal.SIG_DFL), start.quietly(known="^"):
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
        return Cluster(len(local), workers, index, how, strategy, coordination)
    except RuntimeError as error:
        problem = f"Several devices or workers come too late: {sentence(error)}"
        raise UserError(problem, "Start a new process.") from error
    except tf.errors.DeadlineExceededError as error:
        raise missing(workers, index, config.wait, error) from error
    except tf.errors.OpError as error:
        problem = f"TensorFlow could not join the workers at {workers[index]}: {sentence(error.message)}"
        raise RunStopped(problem, f"Is that port free? {SEE_LOG}") from error


def _local_devices(gpus: list[Any], asked: int | None) -> list[str]:
    """Name the devices of this machine that compute: GPUs, or parts of the CPU, to try it out."""
    if gpus:
        if asked and asked > len(gpus):
            raise UserError(f"--devices {asked}, but TensorFlow sees {len(gpus)} GPUs here.", "Ask for fewer.")
        used = gpus[: asked or len(gpus)]
        tf.config.set_visible_devices(used, "GPU")
        return [f"GPU:{i}" for i in range(len(used))]
    if asked and asked > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * asked)
    return [f"CPU:{i}" for i in range(asked or 1)]


def _content(file: str | Path | None) -> str | None:
    """Identify a file by its content, anything else, such as the folder of a run, by its name."""
    path = Path(file or "")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else path.name
