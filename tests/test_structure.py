"""The house: arrows between files and folders go one way, and no module is long."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest
from conftest import ROOT

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in [*ROOT.glob("keraskit/**/*.py"), *ROOT.glob("recipes/*.py")]
}
LONGEST = 300  # lines


def imports(path):
    """The names of the modules that a file imports anywhere, functions included, but not for type checkers alone."""
    tree = ast.parse(path.read_text())
    unseen = {id(n) for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
              for n in ast.walk(node)}  # fmt: skip
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: name the package in full"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if real(full) in FILES else node.module


def real(name):
    """The module's name by its file."""
    return name.replace("keraskit.recipes", "recipes")


def arrows():
    return {name: {real(n) for n in imports(path)} & set(FILES) - {name} for name, path in FILES.items()}


def folder(name):
    path = FILES[name]
    return str(path.parent.relative_to(ROOT))


def test_files_import_in_one_direction():
    graph = {name: {n for n in found if n != "keraskit"} for name, found in arrows().items()}  # its names load lazily
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_folders_import_in_one_direction():
    graph = {}
    for name, found in arrows().items():
        for other in found:
            # Modules at the top of keraskit serve all; what only holds subfolders is no room of its own.
            if folder(name) != folder(other) and "keraskit" not in (folder(name), folder(other)):
                graph.setdefault(folder(name), set()).add(folder(other))
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("name", FILES)
def test_a_module_says_its_job_first_and_is_not_long(name):
    text = FILES[name].read_text()
    assert len(text.splitlines()) <= LONGEST
    assert ast.get_docstring(ast.parse(text)) or name == "keraskit.__main__"
