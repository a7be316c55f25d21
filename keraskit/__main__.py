"""`python -m keraskit` is `keraskit`."""

from keraskit.cli import command_line

command_line()
