"""A recipe's own flags: the keyword arguments of its functions, typed and documented where they stand."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Interval

from keraskit.config import KNOBS, flag
from keraskit.errors import UserError
from keraskit.kinds import fitted
from keraskit.suggest import did_you_mean

FILLED = {*KNOBS, "model", "steps"}  # arguments of these names the runner fills in
FOLLOWED = ("build", "classes")  # as many as the data has
BOUNDS = dict.fromkeys(("learning_rate", "width", "alpha"), Interval(gt=0, le=10))  # of floats that are called so
Functions = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Option:
    """One flag of a recipe's own: the argument of one of its functions, data, build, compile or run.

    Its help is its line in the docstring of the function, or else of the function's module.
    """

    name: str
    function: str
    kind: Any
    default: Any
    help: str


def options_of(functions: Functions) -> dict[str, Option]:
    """The flags of a recipe by name. An argument that several functions take is one flag."""
    import docstring_parser

    found: dict[str, Option] = {}
    for which, function in functions.items():
        # What several functions of a module take is told once, in the module's own docstring.
        docs = [getattr(function, "__globals__", {}).get("__doc__"), function.__doc__]
        parsed = [docstring_parser.parse(inspect.cleandoc(doc or "")) for doc in docs]
        texts = {p.arg_name: p.description or "" for doc in parsed for p in doc.params}
        for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
            open_ended = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            if open_ended or name in FILLED or name in found or (which, name) == FOLLOWED:
                continue
            kind = type(parameter.default) if parameter.annotation is parameter.empty else parameter.annotation
            kind = Annotated[float, BOUNDS[name]] if kind is float and name in BOUNDS else kind
            found[name] = Option(name, which, kind, parameter.default, texts.get(name, ""))
    return found


def checked(functions: Functions, given: Mapping[str, Any], recipe: str) -> dict[str, Any]:
    """Options as their types have them, less those that are as by default.

    Raises UserError where the recipe has no such flag, or a value does not fit it.
    """
    known = options_of(functions)
    if unknown := [name for name in given if name not in known]:
        meant = did_you_mean(unknown[0], [*known, *KNOBS])
        raise UserError(f"{recipe} has no flag {unknown[0]}. {meant}", f"Its own are {', '.join(known)}.")
    values = {name: fitted(value, known[name].kind, flag(name)) for name, value in given.items()}
    return {name: value for name, value in values.items() if value != known[name].default}


def call(function: Callable[..., Any], options: Mapping[str, Any], **filled: Any) -> Any:
    """Call one of a recipe's functions with those of its flags and of the runner's values that it takes."""
    takes = inspect.signature(function).parameters
    return function(**{name: value for name, value in {**options, **filled}.items() if name in takes})
