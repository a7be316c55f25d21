"""What the tests of hostile input share: a text that harms whoever trusts it, and a command line in this process."""

import pytest

from keraskit.cli import app

NASTY = "<script>alert('x')</script>\"'&\x1b[31m\n=1+1$\\frac$"


def command(words, capsys):
    """Exit code and stderr of a command line, in this process."""
    with pytest.raises(SystemExit) as end:
        app.command_line([str(word) for word in words])
    return end.value.code, capsys.readouterr().err
