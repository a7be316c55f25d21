"""Checks values against the types that they are declared with; what does not fit becomes one line."""

from __future__ import annotations

import dataclasses
import functools
from typing import Annotated, Any, get_args, get_origin

from keraskit.errors import UserError, printable


def fitted(value: Any, kind: Any, name: str) -> Any:
    """The value as its type has it: whole numbers of any library as int, lists as tuples where these are declared.

    Args:
        value: from Python, JSON or the command line.
        kind: a type, which may be annotated with bounds (`annotated_types.Interval`).
        name: of the flag or field, for the error.

    Raises:
        UserError: it does not fit; it says what was expected.
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
        raise _refusal(name, value, "it is empty")
    try:
        if isinstance(value, bool) and not _takes_bools(kind):  # for Python a whole number
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


def check_counts(most: int = 1_000_000, **counts: int) -> None:
    """Raise UserError unless all are whole numbers from 1 to `most`; their names are their flags'."""
    for name, count in counts.items():
        if not 1 <= count <= most:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag} {count} makes no sense: expected a whole number from 1 to {most:,}.")


@functools.cache
def _adapter(kind: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))


@functools.cache
def _takes_bools(kind: Any) -> bool:
    from pydantic import ValidationError

    try:
        return type(_adapter(kind).validate_python(True, strict=True)) is bool
    except ValidationError:
        return False
