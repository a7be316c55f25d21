"""Recipe, what a recipe module declares, and the registry, which finds recipes by reading the package's sources."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
import re
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from keraskit.augment import Augmentation
from keraskit.errors import UserError
from keraskit.suggest import did_you_mean

if TYPE_CHECKING:
    import keras
    import numpy as np

    from keraskit.config import RunConfig
    from keraskit.datasets.splits import Splits

PACKAGE = "keraskit.recipes"
SAID = {"section", "expected", "expected_with"}  # arguments of a Recipe that change nothing of what it does
BEYOND = "beyond the document"


class Runnable:
    """What every recipe can do: say its name, and run as a program."""

    @property
    def function(self) -> Callable[..., Any]:
        """What gives the recipe its name and its own flags."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The recipe's name is its module's."""
        return self.source.stem

    @property
    def source(self) -> Path:
        """The file that holds the recipe."""
        return Path(inspect.getsourcefile(self.function) or "recipe.py")

    @property
    def command(self) -> str:
        """What a user types to run this recipe."""
        return f"keraskit run {self.name}" if self.name in recipes_available() else f"python {self.source.name}"

    def main(self) -> None:
        """Run as a program, with the flags of `keraskit run`."""
        from keraskit import cli

        sys.exit(cli.run_recipe(self, sys.argv[1:]))


@dataclass(frozen=True, kw_only=True)
class Recipe(Runnable):
    """One model of the document and how it is trained.

    Args:
        build: returns the uncompiled model; its keyword arguments become flags, `--model.<name>` or `--<name>`.
        data: given the run's knobs, returns the splits the model learns from.
        loss: as in `Model.compile`.
        metrics: as in `Model.compile`.
        epochs: passes over the training split.
        batch_size: examples in one step.
        steps_per_epoch: steps in one epoch (default: until every example was seen); a quick run does not keep to it.
        section: the document's section, or several with commas; empty where a model is beyond the document.
        expected: what a full run on the recipe's own data reaches, by metric, such as `{"test_accuracy": 0.982}`.
        expected_with: the flags it was measured with, where they are not the defaults: arguments of the builder, and
            `weights`, the name of Keras's file.
        optimizer: a Keras optimizer's name, or a function that makes one (a live one would allocate at import).
        schedule: "constant", or "cosine": the learning rate falls along a cosine to zero at the run's last step.
        warmup_steps: with "cosine", the learning rate first rises from zero over so many steps.
        loss_weights: as in `Model.compile`, for a model with several outputs.
        head: the output that names the class, where the model has several.
        sheet: makes the sheet of samples from the splits and the predictions for the first test examples, where
            pictures with their class would not show what the model does.
        reference_batch: the batch that the optimizer's learning rate is meant for; a smaller one scales it down.
        augment: what happens to training pictures unless flags say otherwise.
        features: the layer whose outputs never change, because all below it is frozen: they are computed once, and the
            layers above it are trained on them.
        after: the recipe whose run this one starts from.
        weights: what `--weights` is when the user gives none.
        imagenet: fills a model with Keras's published weights for `--weights imagenet`, and returns the names of the
            layers that have another shape and keep their initial weights.
        quick: what `--quick` bounds besides epochs: `limit`, `batch_size`, and `model`, arguments of the builder.
        monitor: the validation metric that decides which epoch's weights are kept; of equals, the lower `val_loss`.
    """

    build: Callable[..., keras.Model]
    data: Callable[[RunConfig], Splits]
    loss: Any
    metrics: Any
    epochs: int
    batch_size: int
    section: str = ""
    steps_per_epoch: int | None = None
    expected: Mapping[str, float] = field(default_factory=dict)
    expected_with: Mapping[str, Any] = field(default_factory=dict)
    optimizer: str | Callable[[], keras.optimizers.Optimizer] = "adam"
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = 0
    loss_weights: Any = None
    head: str | None = None
    sheet: Callable[[Splits, Any], tuple[np.ndarray, list[str]]] | None = None
    reference_batch: int | None = None
    augment: Augmentation = Augmentation()  # noqa: RUF009  (frozen)
    features: str | None = None
    after: str | None = None
    weights: str | None = None
    imagenet: Callable[[keras.Model], list[str]] | None = None
    quick: Mapping[str, Any] = field(default_factory=dict)
    monitor: str = "val_accuracy"

    @property
    def function(self) -> Callable[..., Any]:
        """What gives the recipe its name and its own flags."""
        return self.build


@dataclass(frozen=True, kw_only=True)
class Program(Runnable):
    """A recipe that trains no model of its own.

    Args:
        run: does it all; its keyword arguments become flags.
        section: as in Recipe.
    """

    run: Callable[..., Any]
    section: str = ""

    @property
    def function(self) -> Callable[..., Any]:
        """What gives the recipe its name and its own flags."""
        return self.run


@dataclass(frozen=True)
class Card:
    """What a recipe's source says of itself, read without executing it."""

    name: str
    source: Path

    @cached_property
    def _tree(self) -> ast.Module:
        return ast.parse(self.source.read_text(encoding="utf-8"))

    @property
    def doc(self) -> str:
        """The module's docstring."""
        return ast.get_docstring(self._tree) or ""

    @property
    def code(self) -> str:
        """What the module does: its source without comments, docstrings, and what it says of itself."""
        tree = ast.parse(ast.unparse(self._tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                node.keywords = [keyword for keyword in node.keywords if keyword.arg not in SAID]
            elif isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        return ast.unparse(tree)

    @property
    def summary(self) -> str:
        """The docstring's first line, without the note in brackets."""
        return re.sub(r"\s*\((beyond the )?document.*?\)\.?$", "", self.doc.partition("\n")[0]).rstrip(".")

    @property
    def parameters(self) -> str:
        """The parameter count that the docstring's first line states, such as `541,794`."""
        found = re.search(r"([\d,]+) parameters", self.doc.partition("\n")[0])
        return found[1] if found else ""

    @cached_property
    def _call(self) -> ast.Call:
        for node in self._tree.body:
            match node:
                case ast.Assign(
                    targets=[ast.Name("recipe")], value=ast.Call(func=ast.Name("Recipe" | "Program")) as call
                ):
                    return call
        raise UserError(f"{self.source.name} has no line `recipe = Recipe(...)`.", "See any recipe for how it looks.")

    @property
    def trains(self) -> bool:
        """Whether it is a Recipe, not a Program."""
        return isinstance(self._call.func, ast.Name) and self._call.func.id == "Recipe"

    @property
    def reader(self) -> str:
        """The function that reads the recipe's data, as its source names it, such as `digits.flat`."""
        return next((ast.unparse(keyword.value) for keyword in self._call.keywords if keyword.arg == "data"), "")

    @cached_property
    def declared(self) -> dict[str, Any]:
        """The literal arguments of `recipe = Recipe(...)`: section, expected, epochs, batch_size, augment."""
        return _literals(self._call)

    def function(self) -> Callable[..., Any]:
        """`build`, or what a Program runs: its signature and docstring alone, made without importing Keras."""
        wanted = next(
            (k.value.id for k in self._call.keywords if k.arg in {"build", "run"} and isinstance(k.value, ast.Name)), ""
        )
        for node in self._tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == wanted:
                node = ast.parse(ast.unparse(node)).body[0]  # a copy, so that the tree stays as it was read
                assert isinstance(node, ast.FunctionDef)
                node.returns, node.decorator_list = None, []
                node.body = [b for b in node.body[:1] if isinstance(b, ast.Expr)] or [ast.Pass()]
                names: dict[str, Any] = {}
                known = {**vars(typing), "Path": Path}
                exec(compile(ast.Module([node], []), str(self.source), "exec", dont_inherit=True), known, names)
                return names[wanted]
        raise UserError(f"{self.source.name} has no function for its recipe.", "Add `build`, which returns a model.")


def _literals(call: ast.Call) -> dict[str, Any]:
    """The keyword arguments of a call that can be told without executing it; an augmentation's are."""
    literals: dict[str, Any] = {}
    for keyword in call.keywords:
        match keyword.value:
            case ast.Call(func=ast.Name("Augmentation")) as inner:
                literals[str(keyword.arg)] = Augmentation(**_literals(inner))
            case value:
                with contextlib.suppress(ValueError):  # a name or another call
                    literals[str(keyword.arg)] = ast.literal_eval(value)
    return literals


def recipes_available() -> dict[str, Card]:
    """Every recipe by name, in the alphabet's order."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(file for folder in folders for file in Path(folder).glob("[a-z]*.py"))
    return {file.stem: Card(file.stem, file) for file in files}


def find_card(name: str) -> Card:
    """The card of one recipe, its name in any case. Raises UserError with the nearest name when there is none."""
    cards = recipes_available()
    if plain_name(name) in cards:
        return cards[plain_name(name)]
    meant = did_you_mean(name, cards)
    raise UserError(f"There is no recipe {name!r}. {meant}", "`keraskit list` shows them all.")


def plain_name(word: str) -> str:
    """A recipe's name as it is spelt: `CNN` is cnn, and cats-dogs cats_dogs."""
    return word.lower().replace("-", "_")


def load_recipe(name: str) -> Any:
    """Import one recipe, and Keras with it; a Recipe or a Program."""
    return import_module(f"{PACKAGE}.{find_card(name).name}").recipe
