"""Fills the templates of pages and programs; each is read and compiled once in a process."""

import functools
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape


def render(name: str, package: str = "keraskit.runs", **values: Any) -> str:
    """Fill a package's template; values are escaped in pages and nowhere else."""
    return _environment(package).get_template(f"{name}.jinja").render(**values)


@functools.cache
def _environment(package: str) -> Environment:
    escaped = select_autoescape(["html.jinja"], default=False)
    return Environment(loader=PackageLoader(package, "."), autoescape=escaped, trim_blocks=True)
