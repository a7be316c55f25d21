"""UserError, one line that says what is wrong and what to do next; and text that a terminal can be shown."""

import difflib
import re
from collections.abc import Iterable
from typing import Any


class UserError(Exception):
    """Something the user gave cannot be used. The command line prints it as one line and exits with code 2.

    Args:
        problem: what is wrong, and what was expected.
        advice: what to do next, usually a command.
        flag: what the command lacks, such as `--recipe mine.py`: the command line then prints the whole command.
    """

    def __init__(self, problem: str, advice: str = "", flag: str = "") -> None:
        super().__init__(" ".join(f"{problem} {advice}".split()))
        self.flag = flag

    code = 2


class RunStopped(UserError):
    """What was given is right, but something around the run failed: a machine, a disk. The exit code is 1."""

    code = 1


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """The known name that an unknown word is likest to, as a question; empty where none is like it."""
    found = difflib.get_close_matches(word, list(names), n=1)
    return f"Did you mean {found[0]}?" if found else ""


_EXPECTED = {  # where pydantic's own sentence speaks of parsing
    **dict.fromkeys(("int_parsing", "int_from_float", "int_type"), "expected a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "expected a number"),
}


def unfit(error: Any, flag: str = "") -> UserError:
    """What pydantic's ValidationError says, in a line: the flag, the field's unless it is named, value and reason."""
    first = error.errors()[0]
    names = [str(part).replace("_", "-") for part in first["loc"] if isinstance(part, str) and part.isidentifier()]
    flag, value = flag or f"--{'.'.join(names)}", first["input"]
    if first["type"] == "extra_forbidden":
        return UserError(f"There is no field {printable('.'.join(map(str, first['loc'])))}.")
    if first["type"] == "missing":
        return UserError(f"{flag} needs a value.")
    said = _EXPECTED.get(first["type"], first["msg"].removeprefix("Value error, "))
    words = value if isinstance(value, list) else [value]
    shown = " ".join(each if isinstance(each, str) and each else repr(each) for each in words)
    return UserError(f"{flag} {printable(shown[:200] or repr(value))} makes no sense: {said[0].lower()}{said[1:]}.")


def sentence(error: object, most: int = 300) -> str:
    """The first line of what an error says, with a stop at its end; what is too long ends with an ellipsis."""
    line = (str(error).strip() or type(error).__name__).partition("\n")[0].strip()
    if len(line) > most:
        return line[:most].rpartition(" ")[0] + " ..."
    return line if line.endswith((".", "!", "?")) else f"{line}."


def lasting(value: object) -> str:
    """What a value is, in Python's words, without where in memory it lies."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def printable(text: object) -> str:
    """The text with what a terminal would obey, or cannot show, as escapes: names of files can hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
