"""Find recipes by name or file and import them; ours with stand-ins for Keras if only their flags are needed."""

import ast
import contextlib
import dataclasses
import hashlib
import re
import sys
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from keraskit import start
from keraskit.datasets.tables import OF_A_RECIPE, refuse_table
from keraskit.errors import UserError, did_you_mean

PACKAGE = "keraskit.recipes"
BEYOND = "beyond the tutorial"
DESCRIPTIVE = {"section", "expected", "expected_spread", "expected_with"}  # arguments that do not affect runs
SLOW = ("keras", "tensorflow", "numpy", "matplotlib", "h5py", "PIL")  # the first two take seconds to import


class Card:
    """A recipe's file: its source, and what it defines, a Recipe or a plain function."""

    def __init__(self, source: Path | None, name: str = "") -> None:
        self.source, self.name = source or Path(), name or (source.stem if source else "")
        self.made: Any = None  # what it defines, if it is the running program

    @cached_property
    def _tree(self) -> ast.Module:
        return ast.parse(self.source.read_bytes() if self.source != Path() else b"", str(self.source))

    @cached_property
    def doc(self) -> str:
        """The module's docstring."""
        return ast.get_docstring(self._tree) or ""

    @property
    def summary(self) -> str:
        """First line of the docstring, without the note in brackets."""
        return re.sub(r"\s*\((beyond the )?tutorial.*?\)\.?$", "", self.doc.partition("\n")[0]).rstrip(".")

    @property
    def sha256(self) -> str:
        """Hash of the module's code, without comments, docstrings and descriptive arguments."""
        tree = ast.parse(ast.unparse(self._tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Recipe":
                node.keywords = [keyword for keyword in node.keywords if keyword.arg not in DESCRIPTIVE]
            elif isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]

    @property
    def ours(self) -> bool:
        """Whether this is a recipe of keraskit; a user's file may have the same name."""
        known = recipes_available().get(self.name)
        return known is not None and known.source.resolve() == self.source.resolve()

    @cached_property
    def recipe(self) -> Any:
        """What the file defines, for its flags: one of ours is imported with stand-ins, if it can be."""
        if "keras" not in sys.modules and self.ours:
            with contextlib.suppress(Exception), standing_in():
                return self._imported()
        return self.load()

    def load(self) -> Any:
        """Import what the file defines, with Keras. A user's file is imported once, by its path."""
        start.start_tensorflow()
        return self.made or self._imported()

    def _imported(self) -> Any:
        from keraskit.recipe import Recipe  # pydantic, and all its types, which a list of recipes does without

        if self.ours:
            module = import_module(f"{PACKAGE}.{self.name}")
            return self.named(getattr(module, "recipe", None) or getattr(module, self.name))  # two are functions
        path = self.source.resolve()  # an edited file is another module
        name = f"keraskit_file_{hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:8]}"
        module = sys.modules.get(name) or import_file(self.source, name)
        if not isinstance(found := getattr(module, "recipe", None), Recipe):
            raise UserError(f"{self.source.name} makes no `recipe = Recipe(...)`.", "See any recipe for how it looks.")
        return self.named(found)

    def named(self, found: Any) -> Any:
        """Set a recipe's source, and its name unless it has one; return other objects unchanged."""
        from keraskit.recipe import NAMELESS, Recipe

        if not isinstance(found, Recipe) or self.source == Path():
            return found
        return dataclasses.replace(found, source=self.source, name=self.name if found.name == NAMELESS else found.name)


def import_file(source: Path, name: str) -> ModuleType:
    """Import a user's file as a module called `name`. Raises what it raises."""
    path = top = source.resolve()
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = str(path)
    package: list[str] = []  # that it lies in, for relative imports, unless another one has its name
    while ((top := top.parent) / "__init__.py").is_file():
        package.insert(0, top.name)
    if package and str(top / package[0]) in getattr(sys.modules.get(package[0]), "__path__", [str(top / package[0])]):
        module.__package__ = ".".join(package)
    for folder in (path.parent, top):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))  # as for a script, and for imports inside its functions
    try:
        SourceFileLoader(name, str(path)).exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def recipes_available() -> dict[str, Card]:
    """Return all recipes of keraskit by name, in alphabetical order."""
    files = sorted(file for folder in import_module(PACKAGE).__path__ for file in Path(folder).glob("[a-z]*.py"))
    return {file.stem: Card(file) for file in files}


def find_card(word: str) -> Card:
    """Find a recipe by name, ignoring case, or by file path. Raises UserError if there is none."""
    refuse_table(Path(word), "a recipe is a Python file", *OF_A_RECIPE)
    if word.endswith(".py") or "/" in word:
        if not Path(word).is_file() or not word.endswith(".py"):
            problem = "does not end in .py" if Path(word).exists() else "does not exist"
            raise UserError(f"{word} {problem}.", "Name a Python file with a recipe, or a recipe's name.")
        return Card(Path(word))
    cards, name = recipes_available(), word.lower().replace("-", "_")
    if name in cards:
        return cards[name]
    hint = f"Did you mean ./{word}.py?" if Path(f"{word}.py").is_file() else did_you_mean(word, cards)
    raise UserError(f"There is no recipe {word!r}. {hint}", "`keraskit list` shows them all.")


def load_recipe(word: str) -> Any:
    """Import a recipe, and Keras: a Recipe, or a plain function if it trains no model."""
    return find_card(word).load()


class _StandIn(type):
    """A class in place of anything that a recipe imports from a slow package: a module, a function, a type."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _StandIn(name, (), {})


class _Finder:
    """Finder for `sys.meta_path` that returns stand-ins for slow packages and their submodules."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        found = name.partition(".")[0] in SLOW
        return ModuleSpec(name, self, is_package=True) if found else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> Any:
        return _StandIn(spec.name, (), {})

    def exec_module(self, module: Any) -> None: ...


@contextlib.contextmanager
def standing_in() -> Iterator[None]:
    """Import stand-ins for slow packages inside the block; then remove them, and our modules that may refer to one."""
    before, finder = set(sys.modules), _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in sys.modules.keys() - before:
            package, _, module = name.rpartition(".")
            if name.partition(".")[0] in ("keraskit", *SLOW):
                del sys.modules[name]
                with contextlib.suppress(AttributeError):  # on a parent package that stays
                    delattr(sys.modules.get(package), module)
