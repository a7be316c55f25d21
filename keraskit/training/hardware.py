"""Decide where and how a run computes: device, threads, precision, XLA, each choice with its reason."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
from typing import Any

import keras
import tensorflow as tf

from keraskit import system
from keraskit.config import RunConfig
from keraskit.distributed.cluster import Cluster, join
from keraskit.errors import UserError
from keraskit.models.graph import operations
from keraskit.training import acceleration

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
BFLOAT16_FEATURES = ("avx512_bf16", "amx_bf16")
MOST_MICRO_BATCHES = 4  # of a batch of 64: fewer examples a core are not worth it
ASKED = "as asked"
AT_ONCE = 4e10  # additions and multiplications that are handed over at a time: a fifth of a second on two cores
TENSOR_CORES = (7, 0)  # the first compute capability whose mixed float16 is faster


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was chosen, and why."""

    value: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})"


@dataclasses.dataclass(frozen=True)
class Devices:
    """Where a run computes; settled before any tensor exists."""

    device: Choice
    threads: Choice
    cluster: Cluster

    @property
    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """The device as a context; of several, none: a strategy places what they compute."""
        if self.cluster.strategy is not None:
            return contextlib.nullcontext()
        name, _, number = self.device.value.partition(":")
        return tf.device(f"/{name.upper()}:{number or 0}")


def configure(config: RunConfig) -> Devices:
    """Configure threads, device, memory growth and cluster. Call before creating tensors.

    Raises:
        UserError: what was asked for is not there, or comes too late.
    """
    threads = Choice(config.threads, ASKED) if config.threads else Choice(system.cores(), "one per core")
    if config.threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(config.threads)
            tf.config.threading.set_inter_op_parallelism_threads(config.threads)
        except RuntimeError as error:
            if tf.config.threading.get_intra_op_parallelism_threads() != config.threads:
                problem = f"--threads {config.threads} comes too late: TensorFlow has computed in this process already."
                raise UserError(problem, "Start a new process.") from error
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()  # it holds for the whole process
    return Devices(_device(config.device), threads, join(config))


@dataclasses.dataclass(frozen=True)
class Choices:
    """All that was decided for one run; each is printed and recorded."""

    device: Choice
    threads: Choice
    precision: Choice
    xla: Choice
    steps_per_execution: Choice
    micro_batches: Choice
    devices: Choice

    @property
    def policy(self) -> str:
        """The Keras dtype policy of the precision."""
        return POLICIES[self.precision.value]


def choose(model: keras.Model, settings: RunConfig, devices: Devices, steps: int, named: bool = False) -> Choices:
    """Decide for a model on this machine; a flag other than `auto` is obeyed.

    Args:
        model: compiled, in float32.
        settings, devices: by which to decide.
        steps: in one epoch.
        named: whether examples come from named files, to be told if their loss is no number.

    Raises:
        UserError: what was asked for cannot go together.
    """
    replicas = devices.cluster.share.replicas
    if settings.xla == "on" and (settings.deterministic or replicas > 1):
        problem = "XLA compiles neither what must be deterministic nor what several devices train together."
        raise UserError(problem, "Leave --xla on out.")
    types, gpu = layer_types(model), devices.device.value.startswith("gpu")
    whole = acceleration.hindrance(model) if settings.acceleration else "no acceleration, as asked"
    precision, xla = Choice(settings.precision, ASKED), Choice(settings.xla, ASKED)
    if precision.value == "auto":
        precision = _precision(types, gpu, devices.device.value)
    if xla.value == "auto":
        blocks = precision.value == "float32" and not whole and acceleration.all_in_blocks(model)
        xla = _xla(types, gpu, blocks, settings.deterministic, replicas)
    return Choices(
        devices.device,
        devices.threads,
        precision,
        xla,
        _steps_per_execution(model, types, settings, steps, named, replicas),
        _micro_batches(types, gpu or replicas > 1, devices.threads.value, whole),
        Choice(replicas, str(devices.cluster)),
    )


def layer_types(model: keras.Model) -> set[str]:
    """Name the arithmetic of a model: "dense", "conv", "depthwise", "recurrent", and "sequences" where a recurrent
    layer gives out every step."""
    types = set()
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.RNN):
            types |= {"recurrent", "sequences"} if layer.return_sequences else {"recurrent"}
        elif isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.SeparableConv2D):
            types.add("depthwise")
        elif "Conv" in type(layer).__name__:
            types.add("conv")
        elif isinstance(layer, keras.layers.Dense):
            types.add("dense")
    return types


def _precision(types: set[str], gpu: bool, device: str) -> Choice:
    if gpu:
        name, capability = _gpu_details(int(device.partition(":")[2] or 0))
        if capability >= TENSOR_CORES:
            return Choice("float16", f"{name} has tensor cores; the loss is scaled")
        return Choice("float32", f"{name} has no tensor cores")
    if "depthwise" in types:
        return Choice("float32", "depthwise convolutions are slower in bfloat16 on a CPU")
    if "conv" not in types:
        return Choice("float32", "no convolutions, which alone gain from less on a CPU")
    if "recurrent" in types:
        return Choice("float32", "recurrent layers are slower in bfloat16")
    if feature := bfloat16_feature():
        return Choice("bfloat16", f"convolutions run about 1.7 times faster with this CPU's {feature}")
    return Choice("float32", "this CPU has no bfloat16 arithmetic")


def _xla(types: set[str], gpu: bool, blocks: bool, deterministic: bool, replicas: int) -> Choice:
    if deterministic:
        return Choice("off", "Keras does not compile what must be deterministic")
    if replicas > 1:
        return Choice("off", "several devices train together")
    if gpu and "recurrent" in types:
        return Choice("off", "cuDNN's kernels for recurrent layers are faster, and XLA cannot use them")
    if gpu:
        return Choice("off", "not measured on this GPU; `keraskit autotune` does")
    if types == {"dense"}:
        return Choice("on", "dense layers alone: fused into fewer, faster kernels")
    if types & {"conv", "depthwise"}:
        return Choice("off", "convolutions are up to 3.6 times slower with XLA on a CPU")
    if blocks:
        return Choice("on", "LSTM layers take their steps back in blocks, up to 2.9 times as fast")
    if "sequences" in types:
        return Choice("off", "recurrent layers that give out every step are slower with XLA on a CPU")
    return Choice("on", "a recurrent layer's step is one fused loop")


def _steps_per_execution(
    model: keras.Model, types: set[str], settings: RunConfig, epoch: int, named: bool, replicas: int
) -> Choice:
    """Choose how many steps TensorFlow takes at once: each handover from Python takes about a millisecond."""
    if replicas > 1:
        return Choice(1, "several devices train together, step by step")
    if named and types != {"dense"}:
        return Choice(1, "so that the files of a step whose loss is no number can be named")
    arithmetic = 3 * operations(model) * (settings.batch_size or 1)
    most = min(32 if types == {"dense"} else 8, epoch, settings.save_every or epoch)
    steps = min(most, int(AT_ONCE / max(arithmetic, 1.0)))
    if steps < 2 or "recurrent" in types:  # a loop over time takes longer than its arithmetic
        return Choice(1, "steps are long enough to be handed over one by one")
    return Choice(steps, "steps are short, so Python hands them over several at a time")


def _micro_batches(types: set[str], elsewhere: bool, threads: int, whole: str) -> Choice:
    """Choose how many micro-batches to compute side by side."""
    if elsewhere or "recurrent" not in types:
        return Choice(1, "each layer fills the device by itself")
    if threads == 1 or whole:
        return Choice(1, "one thread" if threads == 1 else whole)
    return Choice(min(threads, MOST_MICRO_BATCHES), "a recurrent layer's loop over time keeps one core busy")


def bfloat16_feature() -> str | None:
    """Name what this CPU has for bfloat16; None for nothing."""
    return next((feature for feature in BFLOAT16_FEATURES if feature in system.cpu_features()), None)


def _device(asked: str) -> Choice:
    gpus = tf.config.list_physical_devices("GPU")
    name, _, number = asked.partition(":")
    if name == "gpu" and int(number or 0) >= len(gpus):
        problem = f"--device {asked}, but TensorFlow sees {len(gpus)} GPUs here, counted from 0."
        raise UserError(problem, "Use --device cpu, or see `keraskit doctor` for what is missing.")
    if name == "cpu" or not gpus:
        with contextlib.suppress(RuntimeError):  # this process has used its GPUs already
            tf.config.set_visible_devices([], "GPU")  # else TensorFlow takes all of their memory
        return Choice(asked, ASKED) if name == "cpu" else Choice("cpu", "TensorFlow sees no GPU")
    with contextlib.suppress(RuntimeError):
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    found = _gpu_details(int(number or 0))[0]
    return Choice("gpu", f"found: {found}") if asked == "auto" else Choice(asked, f"{ASKED}: {found}")


def _gpu_details(number: int) -> tuple[str, tuple[int, int]]:
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[number])
    return details.get("device_name", "GPU"), details.get("compute_capability", (0, 0))


def describe() -> dict[str, Any]:
    """Describe this machine for the manifest and the report."""
    return {
        "cpu": system.cpu_name(),
        "cores": system.cores(),
        "cpu_features": sorted(system.cpu_features() & {"avx2", "avx512f", *BFLOAT16_FEATURES}),
        "gpus": [_gpu_details(i)[0] for i in range(len(tf.config.list_physical_devices("GPU")))],
        "system": platform.platform(),
    }
