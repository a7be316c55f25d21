"""Commands that take a recipe: train, show, autotune. Their flags are the arguments of the recipe's functions."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from keraskit import start
from keraskit.config import TRAINING, RunConfig
from keraskit.errors import flags, printable
from keraskit.files import check_file
from keraskit.recipe import Recipe, options_of
from keraskit.registry import Card
from keraskit.typed import Typed

FLAT = Parameter(name="*", negative_iterable=())  # a model with fields that are flags


def command(verb: str, card: Card) -> tuple[Callable[..., None], Group | None, str]:
    """Return the command `verb` of a recipe or plain function, the group of its flags, and their defaults in words."""
    recipe = card.recipe
    if not isinstance(recipe, Recipe):
        load = functools.wraps(recipe)(lambda *args, **options: card.load()(*args, **options))
        return (load if verb == "run" else lambda: _show_source(card)), None, ""
    if verb == "show":
        return _show_command(recipe, card), None, ""
    values = {each: getattr(recipe, each) for each in ("epochs", "batch_size", "steps_per_epoch")}
    values |= {"weights": recipe.pretrained and recipe.pretrained.weights, "augment": recipe.augment.given()}
    return _training_command(verb, recipe, card), TRAINING, flags({name: v for name, v in values.items() if v})


def _training_command(verb: str, declared: Recipe, card: Card) -> Callable[..., None]:
    def command(*, config: Any = None, options: Any = None) -> None:
        config, given = config or RunConfig(), Typed.given(options) if options else {}
        if verb == "run" and config.seeds > 1 and card.source.is_file():
            from keraskit.training import seeds

            seeds.train(card, config, given)
            return
        recipe = card.load()
        from keraskit.training import autotune, runner

        if verb == "autotune":
            autotune.autotune(recipe, config, given)
        else:
            runner.train(recipe, config, given, ago=time.perf_counter() - start.BEGAN)

    types = {"config": RunConfig | None, "options": options_of(declared.functions) | None}
    command.__annotations__ = {name: Annotated[each, FLAT] for name, each in types.items()}
    return command


def _show_command(declared: Recipe, card: Card) -> Callable[..., None]:
    def show(*, graph: Path = Path(f"{card.name}.svg"), options: Any = None) -> None:
        recipe = card.load()
        from keraskit.models.graph import draw
        from keraskit.training.settings import settle
        from keraskit.training.setup import build

        model = build(recipe, settle(recipe, RunConfig(), Typed.given(options) if options else {}))
        _show_source(card)
        model.summary()
        draw(model, graph)
        print(f"graph: {printable(graph)}")

    about = "File to draw the graph into; its ending says the format: .svg, .png, .jpg, .dot."
    graph_file = Annotated[Path, Parameter(help=about, validator=lambda _, file: check_file(file))]
    options_type = options_of({"build": declared.build})
    show.__annotations__ = {"graph": graph_file, "options": Annotated[options_type | None, FLAT]}
    return show


def _show_source(card: Card) -> None:
    print(f"{card.doc}\n\nSource: {printable(card.source)}".strip() + ("" if card.plain else "\n"))
