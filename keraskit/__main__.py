"""`python -m keraskit` is `keraskit`."""

from keraskit.cli import main

main()
