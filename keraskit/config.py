"""RunConfig: every knob of a run, once, typed and documented; Settings: the same with nothing left open."""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Interval
from cyclopts import Group, Parameter
from pydantic import BeforeValidator, Field

from keraskit.augment import Augmentation
from keraskit.errors import Seed, Typed

QUICK_EXAMPLES, QUICK_EPOCHS = 512, 2
# The sections of a help page, in order; what names none of them is the training's.
DATA, TRAINING, MODEL, AUGMENTATION, HARDWARE = (
    Group(title, sort_key=place)
    for place, title in enumerate(("What to train on", "Training", "Model", "Augmentation", "Hardware"))
)
_hardware = Parameter(group=HARDWARE)
_beside = Field(exclude=True)  # what makes no difference to a run's result, nor to which run it is


class RunConfig(Typed, use_attribute_docstrings=True):
    """The knobs of one run. `None` means: as the recipe says. A recipe's own functions add flags of theirs."""

    epochs: Annotated[int | None, Interval(ge=1, le=100_000)] = None
    """Passes over the training split."""
    batch_size: Annotated[int | None, Interval(ge=1, le=65_536)] = None
    """Examples in one step."""
    seed: Seed = 0
    """Decides the initial weights, the order of examples and dropout. Same seed, same run."""
    seeds: Annotated[int, Interval(ge=1, le=1_000), _beside] = 1
    """Train so many times, with this seed and those after it, and end with the mean and its standard error."""
    limit: Annotated[int | None, Interval(ge=1, le=1_000_000_000), Parameter(group=DATA)] = None
    """Use at most this many examples of each split."""
    steps_per_epoch: Annotated[int | None, Interval(ge=1, le=10_000_000)] = None
    """End each epoch after this many steps, and not when every example was seen."""
    class_weight: Literal["balanced"] | None = None
    """Weigh training examples so that each class counts the same: n / (classes * examples of the class)."""
    quick: bool = False
    """A real but tiny run, to see that everything works: 512 examples of each split, at most 2 epochs."""
    output_dir: Path = Path("runs")
    """Folder under which the run makes its own folder."""
    weights: Annotated[str | None, BeforeValidator(lambda v: str(v) if isinstance(v, Path) else v)] = None
    """Start from these weights: a file, .weights.h5 or .h5, or imagenet where a recipe knows Keras's published ones."""
    device: Annotated[str, Field(pattern=r"^(auto|(cpu|gpu)(:\d{1,3})?)$"), _hardware] = "auto"
    """Where to compute: auto, cpu, gpu, or gpu:1 for the second. A GPU that is asked for and missing is an error."""
    devices: Annotated[int | None, Interval(ge=1, le=1_024), _hardware] = None
    """Devices of this machine that train together: GPUs, or parts of one CPU, to try it out (default: one)."""
    workers: Annotated[str | None, _hardware, _beside] = None
    """Machines that train together, host:port of each with commas between, the same on all (docs/distributed.md)."""
    worker_index: Annotated[int | None, Interval(ge=0, le=65_535), _hardware, _beside] = None
    """Which of --workers this process is, counted from 0."""
    wait: Annotated[int, Interval(ge=1, le=86_400), _hardware, _beside] = 120
    """Seconds that a worker waits for the others at the start."""
    threads: Annotated[int | None, Interval(ge=1, le=4_096), _hardware] = None
    """Threads that compute (default: one per core)."""
    precision: Annotated[Literal["auto", "float32", "bfloat16", "float16"], _hardware] = "auto"
    """Arithmetic of the forward and backward pass; weights are always kept in float32."""
    xla: Annotated[Literal["auto", "on", "off"], _hardware] = "auto"
    """Compile the training step with XLA."""
    acceleration: Annotated[bool, _hardware] = True
    """Compute a batch of a recurrent model in micro-batches side by side, and the gradient of LSTM layers in blocks."""
    deterministic: Annotated[bool, _hardware] = False
    """Let TensorFlow use only operations that repeat to the bit on a GPU too. A CPU's do in any case."""
    save_every: Annotated[int | None, Interval(ge=1, le=10_000_000)] = None
    """Save the training's state after every so many steps too, not only after every epoch."""
    resume: Annotated[bool, _beside] = False
    """Go on with the newest unfinished run of these flags in the output folder; where there is none, start one."""
    callbacks: str | None = None
    """Keras callbacks of your own, file.py:function; the function returns a list of them."""
    tensorboard: bool = False
    """Write curves for TensorBoard into the run's folder, epoch by epoch (`keras.callbacks.TensorBoard`)."""
    augment: Annotated[Augmentation, Parameter(group=AUGMENTATION)] = Field(default_factory=Augmentation)
    """Random transforms of the training pictures, and their standardisation."""


class Settings(RunConfig, use_attribute_docstrings=False):
    """A run's knobs with nothing left open.

    Args:
        epochs, batch_size: the user's, else the recipe's.
        options: the arguments of the recipe's own functions that differ from their defaults, by name.
        requested: the knobs and the options as the user gave them.
    """

    epochs: int = 0
    batch_size: int = 0
    options: dict[str, Any] = Field(default={})
    requested: dict[str, dict[str, Any]] = Field(default={"knobs": {}, "options": {}})

    @property
    def arguments(self) -> dict[str, Any]:
        """What a recipe's functions are called with, by name; None, which leaves it to the recipe, is no value."""
        values = {name: getattr(self, name) for name in KNOBS}
        values = {name: value for name, value in values.items() if value is not None} | self.options
        return values | {"weights": None} if self.weights == "none" else values


KNOBS = tuple(RunConfig.model_fields)


def flags(knobs: dict[str, Any], prefix: str = "") -> str:
    """`{"batch_size": 64, "quick": True}` as the flags that give them, quoted: `--batch-size 64 --quick`."""
    words: list[str] = []
    for name, value in knobs.items():
        if isinstance(value, dict):
            words.append(flags(value, f"{prefix}{name}."))
        elif isinstance(value, bool):
            words.append(flag(name, prefix, "" if value else "no-"))
        else:
            several = value if isinstance(value, list | tuple) else [value]
            words += [flag(name, prefix), *(shlex.quote(str(v)) for v in several)]
    return " ".join(words)


def flag(name: str, prefix: str = "", negation: str = "") -> str:
    """`batch_size` as `--batch-size`."""
    return f"--{prefix}{negation}{name.replace('_', '-')}"
