"""Fills the templates of pages and programs; each is read and compiled once in a process."""

import functools
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape


def render(name: str, **values: Any) -> str:
    """The text that a template of this folder makes of values, which are escaped in pages and nowhere else."""
    return _environment().get_template(f"{name}.jinja").render(**values)


@functools.cache
def _environment() -> Environment:
    escaped = select_autoescape(["html.jinja"], default=False)
    return Environment(loader=PackageLoader("keraskit.results", "."), autoescape=escaped, trim_blocks=True)
