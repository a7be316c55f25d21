"""UserError, one line that says what is wrong and what to do next; and text that a terminal can be shown."""


class UserError(Exception):
    """Something the user gave cannot be used. The command line prints it as one line and exits with code 2.

    Args:
        problem: what is wrong, and what was expected.
        advice: what to do next, usually a command.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(" ".join(f"{problem} {advice}".split()))


def printable(text: object) -> str:
    """The text with what a terminal would obey, or cannot show, as escapes: names of files can hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
