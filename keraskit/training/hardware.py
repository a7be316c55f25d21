"""Choose device, threads, precision, XLA and the like for a run, each with its reason."""

import contextlib
import dataclasses
import os
import re
from typing import Any

import keras
import tensorflow as tf

from keraskit import start, system
from keraskit.config import RunConfig
from keraskit.datasets.array_files import explained
from keraskit.distributed.cluster import Cluster, join
from keraskit.errors import UserError
from keraskit.models import graph, keras_internals
from keraskit.training import acceleration, examine

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
OF_STEPS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")  # methods of callbacks
ASKED = "as asked"
OWN = "code of one's own may take nothing else"
PLAIN = re.compile(  # layers that learn alike in fewer digits; before BatchNormalization a bias would drift by rounding
    "Functional|Sequential|InputLayer|Conv[123]D|Dense|Flatten|Dropout|(Global)?(Max|Average)Pooling[123]D|Activation"
    "|(Leaky)?ReLU|ZeroPadding[123]D|Concatenate|Rescaling|Random(Flip|Rotation|Translation|Shear|Zoom)"
)
UNSHARED = ("gradient_accumulation_steps", "ema_overwrite_frequency")  # options of optimizers on one device


@dataclasses.dataclass(frozen=True)
class Choice:
    """A chosen value and its reason."""

    value: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})"


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of a run, configured before any tensor is created."""

    device: Choice
    threads: Choice
    cluster: Cluster

    @property
    def gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.value.startswith("gpu")

    @property
    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """The device as a context manager; a null context under a strategy, which places operations itself."""
        return contextlib.nullcontext() if self.cluster.strategy else tf.device(self.device.value.upper())


def configure(config: RunConfig, alone: bool = False) -> Devices:
    """Configure threads, device, memory growth and, unless `alone`, the cluster, before any tensor is created."""
    known = tf.config.threading.get_intra_op_parallelism_threads()  # 0 until somebody sets them
    known = known or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)  # which TensorFlow obeys, and does not tell
    threads = Choice(known, "as this process began") if known else Choice(system.cores(), "one per core")
    if config.threads:
        threads = Choice(config.threads, ASKED)
        with explained(f"--threads {config.threads} comes too late", "TensorFlow takes them once: in a new process."):
            tf.config.threading.set_intra_op_parallelism_threads(config.threads)
            tf.config.threading.set_inter_op_parallelism_threads(config.threads)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()  # it holds for the whole process
    devices = Devices(_device(config.device), threads, Cluster() if alone else join(config))
    if onednn():  # on some CPUs it then says, once, that it has no booleans
        with start.quietly("oneDNN supports DT_"), tf.device("/CPU:0"):
            tf.transpose([[True]])
    return devices


def _device(asked: str) -> Choice:
    gpus = tf.config.list_physical_devices("GPU")
    name, _, number = asked.partition(":")
    if name == "gpu" and int(number or 0) >= len(gpus):
        problem = f"--device {asked}, but TensorFlow sees {len(gpus)} GPUs here, counted from 0."
        raise UserError(problem, "See `doctor`.")
    with contextlib.suppress(RuntimeError):  # the GPUs are initialised already
        if name == "cpu" or not gpus:
            tf.config.set_visible_devices([], "GPU")  # otherwise TensorFlow reserves all of their memory
        for gpu in gpus if name != "cpu" else ():
            tf.config.experimental.set_memory_growth(gpu, True)
    if name != "auto":
        return Choice(asked, ASKED)
    if gpus:
        return Choice("gpu", f"found: {_gpu_details(0)[0]}")
    return Choice("cpu", f"TensorFlow sees no GPU{', kernels of oneDNN' if onednn() else ''}")


def _gpu_details(number: int) -> tuple[str, tuple[int, int]]:
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[number])
    return details.get("device_name", "GPU"), details.get("compute_capability", (0, 0))


def choose(
    model: keras.Model, settings: RunConfig, devices: Devices, steps: int, callbacks: Any = (), data: Any = None
) -> dict[str, Choice]:
    """Make all choices, by name, for a compiled float32 model on this machine; flags other than `auto` are kept.

    `steps` is the number of steps per epoch, `data` the training split. Raises UserError if flags cannot be combined.
    """
    several, types = devices.cluster.shard.replicas > 1, layer_types(model)
    if (unable := without_xla(model, several)) and settings.xla == "on":
        raise UserError(f"--xla on: {unable}.", "Leave it out.")
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if several and any(getattr(optimizer, name, None) for name in UNSHARED):
        problem = "Keras neither accumulates gradients nor overwrites weights by averages on several devices."
        raise UserError(problem, "Take one, or leave that out of the optimizer.")
    whole = acceleration.hindrance(model) if settings.acceleration else "no acceleration, as asked"
    precision, xla = Choice(settings.precision, ASKED), Choice(settings.xla, ASKED)
    if precision.value == "auto":
        precision = _precision(types, devices)
        if why := needs_float32(model, precision.value, data):
            precision = Choice("float32", why)
    micro, at_once = Choice(1, whole or "each layer fills the device by itself"), Choice(1, "several devices train")
    if "recurrent" in types and not (devices.gpu or several or whole):
        most = min(devices.threads.value, 4)  # of a batch of 64: fewer examples per core do not pay off
        micro = Choice(most, "a recurrent layer's loop over time keeps one core busy")
    if xla.value == "auto":  # with micro-batches it compiles no metrics
        own = "" if acceleration.all_of_keras(model, micro.value == 1) else OWN
        blocks = "recurrent" in types and "loops" not in types and precision.value == "float32" and not whole
        xla = Choice("off", unable or own) if unable or own else _xla(types, devices, blocks)
    if model.run_eagerly:
        at_once = Choice(1, unable)
    elif not all(acceleration.is_keras(getattr(each, name)) for each in callbacks for name in OF_STEPS):
        at_once = Choice(1, "a callback of one's own is called at each step")
    elif not several:
        at_once = _steps_per_execution(model, types, settings, steps)
    together = Choice(devices.cluster.shard.replicas, str(devices.cluster))
    chosen = {"device": devices.device, "threads": devices.threads, "precision": precision, "xla": xla}
    return chosen | {"steps_per_execution": at_once, "micro_batches": micro, "devices": together}


def without_xla(model: keras.Model, several: bool = False) -> str:
    """Return why XLA cannot compile a model's steps, on `several` devices or one, or ''."""
    if model.run_eagerly:
        return "the recipe compiles with run_eagerly"
    if keras_internals.deterministic() or several:  # which holds for the process
        return "Keras compiles neither deterministic steps nor those of several devices"
    return "" if all(each.supports_jit for each in model._flatten_layers()) else "a layer cannot take it"


def needs_float32(model: keras.Model, dtype: str, data: Any = None) -> str:
    """Return why a compiled model is to be trained in float32 on the `data` split, not in `dtype`, or ''."""
    if not acceleration.all_of_keras(model):
        return OWN
    if any(each.compute_dtype != "float32" for each in model._flatten_layers() if each.trainable_weights):
        return "but where the recipe's layers have a dtype of their own"
    odd = [each.name for each in acceleration.operations_of(model) if not PLAIN.fullmatch(type(each).__name__)]
    if odd and dtype != "float32":
        return f"{odd[0]} may need its digits"
    return examine.too_coarse(data, dtype) if data and dtype != "float32" else ""


def layer_types(model: keras.Model) -> set[str]:
    """Return a model's layer types: "dense", "conv", "recurrent"; "sequences" for `return_sequences`.

    "loops" is for recurrent layers whose gradient acceleration.py leaves to Keras.
    """
    types = set()
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.RNN):
            types |= {"recurrent", "sequences"} if layer.return_sequences else {"recurrent"}
            types |= set() if acceleration.is_plain(layer) else {"loops"}  # whose gradient does not go in blocks
        elif "Conv" in type(layer).__name__:
            types.add("conv")
        elif isinstance(layer, keras.layers.Dense):
            types.add("dense")
    return types


def _precision(types: set[str], devices: Devices) -> Choice:
    if devices.gpu:
        name, capability = _gpu_details(int(devices.device.value.partition(":")[2] or 0))
        fast = capability >= (7, 0)  # the first with faster mixed float16
        return Choice("float16" if fast else "float32", f"{name} has {'' if fast else 'no '}tensor cores")
    if "conv" not in types:
        return Choice("float32", "plain convolutions alone gain from less on a CPU")
    if feature := bfloat16_feature():
        return Choice("bfloat16", f"convolutions run about 1.7 times faster with this CPU's {feature}")
    return Choice("float32", "this CPU has no bfloat16 arithmetic")


def _xla(types: set[str], devices: Devices, blocks: bool) -> Choice:
    if devices.gpu:
        return Choice("off", "cuDNN's kernels" if "recurrent" in types else "not measured on this GPU: see autotune")
    if types <= {"dense"}:
        return Choice("on", "neither convolutions nor loops: fused into fewer, faster kernels")
    if "conv" in types:
        return Choice("off", "convolutions are up to 3.6 times slower with XLA on a CPU")
    if blocks:
        return Choice("on", "LSTM layers take their steps back in blocks, up to 2.9 times as fast")
    if "sequences" in types:
        return Choice("off", "recurrent layers that give out every step are slower with XLA on a CPU")
    return Choice("on", "a recurrent layer's step is one fused loop")


def _steps_per_execution(model: keras.Model, types: set[str], settings: RunConfig, epoch: int) -> Choice:
    """Choose the number of steps per execution: each call from Python takes about a millisecond."""
    arithmetic = 3 * graph.operations(model) * (settings.batch_size or 1)
    most = min(32 if types == {"dense"} else 8, epoch, settings.save_every or epoch)
    steps = min(most, int(4e10 / max(arithmetic, 1.0)))  # a fifth of a second per execution, on two cores
    if steps < 2 or "recurrent" in types:  # loops over time are slower than this estimate
        return Choice(1, "steps are long enough to be handed over one by one")
    return Choice(steps, "steps are short, so Python hands them over several at a time")


def bfloat16_feature() -> str | None:
    """Return the CPU feature for bfloat16 arithmetic, or None."""
    return next((each for each in ("avx512_bf16", "amx_bf16") if each in system.cpu_features()), None)


def onednn() -> bool | None:
    """Whether TensorFlow was told to use oneDNN; None if it chose, which is to do so on CPUs with AVX512_VNNI."""
    return {"1": True, "0": False}.get(os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""))


def describe() -> dict[str, Any]:
    """Describe this machine for the manifest and the report."""
    return {
        "cpu": system.cpu_name(),
        "cores": system.cores(),
        "bfloat16": bfloat16_feature(),
        "onednn": onednn(),
        "gpus": [_gpu_details(i)[0] for i in range(len(tf.config.list_physical_devices("GPU")))],
    }
