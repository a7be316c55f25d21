"""The registry: finds recipes by name or by file, and reads what they declare from their sources."""

import ast
import contextlib
import hashlib
import importlib.util
import io
import re
import runpy
import sys
import typing
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from keraskit import errors, stand_ins
from keraskit.augment import Augmentation
from keraskit.config import flags
from keraskit.errors import UserError, did_you_mean
from keraskit.recipe import Pretrained, Program, Recipe

PACKAGE = "keraskit.recipes"
SAID = {"section", "expected", "expected_with"}  # arguments of a Recipe that change nothing of what it does
FUNCTIONS = ("data", "build", "compile")  # of a recipe, whose arguments are flags


class Card:
    """What the source of one recipe says of it, read without executing it where that is possible."""

    def __init__(self, source: Path | None, name: str = "") -> None:
        self.source, self.name = source or Path(), name or (source.stem if source else "")

    @cached_property
    def _tree(self) -> ast.Module:
        if self.source == Path():  # of a recipe without a file
            return ast.Module([], [])
        try:
            return ast.parse(self.source.read_bytes())
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"{self.source} cannot be read as Python: {error}.") from error

    @cached_property
    def doc(self) -> str:
        """The module's docstring."""
        return ast.get_docstring(self._tree) or ""

    @property
    def summary(self) -> str:
        """The docstring's first line, without the note in brackets."""
        return re.sub(r"\s*\((beyond the )?document.*?\)\.?$", "", self.doc.partition("\n")[0]).rstrip(".")

    @property
    def parameters(self) -> str:
        """The count of parameters that the first line names."""
        found = re.search(r"([\d,]+) parameters", self.doc.partition("\n")[0])
        return found[1] if found else ""

    @cached_property
    def code(self) -> str:
        """What the module does: its source without comments, docstrings, and what it says of itself."""
        tree = ast.parse(ast.unparse(self._tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Recipe":
                node.keywords = [keyword for keyword in node.keywords if keyword.arg not in SAID]
            elif isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        return ast.unparse(tree)

    @property
    def sha256(self) -> str:
        """Identifies the code: figures that were measured with other code are out of date."""
        return hashlib.sha256(self.code.encode()).hexdigest()[:16]

    @cached_property
    def _call(self) -> ast.Call | None:
        """The call in the one line `recipe = Recipe(...)`; None where the recipe is made otherwise."""
        bound = [n for n in ast.walk(self._tree) if isinstance(n, ast.Name | ast.alias) and _binds(n, "recipe")]
        for node in self._tree.body if len(bound) == 1 else ():
            match node:
                case (
                    ast.Assign(targets=[ast.Name("recipe")], value=ast.Call() as call)
                    | ast.AnnAssign(target=ast.Name("recipe"), value=ast.Call() as call)
                ) if ast.unparse(call.func).rpartition(".")[2] in ("Recipe", "Program") and all(
                    k.arg for k in call.keywords
                ):
                    return call
        return None

    @cached_property
    def _recipe(self) -> Recipe | Program:
        """The recipe, for what is written of it: its file is imported with stand-ins for Keras where that works."""
        if "keras" in sys.modules:
            return self.load()
        path = str(self.source.resolve().parent)
        try:
            with stand_ins.standing_in(), contextlib.redirect_stdout(io.StringIO()):
                sys.path.append(path)  # not first: its files would stand in the way of NumPy's and others'
                try:
                    return held(runpy.run_path(str(self.source), run_name=f"keraskit_{self.name}"), self.source)
                finally:
                    sys.path.remove(path)
        except Exception:
            return self.load()

    @property
    def trains(self) -> bool:
        """Whether it is a Recipe, not a Program."""
        return ast.unparse(self._call.func).endswith("Recipe") if self._call else isinstance(self._recipe, Recipe)

    @cached_property
    def declared(self) -> dict[str, Any]:
        """The literal arguments of `recipe = Recipe(...)`: section, expected, epochs, batch_size, augment."""
        return _literals(self._call) if self._call else vars(self._recipe)

    @property
    def measured_with(self) -> str:
        """The recipe's own flags that its expected figures were measured with; empty for the defaults."""
        return flags({k: v for k, v in self.declared.get("expected_with", {}).items() if k != "weights"})

    @cached_property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """The recipe's functions: signatures and docstrings alone where these can be read from the source."""
        try:
            given = {keyword.arg: keyword.value for keyword in self._call.keywords} if self._call else {}
            wanted = FUNCTIONS if self.trains else ("run",)
            return {name: _stub(self._tree, given[name], self.source) for name in wanted}
        except (LookupError, NameError, OSError, TypeError, ValueError, AttributeError):
            return self._recipe.functions

    @property
    def ours(self) -> bool:
        """Whether it is one of keraskit's recipes; a file of the user's own may have the same name."""
        known = recipes_available().get(self.name)
        return known is not None and known.source.resolve() == self.source.resolve()

    def load(self) -> Any:
        """Import the recipe, and Keras with it. A file of the user's own is imported once, by its path."""
        from keraskit import start

        start.wait_for_tensorflow()
        path = self.source.resolve()
        if self.ours:
            return import_module(f"{PACKAGE}.{self.name}").recipe
        main = sys.modules["__main__"]
        if getattr(main, "__file__", None) and Path(str(main.__file__)).resolve() == path and hasattr(main, "recipe"):
            return held(vars(main), self.source)
        name = f"keraskit_file_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
        return held(vars(sys.modules.get(name) or import_file(self.source, name)), self.source)


def held(names: dict[str, Any], source: Path) -> Recipe | Program:
    """The recipe that a file holds, as this file's whatever module has made it."""
    recipe = names.get("recipe")
    if not isinstance(recipe, Recipe | Program):
        raise UserError(f"{source.name} makes no `recipe = Recipe(...)`.", "See any recipe for how it looks.")
    return recipe if recipe.source and recipe.source.resolve() == source.resolve() else recipe.at(source)


def _binds(node: ast.Name | ast.alias, name: str) -> bool:
    if isinstance(node, ast.alias):
        return (node.asname or node.name) == name
    return node.id == name and isinstance(node.ctx, ast.Store)


def import_file(source: Path, name: str) -> Any:
    """Import a file of the user's own as a module of this name. Raises UserError for what it raises."""
    path = source.resolve()
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # as Python does for a script, for what its functions import too
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        if isinstance(error, UserError):
            raise
        problem = f"{source} cannot be imported: {type(error).__name__}: {error}."
        raise UserError(problem, f"`python {source}` shows where.") from error
    return module


def _stub(tree: ast.Module, value: ast.expr, source: Path) -> Callable[..., Any]:
    """A function of the same signature and docstring, made without importing what its body needs.

    `value` names the function: one of this file, or of a module that it imports. Raises LookupError or NameError where
    it cannot be found, or its defaults are no literals.
    """
    match value:
        case ast.Call(func=ast.Name("from_arrays") | ast.Attribute(attr="from_arrays")):
            return lambda: None
        case ast.Attribute(value=ast.Name(id=module), attr=name):
            return _stub_of(_imported(tree, module), name)
        case ast.Name(id=name):
            for node in tree.body:
                if isinstance(node, ast.FunctionDef) and node.name == name and not node.decorator_list:
                    return _without_body(node, source, ast.get_docstring(tree))
            parent, _, name = _imported(tree, name).rpartition(".")
            return _stub_of(parent, name)
    raise LookupError(ast.unparse(value))


def _imported(tree: ast.Module, name: str) -> str:
    """The full name of what a file calls `name`."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return f"{node.module}.{alias.name}"
    raise LookupError(name)


def _stub_of(module: str, name: str) -> Callable[..., Any]:
    spec = importlib.util.find_spec(module)  # imports the packages that hold it, which are light in keraskit
    if spec is None or not spec.origin or not module.startswith("keraskit."):
        raise LookupError(module)
    source = Path(spec.origin)
    return _stub(ast.parse(source.read_bytes()), ast.Name(id=name), source)


def _without_body(function: ast.FunctionDef, source: Path, doc: str | None) -> Callable[..., Any]:
    node = ast.parse(ast.unparse(function)).body[0]  # a copy, so that the tree stays as it was read
    assert isinstance(node, ast.FunctionDef)
    node.returns = None
    node.body = [b for b in node.body[:1] if isinstance(b, ast.Expr)] or [ast.Pass(lineno=1, col_offset=0)]
    required = len(node.args.args) - len(node.args.defaults)
    for argument in node.args.args[:required]:  # filled in by the runner: keras.Model is not imported here
        argument.annotation = None
    known = {**vars(typing), **vars(errors), "Path": Path, "__doc__": doc}
    names: dict[str, Any] = {}
    exec(compile(ast.Module([node], []), str(source), "exec", dont_inherit=True), known, names)
    return names[node.name]


def _literals(call: ast.Call) -> dict[str, Any]:
    """The keyword arguments of a call that can be told without executing it; an augmentation's are."""
    literals: dict[str, Any] = {}
    for keyword in call.keywords:
        match keyword.value:
            case ast.Call(func=ast.Name("Augmentation")) as inner:
                literals[str(keyword.arg)] = Augmentation(**_literals(inner))
            case ast.Call(func=ast.Name("Pretrained")) as inner:
                literals[str(keyword.arg)] = Pretrained(**{"load": len, **_literals(inner)})  # load is not called
            case value:
                with contextlib.suppress(ValueError):  # a name or another call
                    literals[str(keyword.arg)] = ast.literal_eval(value)
    return literals


def recipes_available() -> dict[str, Card]:
    """Every recipe of keraskit by name, in the alphabet's order."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(file for folder in folders for file in Path(folder).glob("[a-z]*.py"))
    return {file.stem: Card(file) for file in files}


def find_card(word: str) -> Card:
    """The card of one recipe, by its name in any case, or by the path of a file of the user's own.

    Raises UserError where there is none; it says the nearest name.
    """
    if is_file(word):
        if not Path(word).is_file() or Path(word).suffix != ".py":
            problem = f"There is no file {word}." if not Path(word).is_file() else f"{word} does not end in .py."
            raise UserError(problem, "Name a Python file with a recipe, or a recipe's name.")
        return Card(Path(word))
    cards = recipes_available()
    if plain_name(word) in cards:
        return cards[plain_name(word)]
    meant = f"Did you mean ./{word}.py?" if Path(f"{word}.py").is_file() else did_you_mean(word, cards)
    raise UserError(f"There is no recipe {word!r}. {meant}", "`keraskit list` shows them all.")


def is_file(word: str) -> bool:
    """Whether a word names a recipe by its file, and not by its name."""
    return word.endswith(".py") or "/" in word


def plain_name(word: str) -> str:
    """A recipe's name as it is spelt: `CNN` is cnn, and cats-dogs cats_dogs."""
    return word.lower().replace("-", "_")


def load_recipe(word: str) -> Any:
    """Import one recipe, and Keras with it; a Recipe or a Program."""
    return find_card(word).load()
