"""UserError, a one-line error with advice; Typed, a validated record; text that a terminal can show."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Self, get_args

from annotated_types import Interval
from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, ValidationInfo, field_validator


def _whole(_: Any, tokens: Sequence[Any]) -> int:
    """Convert a word to int as pydantic does; cyclopts would round 1.5."""
    return TypeAdapter(int).validate_python(tokens[0].value)


Whole = Annotated[int, Parameter(converter=_whole)]
Count = Annotated[Whole, Interval(ge=1, le=1_000_000)]
Seed = Annotated[Whole, Interval(ge=0, le=2**31 - 1)]


class UserError(Exception):
    """Invalid input from the user. The command line prints it as one line and exits with code 2.

    Args:
        problem: what is wrong, and what was expected.
        advice: what to do next, usually a command.
        lines: lines of code to print below.
    """

    code = 2

    def __init__(self, problem: str, advice: str = "", lines: Iterable[str] = ()) -> None:
        super().__init__("\n".join([" ".join(f"{problem} {advice}".split()), *lines]))


class RunStopped(UserError):
    """Failure that is not in the user's input: of a machine, a disk, a check. The exit code is 1."""

    code = 1


class Typed(BaseModel, arbitrary_types_allowed=True, defer_build=True):
    """A frozen record with validated fields. Raises UserError for an invalid value."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    func: ClassVar[None] = None  # cyclopts looks here for docstrings; the fields have their own

    def __init__(self, /, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise unfit(error) from error

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # the outer record validates a nested one

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, field: ValidationInfo) -> Any:
        """Reject empty strings, forgotten values, and booleans for numbers; convert NumPy's values to Python."""
        if isinstance(value, str) and not value:
            raise ValueError("expected a value")
        taken = cls.model_fields[field.field_name or ""].annotation
        if isinstance(value, bool) and {int, float} & {taken, *get_args(taken)} and bool not in get_args(taken):
            raise ValueError("expected a number")
        return value.tolist() if type(value).__module__ == "numpy" and hasattr(value, "tolist") else value

    def given(self) -> dict[str, Any]:
        """Return the values that were set, by name, even if equal to defaults; without excluded fields."""
        return {name: value for name, value in self.model_dump(exclude_unset=True).items() if value != {}}

    def replace(self, **changes: Any) -> Self:
        """Return a copy with changed values, which count as set."""
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **changes})


def unfit(error: ValidationError, flag: str = "") -> UserError:
    """Convert pydantic's first error to one line: flag (`flag` if it names no field), value and reason."""
    first = error.errors()[0]
    names = [part.replace("_", "-") for part in first["loc"] if isinstance(part, str)]
    flag = f"--{'.'.join(names)}" if names else flag
    if first["type"] in ("missing", "extra_forbidden"):
        return UserError(f"{flag} needs a value." if first["type"] == "missing" else f"There is no flag {flag}.")
    reason = first["msg"].removeprefix("Value error, ").replace("greater than or equal to", "at least")
    reason = reason.replace("less than or equal to", "at most")
    shown = printable(first["input"])[:200] or "''"
    return UserError(f"{flag} {shown} makes no sense: {reason[0].lower()}{reason[1:]}.")


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Suggest the name most similar to `word`, as a question; empty if none is similar."""
    found = difflib.get_close_matches(word, list(names), n=1)
    return f"Did you mean {found[0]}?" if found else ""


def sentence(error: object, most: int = 300) -> str:
    """Return the first line of an error message, ending in a full stop, or in an ellipsis if longer than `most`.

    For Keras's errors in bold, it is the line after the one that names the layer.
    """
    message = re.sub(r"\x1b\[\d*m", "", str(error)).strip()
    message = message.partition(".call().\n")[2].strip() or message or type(error).__name__
    line = message.partition("\n")[0].strip()
    if len(line) > most:
        return line[:most].rpartition(" ")[0] + " ..."
    return line if line.endswith((".", "!", "?")) else f"{line}."


def lasting(value: object) -> str:
    """`repr` without memory addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def printable(text: object) -> str:
    """Escape characters that a terminal would obey or cannot show: file names can contain anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
