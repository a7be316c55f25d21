"""Render Jinja templates of pages and programs, each compiled once."""

import functools
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape


def render(name: str, package: str = "keraskit.runs", **values: Any) -> str:
    """Render a package's template; values are escaped in pages."""
    return _environment(package).get_template(f"{name}.jinja").render(**values)


@functools.cache
def _environment(package: str) -> Environment:
    escaped = select_autoescape(["html.jinja"], default=False)
    return Environment(loader=PackageLoader(package, "."), autoescape=escaped, trim_blocks=True)
