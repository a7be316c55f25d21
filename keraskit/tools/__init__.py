"""Tools for finished runs, each in its own file or folder."""
