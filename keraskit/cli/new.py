"""`keraskit new`: a recipe of one's own, begun as a copy of one of keraskit's, and its test."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path
from typing import Any

from keraskit.errors import UserError
from keraskit.files import check_folder, write_text
from keraskit.registry import Card, find_card

LEFT_OUT = ("section", "expected", "expected_with")  # what holds for keraskit's recipe alone
TEST = '''"""{name} builds, and a tiny run of it learns."""

import keraskit
from {name} import build, recipe


def test_it_builds():
    assert build().count_params() > 0


def test_a_tiny_run_finishes(tmp_path):
    result = keraskit.run(recipe, quick=True, output_dir=tmp_path)
    assert (result.folder / "report.html").is_file()
    assert result.history[-1]["loss"] < result.history[0]["loss"]
'''


def new(name: str, start: str, folder: Path) -> tuple[Path, Path]:
    """Write NAME.py and test_NAME.py. Raises UserError for a name that is none, or taken.

    Args:
        name: of the recipe, and of its file.
        start: the recipe to begin with.
        folder: where to write.
    """
    if not name.isidentifier():
        raise UserError(f"{name!r} cannot be a Python module's name.", "Take letters, digits and underscores.")
    card = find_card(start)
    if not card.trains:
        raise UserError(f"{start} trains nothing.", "Begin with a recipe that does, such as cnn.")
    files = folder / f"{name}.py", folder / f"test_{name}.py"
    check_folder(folder, "--folder")
    for file in files:
        if file.exists():
            raise UserError(f"{file} is there already.", "Take another name.")
    write_text(files[0], _begun(card, name))
    write_text(files[1], TEST.format(name=name))
    return files


def _begun(card: Card, name: str) -> str:
    """The recipe's source under another name, with a docstring of its own."""
    source = card.source.read_bytes()
    tree = ast.parse(source)
    (call,) = (node.value for node in tree.body if isinstance(node, ast.Assign) and _names(node) == ["recipe"])
    assert isinstance(call, ast.Call)
    gone: list[Any] = [keyword for keyword in call.keywords if keyword.arg in LEFT_OUT]
    gone += tree.body[:1] if ast.get_docstring(tree) is not None else []
    lines = [0, *itertools.accumulate(map(len, source.splitlines(keepends=True)))]
    for node in sorted(gone, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        start, end = lines[node.lineno - 1] + node.col_offset, lines[node.end_lineno - 1] + node.end_col_offset
        rest = re.sub(rb"\A\s*,?\s*", b"", source[end:])
        source = (source[:start].rstrip(b" ") if rest.startswith(b")") else source[:start]) + rest
    doc = f'"""{name}: begun as {card.name}.\n\n    keraskit run ./{name}.py\n"""\n\n'
    return doc + source.decode("utf-8").replace(f'name="{card.name}"', f'name="{name}"')


def _names(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]
