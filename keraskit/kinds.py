"""Checks values against the types that they are declared with; what does not fit becomes one line."""

import dataclasses
import functools
from typing import Annotated, Any, get_args, get_origin

from keraskit.errors import UserError, printable


def fitted(value: Any, kind: Any, name: str) -> Any:
    """The value as its type has it: whole numbers of any library as int, lists as tuples where these are declared.

    The type may be annotated with bounds (`annotated_types.Interval`). Raises UserError where the value does not fit;
    it names the flag or field, and says what was expected.
    """
    from pydantic import ValidationError

    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if dataclasses.is_dataclass(plain) and isinstance(plain, type):
        if isinstance(value, plain):
            return value  # it has checked itself
        raise _refusal(name, value, f"input should be an {plain.__name__}")
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value == "":
        raise _refusal(name, value, "expected a value")
    try:
        if isinstance(value, bool) and not leaves(kind) & {bool, Any}:  # for Python a whole number
            raise _refusal(name, value, "it takes a value, and is no switch")
        found = _adapter(kind).validate_python(value)
    except ValidationError as error:
        raise refusal(name, value, error) from error
    if isinstance(value, str) and isinstance(found, int | float):  # the command line has made numbers of its words
        raise _refusal(name, value, "input should be a number, not text")
    return found


def refusal(name: str, value: Any, error: Any) -> UserError:
    """What pydantic says of a value, in a line."""
    return _refusal(name, value, error.errors()[0]["msg"].removeprefix("Value error, "))


def _refusal(name: str, value: Any, expected: str) -> UserError:
    return UserError(f"{name} {printable(f'{value!r:.200}')} makes no sense: {expected[0].lower()}{expected[1:]}.")


def check_counts(least: int = 1, most: int = 1_000_000, **counts: int) -> None:
    """Raise UserError unless all are whole numbers from `least` to `most`; their names are their flags'."""
    for name, count in counts.items():
        if not least <= count <= most:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag} {count} makes no sense: expected a whole number from {least} to {most:,}.")


@functools.cache
def _adapter(kind: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))


def leaves(kind: Any) -> set[Any]:
    """The plain types that a type is made of: int and None of `tuple[int, ...] | None`."""
    inner = [each for each in get_args(kind) if isinstance(each, type) or get_args(each)]
    return set().union(*map(leaves, inner)) if inner else {kind}
