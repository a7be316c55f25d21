"""RunConfig: every knob of a run, once, typed and documented. The command line's flags are made from it."""

import dataclasses
import numbers
import re
import shlex
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from keraskit.augment import Augmentation
from keraskit.errors import UserError

QUICK_EXAMPLES, QUICK_EPOCHS = 512, 2
_BOUNDS = {
    "epochs": (1, 100_000),
    "batch_size": (1, 65_536),
    "steps_per_epoch": (1, 10_000_000),
    "save_every": (1, 10_000_000),
    "limit": (1, 1_000_000_000),
    "threads": (1, 4_096),
    "devices": (1, 1_024),
    "worker_index": (0, 65_535),
    "seed": (0, 2**31 - 1),
}


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The knobs of one run. `None` means: as the recipe says."""

    epochs: int | None = None
    """Passes over the training split (default: the recipe's)."""
    batch_size: int | None = None
    """Examples in one step (default: the recipe's)."""
    learning_rate: float | None = None
    """Learning rate of the optimizer (default: the recipe's)."""
    seed: int = 0
    """Decides the initial weights, the order of examples and dropout. Same seed, same run."""
    limit: int | None = None
    """Use at most this many examples of each split."""
    steps_per_epoch: int | None = None
    """End each epoch after this many steps (default: when every example was seen)."""
    quick: bool = False
    """A real but tiny run, to see that everything works: 512 examples of each split, at most 2 epochs."""
    output_dir: Path = Path("runs")
    """Folder under which the run makes its own folder."""
    data_dir: Path | None = None
    """Folder that holds the data set's files, or for photographs also a zip archive (default: searched for)."""
    download: bool = False
    """Fetch the photographs of cats and dogs, 786 MB, once, if a recipe wants them and --data-dir names none."""
    dataset: str | None = None
    """For recipes on MNIST, other data: fashion_mnist, cifar10, an .npz in Keras's layout, or a folder of IDX files."""
    classes: Path | None = None
    """For recipes on MNIST, a file of class names, one per line (default: in the .npz, or labels.txt beside it)."""
    cache: Literal["auto", "on", "off"] = "auto"
    """For pictures in files: keep them decoded in memory, or decode them in every epoch."""
    weights: str | None = None
    """Start from these weights: a file, .weights.h5 or .h5, or imagenet where a recipe knows Keras's published ones."""
    device: str = "auto"
    """Where to compute: auto, cpu, gpu, or gpu:1 for the second. A GPU that is asked for and missing is an error."""
    devices: int | None = None
    """Devices of this machine that train together: GPUs, or parts of one CPU, to try it out (default: one)."""
    workers: str | None = dataclasses.field(default=None, compare=False)
    """Machines that train together, host:port of each with commas between, the same on all (docs/distributed.md)."""
    worker_index: int | None = dataclasses.field(default=None, compare=False)
    """Which of --workers this process is, counted from 0."""
    threads: int | None = None
    """Threads that compute (default: one per core)."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic of the forward and backward pass; weights are always kept in float32."""
    xla: Literal["auto", "on", "off"] = "auto"
    """Compile the training step with XLA."""
    deterministic: bool = False
    """Let TensorFlow use only operations that repeat to the bit on a GPU too. A CPU's do in any case."""
    save_every: int | None = None
    """Save the training's state after every so many steps too, not only after every epoch."""
    resume: bool = dataclasses.field(default=False, compare=False)
    """Go on with the newest unfinished run of these flags in the output folder; where there is none, start one."""
    augment: Augmentation = Augmentation()  # noqa: RUF009  (frozen)
    """Random transforms of the training pictures, and their standardisation."""

    def __post_init__(self) -> None:
        for name in ("output_dir", "data_dir", "classes"):  # a path may be given as text
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, Path(getattr(self, name)))
        if isinstance(self.augment, dict):  # and an augmentation as its parameters
            object.__setattr__(self, "augment", Augmentation.of(self.augment))
        for name in ("dataset", "weights"):  # and text as a path
            if isinstance(getattr(self, name), Path):
                object.__setattr__(self, name, str(getattr(self, name)))
        for field in dataclasses.fields(self):
            if not _fits(value := getattr(self, field.name), field.type):
                kinds = [getattr(kind, "__name__", kind) for kind in get_args(field.type) or (field.type,)]
                expected = ", ".join(str(kind) for kind in kinds if kind != "NoneType")
                raise UserError(f"{_flag(field.name)} {value!r:.200} makes no sense: expected {expected}.")
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UserError(f"{_flag(name)} {value} makes no sense: expected a whole number from {low} to {high}.")
        if not re.fullmatch(r"auto|cpu|gpu(:\d{1,3})?", self.device):
            raise UserError(f"--device {self.device} makes no sense: expected auto, cpu, gpu, or gpu:1.")
        if self.learning_rate is not None and not 0 < self.learning_rate <= 10:
            raise UserError(f"--learning-rate {self.learning_rate} makes no sense: expected more than 0, at most 10.")


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value given from Python is of a field's type."""
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    names = {int: numbers.Integral, float: numbers.Real}
    kinds = [names.get(each, each) for each in get_args(kind) or (kind,)]
    return isinstance(value, tuple(kinds)) and (bool in kinds or not isinstance(value, bool))


def flags(knobs: dict[str, Any], prefix: str = "") -> str:
    """`{"batch_size": 64, "quick": True}` as the flags that give them, quoted: `--batch-size 64 --quick`."""
    words: list[str] = []
    for name, value in knobs.items():
        if isinstance(value, Augmentation):
            words.append(flags(changed(value), f"{prefix}{name}."))
            continue
        if isinstance(value, bool):
            words.append(_flag(name, prefix, "" if value else "no-"))
        else:
            several = value if isinstance(value, list | tuple) else [value]
            words += [_flag(name, prefix), *(shlex.quote(str(v)) for v in several)]
    return " ".join(words)


def changed(described: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, by name."""
    fields = dataclasses.fields(described)
    values = {f.name: getattr(described, f.name) for f in fields if f.compare}
    return {f.name: values[f.name] for f in fields if f.compare and values[f.name] != f.default}


def _flag(name: str, prefix: str = "", negation: str = "") -> str:
    return f"--{prefix}{negation}{name.replace('_', '-')}"
