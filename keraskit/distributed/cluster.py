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

ASKED = "as asked"
HERE = ("output_dir", "threads")  # knobs that may differ
FILES = ("weights", "dataset")  # knobs that may name a file, whose content counts
COMPUTE = ("keraskit", "tensorflow", "keras", "numpy", "pillow")  # whose versions must be the same
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
        """A dataset of this process's shares, one device's after another's, as the strategy feeds it."""
        return repairs.distribute(dataset, self.strategy, self.devices) if self.strategy else dataset

    def agree(self, **facts: Any) -> None:
        """Raise UserError on every worker, the same, unless these facts are the same on all of them."""
        if self.coordination:
            refuse_differences(self.coordination.gather(facts))

    def agree_on_run(self, recipe: Recipe, settings: Settings, splits: Splits) -> None:
        """Raise UserError on every worker unless all train the same: flags, the recipe's code, data, weights to begin
        with. Places may differ: of files, what is in them counts."""
        if self.coordination:
            knobs = settings.model_dump()
            augment = {f"augment.{name}": value for name, value in knobs.pop("augment").items()}
            knobs |= augment | knobs.pop("options")
            own = {flag(name): _same(name, value) for name, value in knobs.items() if name not in HERE}
            sizes = " + ".join(f"{size:,}" for size in splits.sizes().values())
            data = f"{splits.source['name']}, {sizes} examples, {str(splits.source.get('sha256'))[:12]}"
            self.agree(**own, data=data, recipe=f"{recipe.name}, {recipe.source and _content(recipe.source)}")

    def leave(self) -> None:
        """End the work together, when the chief has ended its own."""
        if self.coordination:
            self.coordination.leave()

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Around whatever makes variables of the model in training."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Around fitting the model in training. A worker that is lost becomes one line."""
        with repairs.fit_repaired(self.strategy):
            try:
                yield
            except LOST as error:
                if not self.workers:
                    raise
                raise lost(self.index, len(self.workers), error) from error


ONE = Cluster()


class StopTogether(keras.callbacks.Callback):
    """When one worker has had a signal, has all of them stop after the same epoch, which the chief saves.

    What all of them heed is `agreed`: where there is one process alone, this worker's own `patience`.
    """

    def __init__(self, cluster: Cluster, patience: signals.Patience) -> None:
        super().__init__()
        self.cluster, self.patience = cluster, patience
        self.agreed = signals.Patience() if cluster.coordination else patience

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.cluster.coordination:
            return
        self.agreed.asked = max(self.cluster.coordination.gather(self.patience.asked or 0)) or None
        if self.agreed.asked and not self.cluster.chief:
            self.cluster.leave()  # which waits for the chief, who saves
            raise signals.Stopped(self.agreed.asked, f"Interrupted after epoch {epoch + 1}, which worker 0 has saved.")


def join(config: RunConfig) -> Cluster:
    """The cluster of a run. TensorFlow takes this before its first computation only.

    Raises:
        UserError: the devices are not there, the workers are not described well or do not agree, the batch cannot be
            shared, or TensorFlow has computed already.
        RunStopped: workers are missing.
    """
    workers, index, how = find_workers(config)
    if not workers and (config.devices or 1) == 1:
        return ONE
    gpus = [] if config.device == "cpu" else tf.config.list_physical_devices("GPU")
    if workers and not gpus and (config.devices or 1) > 1:
        problem = f"--devices {config.devices} makes parts of one CPU, of which TensorFlow uses one on each worker."
        raise UserError(problem, "Leave it out, or start more workers.")
    try:
        local = _local_devices(gpus, config.devices)
        _check_batch(config.batch_size or 0, len(local) * max(1, len(workers)))
        if not workers:
            return Cluster(len(local), (), 0, ASKED, tf.distribute.MirroredStrategy(local))
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
        cluster = Cluster(len(local), workers, index, how, strategy, coordination)
        cluster.agree(**{"--devices": len(local)}, **{name: system.versions().get(name) for name in COMPUTE})
        return cluster
    except RuntimeError as error:
        problem = f"Several devices or workers come too late: {sentence(error)}"
        raise UserError(problem, "Start a new process.") from error
    except tf.errors.DeadlineExceededError as error:
        raise missing(workers, index, config.wait, error) from error
    except tf.errors.OpError as error:
        problem = f"TensorFlow could not join the workers at {workers[index]}: {sentence(error.message)}"
        raise RunStopped(problem, f"Is that port free? {SEE_LOG}") from error


def _local_devices(gpus: list[Any], asked: int | None) -> list[str]:
    """Names of what computes on this machine: GPUs, or parts of the CPU."""
    if gpus:
        if asked and asked > len(gpus):
            raise UserError(f"--devices {asked}, but TensorFlow sees {len(gpus)} GPUs here.", "Ask for fewer.")
        used = gpus[: asked or len(gpus)]
        tf.config.set_visible_devices(used, "GPU")
        return [f"GPU:{i}" for i in range(len(used))]
    devices = asked or 1
    if devices > 1:  # one CPU computes as several devices: for trying it out
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    return [f"CPU:{i}" for i in range(devices)]


def _check_batch(batch_size: int, replicas: int) -> None:
    """Raise UserError where a batch cannot be shared evenly."""
    if batch_size % replicas:
        near = [n for n in (batch_size // replicas * replicas, -(-batch_size // replicas) * replicas) if n]
        advice = f"Take --batch-size {' or '.join(map(str, near))}."
        raise UserError(f"A batch of {batch_size} cannot be shared evenly by {replicas} devices.", advice)


def _same(name: str, value: Any) -> str | None:
    """A knob's value as text that is the same on every machine; None for a place, where only what is in it counts."""
    if name in FILES and Path(str(value)).exists():
        return _content(Path(str(value)))
    return None if isinstance(value, Path) else lasting(value)


def _content(path: Path) -> str | None:
    """A short hash of a file; of a folder, such as a run's, its name; None where there is none."""
    if not path.is_file():
        return path.resolve().name if path.exists() else None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def refuse_differences(said: list[dict[str, Any]]) -> None:
    """Raise UserError where workers, in their order, do not say the same; it names each difference."""
    differing = []
    for name in dict.fromkeys(name for facts in said for name in facts):
        values = [str(facts.get(name, "the default")) for facts in said]
        if len(set(values)) > 1:
            named = (f"{value} on worker {values.index(value)}" for value in dict.fromkeys(values))
            differing.append(f"{name} is {' but '.join(named)}")
    if differing:
        advice = "Start the same command everywhere, with the same data and versions, and one --output-dir for all."
        raise UserError(f"The workers do not agree: {'; '.join(differing)}.", advice)
