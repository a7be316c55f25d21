"""Decides where and how a run computes, CPU or GPU, precision, XLA, and says why in words."""

from __future__ import annotations

import dataclasses
import platform
from typing import Any

import keras
import tensorflow as tf

from keraskit import machine
from keraskit.config import RunConfig
from keraskit.errors import UserError

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
BFLOAT16_FEATURES = ("avx512_bf16", "amx_bf16")
TENSOR_CORES = (7, 0)  # the first compute capability whose mixed float16 is faster


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was chosen, and why."""

    value: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})"


@dataclasses.dataclass(frozen=True)
class Choices:
    """All that was decided for one run; each is printed and recorded."""

    device: Choice
    precision: Choice
    xla: Choice
    steps_per_execution: Choice

    @property
    def scope(self) -> tf.device:
        """The device as a context."""
        return tf.device("/GPU:0" if self.device.value == "gpu" else "/CPU:0")

    @property
    def policy(self) -> str:
        """The Keras dtype policy of the precision."""
        return POLICIES[self.precision.value]


def choose(model: keras.Model, config: RunConfig, steps: int) -> Choices:
    """Decide for this model on this machine.

    Args:
        model: built in float32; its kinds of layers decide.
        config: a flag other than `auto` is obeyed.
        steps: steps in one epoch.

    Raises:
        UserError: a GPU was asked for and there is none.
    """
    device = _device(config.device)
    on_gpu = device.value == "gpu"
    kinds = layer_kinds(model)
    asked = "as asked"
    precision = _precision(kinds, on_gpu) if config.precision == "auto" else Choice(config.precision, asked)
    xla = _xla(kinds, on_gpu) if config.xla == "auto" else Choice(config.xla, asked)
    if kinds == {"dense"} and steps > 1:
        several = Choice(min(32, steps), "steps are short, so Python hands them over many at a time")
    else:
        several = Choice(1, "steps are long enough to be handed over one by one")
    return Choices(device, precision, xla, several)


def layer_kinds(model: keras.Model) -> set[str]:
    """Which kinds of arithmetic a model does: "dense", "conv", "depthwise", "recurrent"."""
    kinds = set()
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.RNN):
            kinds.add("recurrent")
        elif isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.SeparableConv2D):
            kinds.add("depthwise")
        elif "Conv" in type(layer).__name__:
            kinds.add("conv")
        elif isinstance(layer, keras.layers.Dense):
            kinds.add("dense")
    return kinds


def _device(asked: str) -> Choice:
    gpus = tf.config.list_physical_devices("GPU")
    if asked == "gpu" and not gpus:
        raise UserError(
            "--device gpu, but TensorFlow sees no GPU here.",
            "Use --device cpu, or see `keraskit doctor` for what is missing.",
        )
    if asked == "cpu" or not gpus:
        return Choice("cpu", "as asked" if asked == "cpu" else "TensorFlow sees no GPU")
    try:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        growth = "memory grows as needed"
    except RuntimeError:  # this process has used the GPU already
        growth = "its memory was configured before"
    return Choice("gpu", f"{'as asked' if asked == 'gpu' else 'found'}: {_gpu_details()[0]}; {growth}")


def _precision(kinds: set[str], on_gpu: bool) -> Choice:
    if on_gpu:
        name, capability = _gpu_details()
        if capability >= TENSOR_CORES:
            return Choice("float16", f"{name} has tensor cores; the loss is scaled")
        return Choice("float32", f"{name} has no tensor cores")
    feature = next((f for f in BFLOAT16_FEATURES if f in machine.cpu_features()), None)
    if "depthwise" in kinds:
        return Choice("float32", "depthwise convolutions are slower in bfloat16 on a CPU")
    if "conv" in kinds and "recurrent" not in kinds and feature:
        return Choice("bfloat16", f"convolutions run about 1.7 times faster with this CPU's {feature}")
    if "conv" in kinds:
        return Choice(
            "float32", "recurrent layers are slower in bfloat16" if feature else "this CPU has no bfloat16 arithmetic"
        )
    return Choice("float32", "no convolutions, which alone gain from less on a CPU")


def _xla(kinds: set[str], on_gpu: bool) -> Choice:
    if on_gpu:
        return Choice("off", "not measured on this GPU; try --xla on")
    if kinds == {"dense"}:
        return Choice("on", "dense layers alone: fused into fewer, faster kernels")
    if "conv" in kinds:
        return Choice("off", "convolutions are up to 3.6 times slower with XLA on a CPU")
    return Choice("off", "recurrent layers compile slowly; try --xla on for long runs")


def _gpu_details() -> tuple[str, tuple[int, int]]:
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    return details.get("device_name", "GPU"), details.get("compute_capability", (0, 0))


def hardware() -> dict[str, Any]:
    """What this machine is, for the manifest and the report."""
    gpus = [_gpu_details()[0]] if tf.config.list_physical_devices("GPU") else []
    notable = sorted(machine.cpu_features() & {"avx2", "avx512f", *BFLOAT16_FEATURES})
    return {
        "cpu": machine.cpu_name(),
        "cores": machine.cores(),
        "cpu_features": notable,
        "gpus": gpus,
        "system": platform.platform(),
    }
