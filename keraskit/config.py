"""RunConfig: every knob of a run, once, typed and documented. The command line's flags are made from it."""

import dataclasses
import inspect
import numbers
import re
import shlex
from collections.abc import Callable, Mapping, Sized
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from cyclopts import Group, Parameter

from keraskit.augment import Augmentation
from keraskit.errors import UserError
from keraskit.suggest import did_you_mean

QUICK_EXAMPLES, QUICK_EPOCHS = 512, 2
# The sections of a help page, in order; what names none of them is the training's.
DATA, TRAINING, MODEL, AUGMENTATION, HARDWARE = (
    Group(title, sort_key=place)
    for place, title in enumerate(("What to train on", "Training", "Model", "Augmentation", "Hardware"))
)
_data, _hardware = Parameter(group=DATA), Parameter(group=HARDWARE)
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
    """Passes over the training split."""
    batch_size: int | None = None
    """Examples in one step."""
    learning_rate: float | None = None
    """Learning rate of the optimizer (default: the recipe's)."""
    seed: int = 0
    """Decides the initial weights, the order of examples and dropout. Same seed, same run."""
    limit: Annotated[int | None, _data] = None
    """Use at most this many examples of each split."""
    steps_per_epoch: int | None = None
    """End each epoch after this many steps, and not when every example was seen."""
    quick: bool = False
    """A real but tiny run, to see that everything works: 512 examples of each split, at most 2 epochs."""
    output_dir: Path = Path("runs")
    """Folder under which the run makes its own folder."""
    data_dir: Annotated[Path | None, _data] = None
    """Folder that holds the data set's files, or for photographs also a zip archive (default: searched for)."""
    download: Annotated[bool, _data] = False
    """Fetch the photographs of cats and dogs, 786 MB, once, if a recipe wants them and --data-dir names none."""
    dataset: Annotated[str | None, _data] = None
    """For recipes on MNIST, other data: fashion_mnist, cifar10, an .npz in Keras's layout, or a folder of IDX files."""
    classes: Annotated[Path | None, _data] = None
    """For recipes on MNIST, a file of class names, one per line (default: in the .npz, or labels.txt beside it)."""
    cache: Annotated[Literal["auto", "on", "off"], _data] = "auto"
    """For pictures in files: keep them decoded in memory, or decode them in every epoch."""
    weights: str | None = None
    """Start from these weights: a file, .weights.h5 or .h5, or imagenet where a recipe knows Keras's published ones."""
    device: Annotated[str, _hardware] = "auto"
    """Where to compute: auto, cpu, gpu, or gpu:1 for the second. A GPU that is asked for and missing is an error."""
    devices: Annotated[int | None, _hardware] = None
    """Devices of this machine that train together: GPUs, or parts of one CPU, to try it out (default: one)."""
    workers: Annotated[str | None, _hardware] = dataclasses.field(default=None, compare=False)
    """Machines that train together, host:port of each with commas between, the same on all (docs/distributed.md)."""
    worker_index: Annotated[int | None, _hardware] = dataclasses.field(default=None, compare=False)
    """Which of --workers this process is, counted from 0."""
    threads: Annotated[int | None, _hardware] = None
    """Threads that compute (default: one per core)."""
    precision: Annotated[Literal["auto", "float32", "bfloat16", "float16"], _hardware] = "auto"
    """Arithmetic of the forward and backward pass; weights are always kept in float32."""
    xla: Annotated[Literal["auto", "on", "off"], _hardware] = "auto"
    """Compile the training step with XLA."""
    deterministic: Annotated[bool, _hardware] = False
    """Let TensorFlow use only operations that repeat to the bit on a GPU too. A CPU's do in any case."""
    save_every: int | None = None
    """Save the training's state after every so many steps too, not only after every epoch."""
    resume: bool = dataclasses.field(default=False, compare=False)
    """Go on with the newest unfinished run of these flags in the output folder; where there is none, start one."""
    augment: Annotated[Augmentation, Parameter(group=AUGMENTATION)] = Augmentation()  # noqa: RUF009  (frozen)
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
        for name, kind in get_type_hints(type(self)).items():
            _check_kind(flag(name), getattr(self, name), kind)
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UserError(f"{flag(name)} {value} makes no sense: expected a whole number from {low} to {high}.")
        if not re.fullmatch(r"auto|cpu|gpu(:\d{1,3})?", self.device):
            raise UserError(f"--device {self.device} makes no sense: expected auto, cpu, gpu, or gpu:1.")
        if self.learning_rate is not None and not 0 < self.learning_rate <= 10:
            raise UserError(f"--learning-rate {self.learning_rate} makes no sense: expected more than 0, at most 10.")


def _check_kind(name: str, value: Any, kind: Any) -> None:
    """Raise UserError where a value given from Python is not of the type that a field or an argument declares."""
    if not _fits(value, kind):
        union = get_origin(kind) in (Union, UnionType, Literal)
        words = [each.__name__ if type(each) is type else str(each) for each in (get_args(kind) if union else [kind])]
        expected = ", ".join(each for each in words if each != "NoneType")
        raise UserError(f"{name} {value!r:.200} makes no sense: expected {expected}.")


def check_arguments(function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Raise UserError where a function of a recipe has no such arguments, or not of such types."""
    parameters = inspect.signature(function).parameters
    for name, value in arguments.items():
        if name not in parameters:
            problem = f"{function.__name__} has no argument {name!r:.200}. {did_you_mean(str(name), parameters)}"
            raise UserError(problem, f"It has {', '.join(parameters)}.")
        _check_kind(f"{function.__name__}'s {name} =", value, parameters[name].annotation)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a type as annotations have it. Sequences may be lists, as JSON has them."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in arguments
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in arguments)
    if origin is tuple:
        each_kind = arguments[:1] * len(value) if arguments[-1] is ... and isinstance(value, Sized) else arguments
        same = isinstance(value, list | tuple) and len(value) == len(each_kind)
        return same and all(map(_fits, value, each_kind))
    if kind is Any or not isinstance(kind, type):
        return True
    if isinstance(value, bool):
        return kind is bool
    numeric: dict[Any, Any] = {int: numbers.Integral, float: numbers.Real}
    return isinstance(value, numeric.get(kind, kind))


def flags(knobs: dict[str, Any], prefix: str = "") -> str:
    """`{"batch_size": 64, "quick": True}` as the flags that give them, quoted: `--batch-size 64 --quick`."""
    words: list[str] = []
    for name, value in knobs.items():
        if isinstance(value, Augmentation):
            words.append(flags(changed(value), f"{prefix}{name}."))
            continue
        if isinstance(value, bool):
            words.append(flag(name, prefix, "" if value else "no-"))
        else:
            several = value if isinstance(value, list | tuple) else [value]
            words += [flag(name, prefix), *(shlex.quote(str(v)) for v in several)]
    return " ".join(words)


def changed(described: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, by name."""
    fields = dataclasses.fields(described)
    values = {f.name: getattr(described, f.name) for f in fields if f.compare}
    return {f.name: values[f.name] for f in fields if f.compare and values[f.name] != f.default}


def flag(name: str, prefix: str = "", negation: str = "") -> str:
    return f"--{prefix}{negation}{name.replace('_', '-')}"
