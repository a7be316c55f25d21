"""The house: imports go down from room to room, no tool knows another, no module is long, the sums stay small."""

import ast
from graphlib import TopologicalSorter

import pytest
from conftest import ROOT

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in [*ROOT.glob("keraskit/**/*.py"), *ROOT.glob("recipes/*.py")]
}
TOP = {"recipe", "registry", "config", "errors", "files", "typed", "system", "signals", "start"}
DATA = {"augment", "datasets"}
ARROWS = {  # of a room, those that it may import; all may import what lies at the top
    "cli": {"tools", "training", "distributed", "runs", "models", *DATA},
    "tools": {"runs", "models", *DATA},
    "training": {"distributed", "runs", "models", *DATA},
    "runs": {"models", *DATA},
    "models": {"datasets"},
    "distributed": {"models", "datasets"},
    "augment": {"datasets"},
    "datasets": set(),
    "recipes": {"models", *DATA},
}
EXCEPT = {("tools/verify", "training")}
LONGEST = 300  # lines of a module
LIMITS = {  # lines of rooms together; "" is the top
    ("recipes",): 1_036,
    ("cli", ""): 1_888,
    ("training", "distributed"): 2_569,
    ("runs", "tools", "models"): 3_072,
    ("datasets", "augment"): 2_407,
}


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
    return name.replace("keraskit.recipes", "recipes")


def room(name):
    """The room of a module; "" for the top."""
    parts = name.removeprefix("keraskit.").split(".")
    return parts[0] if parts[0] in ARROWS else ""


def tool(name):
    """The tool that a module belongs to, as a path below keraskit: tools/verify; "" for other modules."""
    return "/".join(name.split(".")[1:3]) if name.startswith("keraskit.tools.") else ""


GRAPH = {name: {real(n) for n in imports(path)} & set(FILES) - {name} for name, path in FILES.items()}
EDGES = [(name, other) for name, found in sorted(GRAPH.items()) for other in sorted(found)]


def test_files_and_rooms_import_in_one_direction():
    """A circle raises an error that names it."""
    for graph in (ARROWS, {name: found - {"keraskit"} for name, found in GRAPH.items()}):  # its names load lazily
        TopologicalSorter(graph).prepare()


def test_each_arrow_is_one_of_the_list_and_no_tool_imports_another():
    for name, other in EDGES:
        allowed = ARROWS.get(room(name), set(ARROWS)) | {room(name), ""}
        assert room(other) in allowed or (tool(name), room(other)) in EXCEPT, f"{name} -> {other}"
        assert not (tool(name) and tool(other) and tool(name) != tool(other)), f"{name} -> {other}"


def test_nothing_else_lies_at_the_top():
    top = {path.stem for path in (ROOT / "keraskit").glob("*.py")} - {"__init__", "__main__"}
    rooms = {path.parent.name for path in (ROOT / "keraskit").glob("*/__init__.py")}
    assert top <= TOP and rooms <= set(ARROWS)


@pytest.mark.parametrize("name", FILES)
def test_a_module_says_its_job_first_and_is_not_long(name):
    text = FILES[name].read_text()
    assert len(text.splitlines()) <= (100 if room(name) == "recipes" else LONGEST)  # a recipe fits on a screen
    assert ast.get_docstring(ast.parse(text)) or name == "keraskit.__main__"


@pytest.mark.parametrize("rooms", LIMITS, ids="+".join)
def test_rooms_stay_small(rooms):
    lines = {name: len(FILES[name].read_text().splitlines()) for name in FILES if room(name) in rooms}
    assert sum(lines.values()) <= LIMITS[rooms], lines
