"""What keraskit raises when the user can mend it: one line that says what is wrong and what to do next."""


class UserError(Exception):
    """Something the user gave cannot be used. The command line prints it as one line and exits with code 2.

    Args:
        problem: what is wrong, and what was expected.
        advice: what to do next, usually a command.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(" ".join(f"{problem} {advice}".split()))
