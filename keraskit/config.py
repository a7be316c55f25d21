"""RunConfig, the typed and documented knobs of a run, and Settings, the same with every value set."""

from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Interval
from cyclopts import Group, Parameter
from pydantic import AfterValidator, BeforeValidator, Field

from keraskit.augment.augmentation import Augmentation
from keraskit.system import expanded
from keraskit.typed import Seed, Typed

QUICK_EXAMPLES, QUICK_EPOCHS = 512, 2
# Sections of a help page, in order; TRAINING is the default.
DATA, TRAINING, MODEL, AUGMENTATION, HARDWARE = map(
    Group.create_ordered, ("What to train on", "Training", "Model", "Augmentation", "Hardware")
)
_hardware = Parameter(group=HARDWARE)
_beside = Field(exclude=True)  # knobs that affect neither a run's result nor its identity


class RunConfig(Typed, use_attribute_docstrings=True):
    """The knobs of one run. `None` means the recipe's value. A recipe's functions add flags of their own."""

    epochs: Annotated[int | None, Interval(ge=1, le=100_000)] = None
    """Passes over the training split."""
    batch_size: Annotated[int | None, Interval(ge=1, le=65_536)] = None
    """Examples per step."""
    seed: Seed = 0
    """Seed of initial weights, order of examples and dropout. Same seed, same run."""
    seeds: Annotated[int, Interval(ge=1, le=1_000), _beside] = 1
    """Train this many times, with consecutive seeds, and report the mean and its standard error."""
    limit: Annotated[int | None, Interval(ge=1, le=1_000_000_000), Parameter(group=DATA)] = None
    """Use at most this many examples of each split."""
    steps_per_epoch: Annotated[int | None, Interval(ge=1, le=10_000_000)] = None
    """End each epoch after this many steps, instead of when every example was seen."""
    patience: Annotated[int | None, Interval(ge=1, le=100_000)] = None
    """Stop after this many epochs without a better value of the recipe's monitor (`keras.callbacks.EarlyStopping`)."""
    class_weight: Literal["balanced"] | None = None
    """Weight training examples so that all classes count equally: n / (classes * examples of the class)."""
    quick: bool = False
    """Tiny run to check that everything works: at most 512 examples of each split, fewer photographs, and 2 epochs."""
    output_dir: Annotated[Path, AfterValidator(expanded)] = Path("runs")
    """Folder in which the run creates its own folder."""
    weights: Annotated[str | None, BeforeValidator(lambda v: str(v) if isinstance(v, Path) else v)] = None
    """Initial weights: a .keras, .weights.h5 or .h5 file, a run's folder, none, or imagenet if the recipe has it."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu(:0)?|gpu(:\d{1,3})?)$"), _hardware] = "auto"
    """Device to compute on: auto, cpu, gpu, or gpu:1 for the second. Naming a missing GPU is an error."""
    devices: Annotated[int | None, Interval(ge=1, le=1_024), _hardware] = None
    """Devices of this machine that train together: GPUs, or virtual devices of one CPU to try it out (default: one)."""
    workers: Annotated[str | None, _hardware, _beside] = None
    """Machines that train together: comma-separated host:port, the same list on all (docs/distributed.md)."""
    worker_index: Annotated[int | None, Interval(ge=0, le=65_535), _hardware, _beside] = None
    """Index of this process in --workers, from 0."""
    wait: Annotated[int, Interval(ge=1, le=86_400), _hardware, _beside] = 120
    """Seconds that a worker waits for the others at the start."""
    threads: Annotated[int | None, Interval(ge=1, le=4_096), _hardware] = None
    """Compute threads (default: one per core)."""
    precision: Annotated[Literal["auto", "float32", "bfloat16", "float16"], _hardware] = "auto"
    """Compute dtype of the forward and backward pass; weights are always float32."""
    xla: Annotated[Literal["auto", "on", "off"], _hardware] = "auto"
    """Compile the training step with XLA."""
    acceleration: Annotated[bool, _hardware] = True
    """Compute batches of recurrent models in parallel micro-batches, and gradients of LSTM layers in blocks."""
    deterministic: Annotated[bool, _hardware] = False
    """Use only deterministic operations. On a CPU runs repeat without it, to the bit."""
    save_every: Annotated[int | None, Interval(ge=1, le=10_000_000)] = None
    """Save a checkpoint every this many steps too, not only after each epoch."""
    resume: Annotated[bool, _beside] = False
    """Resume the newest unfinished run with these flags and this code in the output folder; if none, start one."""
    callbacks: str | None = None
    """Your own Keras callbacks: file.py:function, where the function returns a list."""
    tensorboard: bool = False
    """Write TensorBoard logs to the run's folder after each epoch (`keras.callbacks.TensorBoard`)."""
    augment: Annotated[Augmentation, Parameter(group=AUGMENTATION)] = Field(default_factory=Augmentation)
    """Random transforms and standardisation of the training pictures."""


class Settings(RunConfig, use_attribute_docstrings=False):
    """The knobs of a run with every value set.

    Args:
        epochs, batch_size: the user's, else the recipe's.
        options: arguments of the recipe's functions that differ from their defaults, by name.
        requested: knobs and options as the user gave them.
    """

    epochs: int = 0
    batch_size: int = 0
    options: dict[str, Any] = Field(default={})
    requested: dict[str, dict[str, Any]] = Field(default={"knobs": {}, "options": {}})

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments for the recipe's functions, by name; None is left out, so that the recipe's default holds."""
        values = {name: getattr(self, name) for name in KNOBS}
        values = {name: value for name, value in values.items() if value is not None} | self.options
        return values | {"weights": None} if self.weights == "none" else values


KNOBS = tuple(RunConfig.model_fields)
