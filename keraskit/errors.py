"""UserError, one line that says what is wrong and what to do next; and text that a terminal can be shown."""

import re


class UserError(Exception):
    """Something the user gave cannot be used. The command line prints it as one line and exits with code 2.

    Args:
        problem: what is wrong, and what was expected.
        advice: what to do next, usually a command.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(" ".join(f"{problem} {advice}".split()))

    code = 2


class RunStopped(UserError):
    """What was given is right, but something around the run failed: a machine, a disk. The exit code is 1."""

    code = 1


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
