"""UserError, one line that says what is wrong; Typed, a record that refuses such values; text a terminal can show."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Self

from annotated_types import Interval
from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator


def _whole(_: Any, tokens: Sequence[Any]) -> int:
    """What cyclopts makes of a word: an int as pydantic has it, where its own rounds 1.5."""
    return TypeAdapter(int).validate_python(tokens[0].value)


Whole = Annotated[int, Parameter(converter=_whole)]
Count = Annotated[Whole, Interval(ge=1, le=1_000_000)]
Seed = Annotated[Whole, Interval(ge=0, le=2**31 - 1)]


class UserError(Exception):
    """Something the user gave cannot be used. The command line prints it as one line and exits with code 2.

    Args:
        problem: what is wrong, and what was expected.
        advice: what to do next, usually a command.
    """

    code = 2

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(" ".join(f"{problem} {advice}".split()))


class RunStopped(UserError):
    """What was given is right, but something around the run failed: a machine, a disk. The exit code is 1."""

    code = 1


class Typed(BaseModel, arbitrary_types_allowed=True, defer_build=True):
    """A frozen record whose fields are checked against their types. Raises UserError for a value that does not fit."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    func: ClassVar[None] = None  # where cyclopts looks for docstrings: the fields have theirs already

    def __init__(self, /, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise unfit(error) from error

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # a record within another is checked by that

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        """Refuse empty text, which is a forgotten value; take NumPy's numbers and arrays for Python's."""
        if isinstance(value, str) and not value:
            raise ValueError("expected a value")
        return value.tolist() if type(value).__module__ == "numpy" and hasattr(value, "tolist") else value

    def given(self) -> dict[str, Any]:
        """What was given, by name, also where it equals a default; without what makes no difference to a result."""
        return {name: value for name, value in self.model_dump(exclude_unset=True).items() if value != {}}

    def replace(self, **changes: Any) -> Self:
        """The same with other values, which count as given."""
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **changes})


def unfit(error: ValidationError, flag: str = "") -> UserError:
    """The first of pydantic's errors in one line: flag (`flag` where it names no field), value and reason."""
    first = error.errors()[0]
    names = [part.replace("_", "-") for part in first["loc"] if isinstance(part, str)]
    flag = f"--{'.'.join(names)}" if names else flag
    if first["type"] in ("missing", "extra_forbidden"):
        return UserError(f"{flag} needs a value." if first["type"] == "missing" else f"There is no flag {flag}.")
    said = first["msg"].removeprefix("Value error, ")
    shown = printable(first["input"])[:200] or "''"
    return UserError(f"{flag} {shown} makes no sense: {said[0].lower()}{said[1:]}.")


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """The known name that an unknown word is likest to, as a question; empty where none is like it."""
    found = difflib.get_close_matches(word, list(names), n=1)
    return f"Did you mean {found[0]}?" if found else ""


def sentence(error: object, most: int = 300) -> str:
    """The first line of what an error says, with a stop at its end; what is too long ends with an ellipsis.

    Of Keras's, which is printed in bold, it is the line after the one that says which layer was called.
    """
    said = re.sub(r"\x1b\[\d*m", "", str(error)).strip()
    said = said.partition(".call().\n")[2].strip() or said or type(error).__name__
    line = said.partition("\n")[0].strip()
    if len(line) > most:
        return line[:most].rpartition(" ")[0] + " ..."
    return line if line.endswith((".", "!", "?")) else f"{line}."


def lasting(value: object) -> str:
    """`repr` without memory addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def printable(text: object) -> str:
    """The text with what a terminal would obey, or cannot show, as escapes: names of files can hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
