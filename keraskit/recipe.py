"""Recipe: what a recipe module declares, and the flags that its functions' arguments are. Imports no TensorFlow."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Interval
from cyclopts import Parameter
from pydantic import Field, create_model

from keraskit.augment import Augmentation
from keraskit.config import DATA, KNOBS, MODEL, TRAINING, flag
from keraskit.errors import Typed, UserError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from keraskit.datasets.splits import Splits

BEYOND = "beyond the document"
NAMELESS = "recipe"  # what a recipe is called that has neither a name nor a file
FILLED = {*KNOBS, "model", "steps"}  # arguments of these names the runner fills in
FOLLOWED = ("build", "classes")  # as many as the data has
RATE = (Parameter(alias="--lr"), Interval(gt=0))  # of a learning rate
SECTIONS = {"data": DATA, "build": MODEL, "compile": TRAINING}


@dataclass(frozen=True)
class Pretrained:
    """Where a recipe's first weights come from.

    Args:
        load: fills a model with Keras's published weights; returns the names of layers that keep their initial ones.
        weights: what `--weights` is when the user gives none.
        features: the layer below which all is frozen: its output is computed once, the layers above are trained on it.
        after: the recipe whose run this one starts from: it is found, or run first.
    """

    load: Callable[[keras.Model], list[str]]
    weights: str | None = "imagenet"
    features: str | None = None
    after: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A model and how it is trained. The keyword arguments of `build`, `compile` and `data` are the recipe's flags.

    Args:
        build: returns the uncompiled model.
        compile: given the model, calls `model.compile`. An argument `steps` is filled in with the steps of the whole
            run, for schedules, and `batch_size` with the batch's.
        data: returns the splits that the model learns from, or what `from_arrays` returns.
        epochs: passes over the training split.
        batch_size: examples in one step.
        steps_per_epoch: steps in one epoch (default: until every example was seen); a quick run does not keep to it.
        section: the document's section, or several with commas; empty where a model is beyond the document.
        expected: what a full run on the recipe's own data reaches, by metric, such as `{"test_accuracy": 0.982}`.
        expected_with: the flags it was measured with, where they are not the defaults: the recipe's own, and `weights`,
            the name of Keras's file.
        callbacks: returns Keras callbacks that take part in `fit`.
        augment: what happens to training pictures unless flags say otherwise.
        augmented_by: the flag of `build` with which the model augments by itself: `augment` is left out then.
        monitor: the validation metric that decides which epoch's weights are kept, such as `val_f1_score_0`; with its
            direction, as in `("val_mine", "max")`, where Keras does not know it.
        class_output: the output that names the class, where the model has several.
        figure: makes a sheet of samples, pictures and captions, from the classes' names, and the first test examples'
            targets and predictions, where pictures with their class would not show what the model does.
        pretrained: where the first weights come from, unless they are drawn at random.
        quick: what `--quick` bounds besides epochs: `limit`, `batch_size`, and flags of the recipe's own.
        name: what it is called (default: like its file; where there is none, as in a notebook, "recipe").
        source: its file; whatever loads the recipe knows it.
    """

    build: Callable[..., keras.Model]
    compile: Callable[..., None]
    data: Callable[..., Splits]
    epochs: int
    batch_size: int
    steps_per_epoch: int | None = None
    section: str = ""
    expected: Mapping[str, float] = field(default_factory=dict)
    expected_with: Mapping[str, Any] = field(default_factory=dict)
    callbacks: Callable[[], Sequence[keras.callbacks.Callback]] | None = None
    augment: Augmentation = field(default_factory=Augmentation)
    augmented_by: str = ""
    monitor: str | tuple[str, Literal["min", "max"]] = "val_accuracy"
    class_output: str | None = None
    figure: Callable[[Sequence[str], Any, Any], tuple[np.ndarray, list[str]]] | None = None
    pretrained: Pretrained | None = None
    quick: Mapping[str, Any] = field(default_factory=dict)
    name: str = NAMELESS
    source: Path | None = None

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or not self.name.isprintable():
            raise UserError(f"A recipe cannot be called {self.name!r}.", "Its runs lie in a folder of this name.")

    @property
    def features(self) -> str | None:
        """The layer whose output is computed once, if there is one."""
        return self.pretrained.features if self.pretrained else None

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """Those whose keyword arguments are flags."""
        return {"data": self.data, "build": self.build, "compile": self.compile}


def options_of(functions: Mapping[str, Callable[..., Any]]) -> type[Typed]:
    """The flags of a recipe, as a model with a field for each; an argument that several functions take is one flag.

    Its help is its line in the docstring of the function, or else of the function's module.
    """
    import docstring_parser

    fields: dict[str, Any] = {}
    for which, function in functions.items():
        docs = [getattr(function, "__globals__", {}).get("__doc__"), function.__doc__]
        parsed = [docstring_parser.parse(inspect.cleandoc(doc or "")) for doc in docs]
        texts = {p.arg_name: p.description or "" for doc in parsed for p in doc.params}
        for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
            open_ended = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            if open_ended or name.startswith("_") or name in FILLED or name in fields or (which, name) == FOLLOWED:
                continue
            annotation, default = parameter.annotation, parameter.default
            if annotation is parameter.empty:
                annotation = str | None if default in (None, parameter.empty) else type(default)
            word = Parameter(flag(name), group=SECTIONS.get(which), consume_multiple=1, negative_iterable=())
            negation = Parameter(negative=None if default is True else ())  # nobody turns off what is off
            rate = RATE if (name, annotation) == ("learning_rate", float) else ()
            default = ... if default is parameter.empty else default
            fields[name] = (Annotated[annotation, word, negation, *rate], Field(default, description=texts.get(name)))
    with warnings.catch_warnings(action="ignore"):  # an argument may have the name of a model's method
        return create_model("Options", __base__=Typed, **fields)


def checked(functions: Mapping[str, Callable[..., Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as their types have them. Raises UserError for one that is none, or does not fit."""
    options = options_of(functions)(**given)
    return {name: getattr(options, name) for name in given}


def defaults(functions: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """The arguments' defaults, but for those of which several functions have different ones."""
    found: dict[str, list[Any]] = {}
    for function in functions.values():
        for name, parameter in inspect.signature(function).parameters.items():
            found.setdefault(name, []).append(parameter.default)
    return {name: several[0] for name, several in found.items() if all(each == several[0] for each in several)}


def call(function: Callable[..., Any], known: Mapping[str, Any], **filled: Any) -> Any:
    """Call one of a recipe's functions with those of the known values, and of the runner's, that it takes."""
    takes = inspect.signature(function).parameters
    return function(**{name: value for name, value in {**known, **filled}.items() if name in takes})
