"""A recipe's own flags: the keyword arguments of its functions, typed and documented where they stand."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from annotated_types import Interval
from cyclopts import Parameter
from pydantic import Field, create_model

from keraskit.config import DATA, KNOBS, MODEL, TRAINING, Settings, flag
from keraskit.errors import UserError, did_you_mean
from keraskit.typed import Typed

FILLED = {*KNOBS, "model", "steps"}  # arguments of these names the runner fills in
FOLLOWED = ("build", "classes")  # as many as the data has
BOUNDS = dict.fromkeys(("learning_rate", "width", "alpha"), Interval(gt=0, le=10))  # of floats that are called so
ALIASES = {"learning_rate": "--lr"}
SECTIONS = {"data": DATA, "build": MODEL, "compile": TRAINING}
Functions = Mapping[str, Callable[..., Any]]


def options_of(functions: Functions) -> type[Typed]:
    """The flags of a recipe, as a model with a field for each; an argument that several functions take is one flag.

    Its help is its line in the docstring of the function, or else of the function's module.
    """
    import docstring_parser

    fields: dict[str, Any] = {}
    for which, function in functions.items():
        # What several functions of a module take is told once, in the module's own docstring.
        docs = [getattr(function, "__globals__", {}).get("__doc__"), function.__doc__]
        parsed = [docstring_parser.parse(inspect.cleandoc(doc or "")) for doc in docs]
        texts = {p.arg_name: p.description or "" for doc in parsed for p in doc.params}
        for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
            open_ended = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            if open_ended or name.startswith("_") or name in FILLED or name in fields or (which, name) == FOLLOWED:
                continue
            kind, default = parameter.annotation, parameter.default
            if kind is parameter.empty:
                kind = type(default) if default not in (None, parameter.empty) else str | None
            word = Parameter(
                flag(name),
                alias=ALIASES.get(name),
                group=SECTIONS.get(which),
                consume_multiple=1,
                negative=None if default is True else (),  # nobody turns off what is off
                negative_iterable=(),
            )
            bound = (BOUNDS[name],) if kind is float and name in BOUNDS else ()
            default = ... if default is parameter.empty else default
            fields[name] = (Annotated[kind, *bound, word], Field(default, description=texts.get(name)))
    with warnings.catch_warnings(action="ignore"):  # an argument may have the name of a model's method
        return create_model("Options", __base__=Typed, **fields)


def checked(functions: Functions, given: Mapping[str, Any], recipe: str) -> dict[str, Any]:
    """The options that were given, as their types have them.

    Raises UserError where the recipe has no such flag, or a value does not fit it.
    """
    model = options_of(functions)
    if unknown := [name for name in given if name not in model.model_fields]:
        meant = did_you_mean(unknown[0], [*model.model_fields, *KNOBS])
        raise UserError(f"{recipe} has no flag {unknown[0]}. {meant}", f"Its own are {', '.join(model.model_fields)}.")
    return {name: vars(model(**given))[name] for name in given}


def defaults(functions: Functions) -> dict[str, Any]:
    """The arguments' defaults, but for those of which several functions have different ones."""
    found: dict[str, list[Any]] = {}
    for function in functions.values():
        for name, parameter in inspect.signature(function).parameters.items():
            found.setdefault(name, []).append(parameter.default)
    return {name: several[0] for name, several in found.items() if all(each == several[0] for each in several)}


def filled(settings: Settings) -> dict[str, Any]:
    """The run's own values for arguments of their names; None, which leaves it to the recipe, is no value."""
    values = {name: getattr(settings, name) for name in KNOBS}
    return {name: value for name, value in values.items() if value is not None} | (
        {"weights": None} if settings.weights == "none" else {}
    )


def call(function: Callable[..., Any], options: Mapping[str, Any], **filled: Any) -> Any:
    """Call one of a recipe's functions with those of its flags and of the runner's values that it takes."""
    takes = inspect.signature(function).parameters
    return function(**{name: value for name, value in {**options, **filled}.items() if name in takes})
