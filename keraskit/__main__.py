"""`python -m keraskit` is `keraskit`."""

from keraskit.cli.app import command_line

command_line()
