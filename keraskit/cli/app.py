"""The command line: parses, calls, prints. Nothing here imports TensorFlow before it must."""

from __future__ import annotations

import dataclasses
import inspect
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from keraskit import files, signals, startup
from keraskit.cli import commands
from keraskit.config import RunConfig, changed, flag
from keraskit.errors import UserError, printable
from keraskit.options import Option, options_of
from keraskit.recipe import Program, Recipe
from keraskit.registry import Card, find_card, recipes_available

BAD_INPUT = 2
FLAT = Parameter(name="*", negative=())  # a dataclass whose fields are flags
EXIT_CODES = "Exit codes: 0 done, 1 an error in keraskit, 2 bad input, 130 interrupted by Ctrl-C, 143 by SIGTERM."


def command_line(argv: Sequence[str] | None = None) -> None:
    """Entry point of `keraskit` and `python -m keraskit`."""
    sys.exit(
        _guarded(lambda words: _app(words)(words, **_QUIET), list(sys.argv[1:] if argv is None else argv), "keraskit")
    )


def main(recipe: Recipe | Program) -> None:
    """Run a recipe's file as a program, with the flags of `keraskit run`: a recipe module's last line."""
    sys.exit(run_recipe(recipe, sys.argv[1:]))


def run_recipe(recipe: Recipe | Program, argv: Sequence[str]) -> int:
    """`keraskit run` for a recipe that is imported already; what `python -m keraskit.recipes.mlp` does."""
    known = recipes_available().get(recipe.name)
    name = f"python -m keraskit.recipes.{recipe.name}" if known else f"python {recipe.source.name}"
    app = App(name=name, version_flags=[], suppress_keyboard_interrupt=False)
    make = _run_command if isinstance(recipe, Recipe) else _program_command
    app.default(make(Card(recipe.source), recipe.functions, lambda: _started(recipe)))
    return _guarded(lambda words: app(words, **_QUIET), list(argv), name)


_QUIET: dict[str, Any] = {"exit_on_error": False, "print_error": False, "result_action": "return_value"}


def _guarded(command: Callable[[list[str]], Any], words: list[str], name: str) -> int:
    """Run a command; turn what goes wrong into one line on stderr and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal need not know every letter
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of a home that it cannot write
    warnings.filterwarnings("ignore", module="PIL")  # of odd files, which are looked at with care
    try:
        with signals.sent_to(signals.stop):
            command(words)
        sys.stdout.flush()
        return 0
    except CycloptsError as error:
        verb = " ".join(w for w in words[:2] if not w.startswith("-") and name == "keraskit")
        return _fail(f"{error} `{name}{' ' + verb if verb else ''} --help` lists what there is.", BAD_INPUT)
    except UserError as error:
        return _fail(str(error), error.code)
    except KeyboardInterrupt as stopped:
        return _fail(str(stopped) or "Interrupted.", getattr(stopped, "code", 130))
    except BrokenPipeError:  # the reader of our output has gone, as in `keraskit list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:  # the disk, a name that is too long, a folder that nobody may write
        return _fail(f"{error.filename or 'The system says'}: {error.strerror or error}.", BAD_INPUT)
    except Exception as error:
        where = "; ".join(getattr(error, "__notes__", [])) or "KERASKIT_DEBUG=1 shows where."
        return _fail(f"Unexpected {type(error).__name__}: {error} ({where})", 1)


def _fail(message: str, code: int) -> int:
    startup.speak()
    if os.environ.get("KERASKIT_DEBUG"):
        traceback.print_exc()
    print(f"keraskit: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code


def check(words: Sequence[str]) -> None:
    """Raise a UserError if `keraskit WORDS` would refuse its words, without running anything."""
    try:
        _app(words).parse_args(list(words), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise UserError(str(error), f"`keraskit {' '.join(words[:2])} --help` lists what there is.") from error


def _app(words: Sequence[str]) -> App:
    """All verbs. `run` and `show` have the flags of the recipe that the words name, read from its source."""
    app = App(
        name="keraskit",
        help=f"A classic Keras tutorial as software.\n\n{EXIT_CODES}",
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
    app.command(commands.list_recipes, name="list")
    app.command(commands.doctor)
    app.command(commands.new)
    app.command(commands.launch)
    app.command(commands.augment)
    app.command(commands.resume)
    app.command(commands.predict)
    app.command(commands.compare)
    app.command(data := App(name="data", help="Prepare data sets."))
    data.command(commands.prepare_data, name="prepare")
    named = len(words) > 1 and words[0] in {"run", "show", "autotune"} and not words[1].startswith("-")
    if not named:
        app.command(_run_any, name="run")
        app.command(_show_any, name="show")
        app.command(_autotune_any, name="autotune")
        return app
    card = find_card(words[1])
    verbs = {
        "run": _run_command if card.trains else _program_command,
        "show": _show_command if card.trains else _show_program,
        **({"autotune": _autotune_command} if card.trains else {}),
    }
    for verb, command in verbs.items():
        app.command(sub := App(name=verb, help=f"{verb.title()} a recipe; see `keraskit {verb} NAME --help`."))
        sub.command(command(card, card.functions, card.load), name=words[1])
    return app


def _run_any(recipe: str) -> None:
    """Train a recipe, evaluate it, save and plot. `keraskit run NAME --help` shows the recipe's own flags.

    Args:
        recipe: One of the names that `keraskit list` shows.
    """
    raise UserError(
        f"No flags before the recipe's name ({recipe}).", f"Say `keraskit run {recipe}` and then the flags."
    )


def _show_any(recipe: str) -> None:
    """Show a recipe: its docstring, Keras's summary, and its graph, drawn into a file.

    Args:
        recipe: One of the names that `keraskit list` shows.
    """
    raise UserError(
        f"No flags before the recipe's name ({recipe}).", f"Say `keraskit show {recipe}` and then the flags."
    )


def _autotune_any(recipe: str) -> None:
    """Measure on this machine which precision is fastest for a recipe, and whether XLA helps; auto then takes it.

    Args:
        recipe: One of the names that `keraskit list` shows.
    """
    raise UserError(
        f"No flags before the recipe's name ({recipe}).", f"Say `keraskit autotune {recipe}` and then the flags."
    )


Functions = dict[str, Callable[..., Any]]


def _run_command(card: Card, functions: Functions, load: Callable[[], Recipe]) -> Callable[..., None]:
    options_type = _flags_of(functions)

    def run(*, config: Any = RunConfig(), options: Any = options_type()) -> None:  # noqa: B008
        recipe = load()
        from keraskit.training.runner import train

        train(recipe, config, changed(options))

    run.__annotations__ = {"config": Annotated[RunConfig, FLAT], "options": Annotated[options_type, FLAT]}
    run.__doc__ = card.doc
    return run


def _autotune_command(card: Card, functions: Functions, load: Callable[[], Recipe]) -> Callable[..., None]:
    options_type = _flags_of(functions)

    def autotune(*, config: Any = RunConfig(), options: Any = options_type()) -> None:  # noqa: B008
        recipe = load()
        from keraskit.training.autotune import autotune

        autotune(recipe, config, changed(options))

    autotune.__annotations__ = {
        "config": Annotated[RunConfig, FLAT],
        "options": Annotated[options_type, FLAT],
    }
    autotune.__doc__ = f"Measure how {card.name} trains fastest on this machine, with the flags of `keraskit run`."
    return autotune


def _show_command(card: Card, functions: Functions, load: Callable[[], Recipe]) -> Callable[..., None]:
    options_type = _flags_of({"build": functions["build"]})

    def show(*, graph: Path = Path(f"{card.name}.svg"), options: Any = options_type()) -> None:  # noqa: B008
        files.check_file(graph)
        recipe = load()
        from keraskit.models.graph import draw
        from keraskit.training.setup import build

        built = build(recipe, changed(options))
        print(f"{card.doc}\n\nSource: {card.source}\n")
        built.summary()
        try:
            draw(built, graph)
        except OSError as error:
            raise UserError(f"Cannot write {graph}: {error.strerror}.", "Name another file with --graph.") from error
        print(f"graph: {printable(graph)}")

    graph_help = Parameter(help="File to draw the graph into; its ending says the format: .svg, .png, .jpg, .dot.")
    show.__annotations__ = {"graph": Annotated[Path, graph_help], "options": Annotated[options_type, FLAT]}
    show.__doc__ = f"Show {card.name}: {card.summary}."
    return show


def _program_command(card: Card, functions: Functions, load: Callable[[], Program]) -> Callable[..., None]:
    """A command with the function's own signature."""
    function = functions["run"]

    def run(*args: Any, **kwargs: Any) -> None:
        load().run(*args, **kwargs)

    run.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    run.__annotations__ = {name: p.annotation for name, p in inspect.signature(function).parameters.items()}
    arguments = (function.__doc__ or "").partition("Args:")
    run.__doc__ = f"{card.doc}\n\n{arguments[1]}{arguments[2]}"
    return run


def _show_program(card: Card, functions: Functions, load: Callable[[], Program]) -> Callable[..., None]:
    def show() -> None:
        print(f"{card.doc}\n\nSource: {card.source}")

    show.__doc__ = f"Show {card.name}."
    return show


def _flags_of(functions: Functions) -> type:
    """A dataclass with the arguments of a recipe's functions, each a flag."""

    def field(option: Option) -> tuple[str, Any, Any]:
        knob = Parameter(help=option.help, name=flag(option.name), consume_multiple=True, negative_iterable=())
        return option.name, Annotated[option.kind, knob], dataclasses.field(default=option.default)

    fields = [field(option) for option in options_of(functions).values()]
    return dataclasses.make_dataclass("Options", fields, frozen=True, namespace={"__module__": __name__})


def _started(recipe: Any) -> Any:
    startup.wait_for_tensorflow()
    return recipe
