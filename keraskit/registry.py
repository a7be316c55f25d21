"""The registry: finds recipes by name or by file, and reads what they declare from their sources."""

import ast
import contextlib
import hashlib
import importlib.util
import io
import re
import runpy
import sys
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from keraskit import stand_ins
from keraskit.augment import Augmentation
from keraskit.config import flags
from keraskit.errors import UserError, did_you_mean
from keraskit.recipe import Pretrained, Recipe

PACKAGE = "keraskit.recipes"
SAID = {"section", "expected", "expected_with"}  # arguments of a Recipe that change nothing of what it does


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
        """What the module does: without comments, docstrings, the order of imports, and what it says of itself."""
        tree = ast.parse(ast.unparse(self._tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Recipe":
                node.keywords = [keyword for keyword in node.keywords if keyword.arg not in SAID]
            elif isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        rest = [node for node in tree.body if node not in imports]
        return "\n".join([*sorted(map(ast.unparse, imports)), *map(ast.unparse, rest)])

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
                ) if ast.unparse(call.func).rpartition(".")[2] == "Recipe" and all(k.arg for k in call.keywords):
                    return call
        return None

    @cached_property
    def plain(self) -> str:
        """The function that the file hands to `keraskit.main` in place of a recipe; empty where it trains a model."""
        functions = {node.name for node in self._tree.body if isinstance(node, ast.FunctionDef)}
        for node in ast.walk(self._tree):
            match node:
                case ast.Call(func=ast.Attribute(ast.Name("keraskit"), "main"), args=[ast.Name(name)]) if (
                    name in functions
                ):
                    return name
        return ""

    @cached_property
    def _recipe(self) -> Recipe | Callable[..., Any]:
        """The recipe, for what is written of it: its file is imported with stand-ins for Keras where that works."""
        if "keras" in sys.modules:
            return self.load()
        path = str(self.source.resolve().parent)
        try:
            with stand_ins.standing_in(), contextlib.redirect_stdout(io.StringIO()):
                sys.path.append(path)  # not first: its files would stand in the way of NumPy's and others'
                try:
                    return self._held(runpy.run_path(str(self.source), run_name=f"keraskit_{self.name}"))
                finally:
                    sys.path.remove(path)
        except Exception:
            return self.load()

    @property
    def trains(self) -> bool:
        """Whether it is a Recipe, and no plain function."""
        return not self.plain

    @cached_property
    def declared(self) -> dict[str, Any]:
        """The literal arguments of `recipe = Recipe(...)`: section, expected, epochs, batch_size, augment."""
        if self.plain:
            where = re.search(r"\(document.*?(?=;|\)\.?$)", self.doc.partition("\n")[0])
            return {"section": ", ".join(re.findall(r"\d[\d.]*", where[0]))} if where else {}
        return _literals(self._call) if self._call else vars(self._recipe)

    @property
    def measured_with(self) -> str:
        """The recipe's own flags that its expected figures were measured with; empty for the defaults."""
        return flags({k: v for k, v in self.declared.get("expected_with", {}).items() if k != "weights"})

    @cached_property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """The recipe's functions, for their signatures and docstrings."""
        return functions_of(self._recipe)

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
            return self._held(vars(import_module(f"{PACKAGE}.{self.name}")))
        main = sys.modules["__main__"]
        if getattr(main, "__file__", None) and Path(str(main.__file__)).resolve() == path and hasattr(main, "recipe"):
            return self._held(vars(main))
        name = f"keraskit_file_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
        return self._held(vars(sys.modules.get(name) or import_file(self.source, name)))

    def _held(self, names: dict[str, Any]) -> Recipe | Callable[..., Any]:
        return names[self.plain] if self.plain else held(names, self.source)


def functions_of(recipe: Recipe | Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """The functions whose arguments are flags: a recipe's, or a plain one as "run"."""
    return recipe.functions if isinstance(recipe, Recipe) else {"run": recipe}


def held(names: dict[str, Any], source: Path) -> Recipe:
    """The recipe that a file holds, as this file's whatever module has made it."""
    recipe = names.get("recipe")
    if not isinstance(recipe, Recipe):
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
    """Import one recipe, and Keras with it: a Recipe, or the plain function of one that trains nothing."""
    return find_card(word).load()
