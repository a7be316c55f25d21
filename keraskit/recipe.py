"""Recipe, what a recipe module declares, and its functions' arguments as flags. Does not import TensorFlow."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Interval
from cyclopts import Parameter
from pydantic import Field, create_model

from keraskit.augment.augmentation import Augmentation
from keraskit.config import DATA, KNOBS, MODEL, TRAINING
from keraskit.errors import UserError, flag, lasting, sentence
from keraskit.typed import Typed

if TYPE_CHECKING:
    import keras
    import numpy as np

    from keraskit.datasets.splits import Splits

NAMELESS = "recipe"  # name of a recipe with neither name nor file
FILLED = {*KNOBS, "model", "steps"}  # arguments that the runner fills in
FOLLOWED = ("build", "classes")  # an argument that is set from the data, and no flag
ARRAYS = "Give arrays: from_arrays(x_train, y_train, x_test, y_test); of a dataset np.concatenate joins the batches."
KINDS: dict[str, tuple[Any, tuple[str, ...]]] = {  # expected types of a Recipe's fields
    "a whole number from 1": (Integral, ("epochs", "batch_size")),
    "a text": (str, ("section", "augmented_by", "name")),
    "a text, or a pair of it and min or max": (str | tuple, ("monitor",)),
    "a dict": (Mapping, ("expected", "expected_spread", "expected_with", "quick")),
    "an Augmentation": (Augmentation, ("augment",)),
}
SECTIONS = {"data": DATA, "build": MODEL, "compile": TRAINING}


@dataclass(frozen=True)
class Pretrained:
    """Source of a recipe's initial weights.

    Args:
        load: loads Keras's published weights into a model; returns the names of layers that keep their initial ones.
        weights: default of `--weights`.
        features: name of the last frozen layer: its output is computed once, and the layers above are trained on it.
        after: recipe to start from: its run is found, or run first.
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
        compile: calls `model.compile`. Its arguments `steps`, of the whole run, and `batch_size` are filled in.
        data: returns the splits, or what `from_arrays` returns.
        epochs: passes over the training split.
        batch_size: examples per step.
        steps_per_epoch: steps per epoch (default: until every example was seen); ignored by quick runs.
        section: section of the tutorial, several separated by commas; empty if beyond the tutorial.
        expected: metrics of a full run on the recipe's own data, such as `{"test_accuracy": 0.982}`.
        expected_spread: standard deviations of these between seeds, where seeds differ more than test examples do.
        expected_with: flags of that run that differ from the defaults, and `weights`, the name of Keras's file.
        callbacks: returns Keras callbacks for `fit`.
        augment: default augmentation of training pictures.
        augmented_by: flag of `build` that makes the model augment by itself; `augment` is left out then.
        monitor: validation metric that selects the best epoch, such as `val_f1_score_0`; with its direction, as in
            `("val_mine", "max")`, if Keras cannot infer it.
        class_output: name of the class output, if the model has several outputs.
        figure: returns pictures and captions of a sheet of samples, from class names, and targets and predictions of
            the first test examples, if pictures with their class would not show what the model does.
        pretrained: source of the initial weights (default: random).
        quick: values that `--quick` sets besides epochs: `limit`, `batch_size`, and the recipe's own flags.
        name: name of the recipe (default: the file's; without a file, as in a notebook, "recipe").
        source: file of the recipe, set on loading.
    """

    build: Callable[..., keras.Model]
    compile: Callable[..., None]
    data: Callable[..., Splits]
    epochs: int = 10
    batch_size: int = 32
    steps_per_epoch: int | None = None
    section: str = ""
    expected: Mapping[str, float] = field(default_factory=dict)
    expected_spread: Mapping[str, float] = field(default_factory=dict)
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
        for words, (kind, names) in KINDS.items():
            for name, value in ((each, getattr(self, each)) for each in names):
                if not isinstance(value, kind) or (kind is Integral and value < 1):
                    raise UserError(f"Recipe: {name} is {lasting(value)}, expected {words}.")
        for name, value in self.expected.items():
            if not isinstance(value, Real) or (name.endswith("accuracy") and not 0 <= value <= 1):
                raise UserError(f"Recipe: expected has {name} {value!r}.", "Give numbers; accuracies from 0 to 1.")
        if Path(self.name).name != self.name or not self.name.isprintable():
            raise UserError(f"A recipe cannot be called {self.name!r}.", "Its runs lie in a folder of this name.")
        for name, function in {**self.functions, "callbacks": self.callbacks, "figure": self.figure}.items():
            if not callable(function or dict) or hasattr(function, "layers"):
                advice = ARRAYS if name == "data" else "Name the function, without calling it, or write a lambda."
                raise UserError(f"{name}= takes a function, and is a {type(function).__name__}.", advice)
        if "model" not in inspect.signature(self.compile).parameters:
            raise UserError(f"{place(self.compile)} has no argument called model.", "The model comes by this name.")

    @property
    def features(self) -> str | None:
        """Name of the last frozen layer, if features are computed once."""
        return self.pretrained.features if self.pretrained else None

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """Functions with keyword arguments that are flags."""
        return {"data": self.data, "build": self.build, "compile": self.compile}


def options_of(functions: Mapping[str, Callable[..., Any]]) -> type[Typed]:
    """Create a model of a recipe's flags, one field each; an argument of several functions is one flag.

    Help is taken from the docstring of the function, or else of its module.
    """
    import docstring_parser

    fields: dict[str, Any] = {}
    for which, function in functions.items():
        docs = [getattr(function, "__globals__", {}).get("__doc__"), function.__doc__]
        parsed = [docstring_parser.parse(inspect.cleandoc(doc or "")) for doc in docs]
        texts = {p.arg_name: p.description or "" for doc in parsed for p in doc.params}
        try:
            parameters = inspect.signature(function, eval_str=True).parameters
        except NameError as error:
            raise UserError(f"{place(function)}: {sentence(error)}", "Import types of flags at run time.") from error
        for name, parameter in parameters.items():
            if name == "augment":  # whose value is an Augmentation, and true
                raise UserError(
                    f"{place(function)}: every run has flags called augment.", "Call the argument otherwise."
                )
            open_ended = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            if open_ended or name.startswith("_") or name in FILLED or name in fields or (which, name) == FOLLOWED:
                continue
            annotation, default = parameter.annotation, parameter.default
            if annotation is parameter.empty:
                kind: Any = type(default)
                if kind in (tuple, list) and {*map(type, default)} in ({bool}, {int}, {float}, {str}):
                    kind = kind[type(default[0]), ...] if kind is tuple else kind[type(default[0])]
                annotation = Any if default is None or default is parameter.empty else kind
            several = get_origin(annotation) in (Union, UnionType) and len({*get_args(annotation)} - {NoneType}) > 1
            words: Any = {"n_tokens": 1} if several else {"consume_multiple": 1}  # of several types, one word has one
            word = Parameter(flag(name), group=SECTIONS.get(which), **words, negative_iterable=())
            negation = Parameter(negative=None if default is True else ())  # --no-x if x is on
            rate = (Parameter(alias="--lr"), Interval(gt=0)) if (name, annotation) == ("learning_rate", float) else ()
            default = ... if default is parameter.empty else default
            fields[name] = (Annotated[annotation, word, negation, *rate], Field(default, description=texts.get(name)))
    with warnings.catch_warnings(action="ignore"):  # an argument may be named like a method of the model
        return create_model("Options", __base__=Typed, **fields)


def call(function: Callable[..., Any], known: Mapping[str, Any], **filled: Any) -> Any:
    """Call a recipe's function with those of the `known` and `filled` values that it accepts."""
    takes = inspect.signature(function).parameters
    return function(**{name: value for name, value in {**known, **filled}.items() if name in takes})


def place(function: Callable[..., Any]) -> str:
    """Return file, line and name of a function of the user's, for a message."""
    code = getattr(function, "__code__", None)
    return f"{Path(code.co_filename).name}, line {code.co_firstlineno}: {code.co_name}" if code else repr(function)
