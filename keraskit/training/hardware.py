"""Decides where and how a run computes, CPU or GPU, precision, XLA, and says why in words."""

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
from keraskit.training.acceleration import lstm

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
class Place:
    """Where a run computes; settled before any tensor exists."""

    device: Choice
    threads: Choice
    cluster: Cluster

    @property
    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """The device as a context; of several, none: a strategy places what they compute."""
        if self.cluster.strategy is not None:
            return contextlib.nullcontext()
        kind, _, number = self.device.value.partition(":")
        return tf.device(f"/{kind.upper()}:{number or 0}")


def occupy(config: RunConfig) -> Place:
    """Take hold of the hardware: threads, device, memory growth, cluster. TensorFlow allows it before any tensor alone.

    Raises:
        UserError: what was asked for is not there, or comes too late.
    """
    _limit_threads(config.threads)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()  # it holds for the whole process
    device = _device(config.device)
    threads = Choice(config.threads, ASKED) if config.threads else Choice(system.cores(), "one per core")
    return Place(device, threads, join(config))


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


def choose(
    model: keras.Model,
    settings: RunConfig,
    place: Place,
    steps: int,
    named: bool = False,
    whole: str = "",
) -> Choices:
    """Decide for this model, built in float32, on this machine; a flag other than `auto` is obeyed.

    Args:
        model, settings, place: by which to decide.
        steps: in one epoch.
        named: each example has a file, whose name should be told if its loss is no number.
        whole: why a batch cannot be taken apart, where it cannot.

    Raises:
        UserError: what was asked for cannot go together.
    """
    gpu = place.device.value.startswith("gpu")
    kinds = layer_kinds(model)
    replicas = place.cluster.share.replicas
    micro_batches = _micro_batches(kinds, gpu or replicas > 1, place.threads.value, whole)
    precision = _precision(kinds, gpu, place.device.value)
    if settings.precision != "auto":
        precision = Choice(settings.precision, ASKED)
    in_blocks = {"recurrent", "looped"} & kinds == {"recurrent"} and precision.value == "float32" and not whole
    xla = _xla(kinds, gpu, in_blocks)
    if settings.xla != "auto":
        lost = gpu and settings.xla == "on" and "recurrent" in kinds
        xla = Choice(settings.xla, ASKED + "; NOTE: this keeps recurrent layers from cuDNN's faster kernels" * lost)
    if settings.deterministic:
        if settings.xla == "on":
            raise UserError("--deterministic and --xla on do not go together in Keras.", "Leave one of them out.")
        xla = Choice("off", "Keras does not compile what must be deterministic")
    if replicas > 1:
        if settings.xla == "on":
            raise UserError("--xla on, but several devices train together.", "TensorFlow compiles for one; leave it.")
        xla = Choice("off", "several devices train together")
        execution = Choice(1, "several devices train together, step by step")
    else:
        most = min(steps, settings.save_every or steps)
        execution = _steps_per_execution(model, kinds, settings.batch_size or 1, most, named)
    together = Choice(replicas, str(place.cluster))
    return Choices(place.device, place.threads, precision, xla, execution, micro_batches, together)


def _steps_per_execution(model: keras.Model, kinds: set[str], batch_size: int, most: int, named: bool) -> Choice:
    """How many steps Python hands over at a time, `most` at the most: each handover takes it about a millisecond."""
    if named and kinds != {"dense"}:
        return Choice(1, "so that the files of a step whose loss is no number can be named")
    arithmetic = 3 * operations(model) * batch_size
    steps = min(32 if kinds == {"dense"} else 8, most, int(AT_ONCE / max(arithmetic, 1.0)))
    if steps < 2 or "recurrent" in kinds:  # a loop over time takes longer than its arithmetic
        return Choice(1, "steps are long enough to be handed over one by one")
    return Choice(steps, "steps are short, so Python hands them over several at a time")


def layer_kinds(model: keras.Model) -> set[str]:
    """Which kinds of arithmetic a model does: "dense", "conv", "depthwise", "recurrent", and "sequences" where a
    recurrent layer gives out every step; "unfused" where cuDNN has no kernel for it, "looped" where we have none."""
    kinds = set()
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.RNN):
            kinds |= {"recurrent"} | ({"sequences"} if layer.return_sequences else set())
            if isinstance(layer, keras.layers.LSTM | keras.layers.GRU) and not _has_cudnn_kernel(layer):
                kinds.add("unfused")
            kinds |= set() if lstm.is_plain(layer) else {"looped"}
        elif isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.SeparableConv2D):
            kinds.add("depthwise")
        elif "Conv" in type(layer).__name__:
            kinds.add("conv")
        elif isinstance(layer, keras.layers.Dense):
            kinds.add("dense")
    return kinds


def _has_cudnn_kernel(layer: keras.layers.RNN) -> bool:
    """Whether an LSTM or GRU is of the kind that cuDNN computes; what Keras asks before it uses it."""
    cell = layer.cell
    plain = keras.activations.serialize(cell.activation) == "tanh"
    gates = keras.activations.serialize(cell.recurrent_activation) == "sigmoid"
    return plain and gates and not cell.recurrent_dropout and not layer.unroll and cell.use_bias


def bfloat16_feature() -> str | None:
    """What this CPU has for bfloat16; None for nothing."""
    return next((feature for feature in BFLOAT16_FEATURES if feature in system.cpu_features()), None)


def _device(asked: str) -> Choice:
    kind, _, number = asked.partition(":")
    index = int(number or 0)
    gpus = tf.config.list_physical_devices("GPU")
    if kind == "gpu" and index >= len(gpus):
        seen = f"TensorFlow sees {len(gpus)} GPUs here, counted from 0" if gpus else "TensorFlow sees no GPU here"
        advice = "Use --device cpu, or see `keraskit doctor` for what is missing."
        raise UserError(f"--device {asked}, but {seen}.", advice)
    if kind == "cpu" or not gpus:
        with contextlib.suppress(RuntimeError):  # this process has used its GPUs already
            tf.config.set_visible_devices([], "GPU")  # else TensorFlow takes all of their memory
        if index and index >= len(tf.config.list_logical_devices("CPU")):
            raise UserError(f"--device {asked}, but there is no such part of the CPU.", "Use --device cpu.")
        return Choice(asked if kind == "cpu" else "cpu", ASKED if kind == "cpu" else "TensorFlow sees no GPU")
    try:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        growth = "memory grows as needed"
    except RuntimeError:  # this process has used the GPU already
        growth = "its memory was configured before"
    value = f"gpu:{index}" if index else "gpu"
    return Choice(value, f"{ASKED if asked != 'auto' else 'found'}: {_gpu_details(index)[0]}; {growth}")


def _limit_threads(asked: int | None) -> None:
    """Compute with so many threads. TensorFlow takes that before its first computation only."""
    if asked is None:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(asked)
        tf.config.threading.set_inter_op_parallelism_threads(asked)
    except RuntimeError as error:
        if tf.config.threading.get_intra_op_parallelism_threads() != asked:
            problem = f"--threads {asked} comes too late: TensorFlow has computed in this process already."
            raise UserError(problem, "Start a new process.") from error


def _precision(kinds: set[str], gpu: bool, device: str) -> Choice:
    if gpu:
        name, capability = _gpu_details(int(device.partition(":")[2] or 0))
        if capability >= TENSOR_CORES:
            return Choice("float16", f"{name} has tensor cores; the loss is scaled")
        return Choice("float32", f"{name} has no tensor cores")
    feature = bfloat16_feature()
    if "conv" not in kinds:
        kind = "depthwise convolutions are slower in bfloat16 on a CPU" if "depthwise" in kinds else ""
        return Choice("float32", kind or "no convolutions, which alone gain from less on a CPU")
    if feature and not kinds & {"depthwise", "recurrent"}:
        return Choice("bfloat16", f"convolutions run about 1.7 times faster with this CPU's {feature}")
    slower = "depthwise convolutions" if "depthwise" in kinds else "recurrent layers"
    return Choice("float32", f"{slower} are slower in bfloat16" if feature else "this CPU has no bfloat16 arithmetic")


def _xla(kinds: set[str], gpu: bool, in_blocks: bool) -> Choice:
    if gpu and "recurrent" not in kinds:
        return Choice("off", "not measured on this GPU; `keraskit autotune` does")
    if gpu and "unfused" in kinds:
        return Choice("off", "not measured on this GPU. NOTE: cuDNN has no kernel for a recurrent layer like these")
    if gpu:
        return Choice("off", "cuDNN's kernels for recurrent layers are faster, and XLA cannot use them")
    if kinds == {"dense"}:
        return Choice("on", "dense layers alone: fused into fewer, faster kernels")
    if kinds & {"conv", "depthwise"}:
        return Choice("off", "convolutions are up to 3.6 times slower with XLA on a CPU")
    if in_blocks:
        return Choice("on", "LSTM layers take their steps back in blocks, up to 2.9 times as fast")
    if "sequences" in kinds:
        return Choice("off", "recurrent layers that give out every step are slower with XLA on a CPU")
    return Choice("on", "a recurrent layer's step is one fused loop")


def _micro_batches(kinds: set[str], elsewhere: bool, threads: int, whole: str) -> Choice:
    """How many shares of a batch to compute side by side."""
    if elsewhere or "recurrent" not in kinds:
        return Choice(1, "each layer fills the device by itself")
    if threads == 1 or whole:
        return Choice(1, "one thread" if threads == 1 else whole)
    return Choice(min(threads, MOST_MICRO_BATCHES), "a recurrent layer's loop over time keeps one core busy")


def _gpu_details(number: int = 0) -> tuple[str, tuple[int, int]]:
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[number])
    return details.get("device_name", "GPU"), details.get("compute_capability", (0, 0))


def describe() -> dict[str, Any]:
    """What this machine is, for the manifest and the report."""
    return {
        "cpu": system.cpu_name(),
        "cores": system.cores(),
        "cpu_features": sorted(system.cpu_features() & {"avx2", "avx512f", *BFLOAT16_FEATURES}),
        "gpus": [_gpu_details(i)[0] for i in range(len(tf.config.list_physical_devices("GPU")))],
        "system": platform.platform(),
    }
