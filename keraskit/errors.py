"""UserError, one line that says what is wrong and what to do next; and text that a terminal can be shown."""


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


def printable(text: object) -> str:
    """The text with what a terminal would obey, or cannot show, as escapes: names of files can hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
