"""Verbs and flags, made from signatures; runs what was asked for, and turns what goes wrong into one line."""

from __future__ import annotations

import functools
import gc
import inspect
import io
import logging
import os
import shlex
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from keraskit import files, signals, start
from keraskit.cli import commands, words
from keraskit.cli.help import HelpPage, defaults
from keraskit.cli.words import OF_RECIPES
from keraskit.config import TRAINING, RunConfig
from keraskit.errors import Typed, UserError, printable, sentence
from keraskit.recipe import Recipe, options_of
from keraskit.registry import Card, find_card, functions_of, held, recipes_available

BAD_INPUT = 2
FLAT = Parameter(name="*", negative_iterable=())  # a model whose fields are flags
ABOUT = """A classic Keras tutorial as software.

    keraskit list
    keraskit run mlp --quick
    keraskit run mlp --help

Exit codes: 0 done, 1 an error in keraskit, 2 bad input, 130 interrupted by Ctrl-C, 143 by SIGTERM."""
INSTALL = "--install-completion"


def command_line(argv: Sequence[str] | None = None) -> None:
    """Entry point of `keraskit` and `python -m keraskit`."""

    def command(typed: list[str]) -> None:
        if typed[:1] == ["launch"]:
            check(commands.launched(typed))  # before any worker starts
        _app(typed)(typed, **_QUIET)

    sys.exit(_guarded(command, list(sys.argv[1:] if argv is None else argv), "keraskit"))


def main(recipe: Recipe | Callable[..., Any]) -> None:
    """Run a file as a program, with the flags of `keraskit run`: the last line of a recipe's module.

    Args:
        recipe: what the module makes; or a plain function, whose arguments are the flags.
    """
    gc.freeze()  # as `start.wait_for_tensorflow` does
    program = vars(sys.modules["__main__"])
    file = Path(program.get("__file__") or "")
    if program.get("recipe") is recipe and file.is_file():
        recipe = held(program, file)  # whatever module has made it
    card = Card(recipe.source, recipe.name) if isinstance(recipe, Recipe) else Card(file)
    name = f"python -m keraskit.recipes.{card.name}" if card.ours else f"python {card.source.name or '-'}"
    app = _recipe_app("run", name, card, recipe)
    app["--help"].show = False  # as below `keraskit run`
    sys.exit(_guarded(lambda typed: app(typed, **_QUIET), sys.argv[1:], name))


_QUIET: dict[str, Any] = {"exit_on_error": False, "print_error": False, "result_action": "return_value"}


def _guarded(command: Callable[[list[str]], Any], typed: list[str], name: str) -> int:
    """Run a command; turn what goes wrong into one line on stderr and an exit code."""
    _prepare_output()
    with signals.sent_to(signals.stop):
        try:
            command(typed)
            print(end="", flush=True)
            return 0
        except BrokenPipeError:  # the reader has gone, as in `keraskit list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered goes nowhere
            return 128 + signal.SIGPIPE
        except CycloptsError as error:
            return _fail(str(words.refusal(error, name)), BAD_INPUT)
        except UserError as error:
            whole = f" Type: {name} {shlex.join(typed)} {error.flag}" if error.flag else ""
            return _fail(f"{error}{whole}", error.code)
        except KeyboardInterrupt as stopped:
            return _fail(str(stopped) or "Interrupted.", getattr(stopped, "code", 130))
        except OSError as error:  # the disk, a name that is too long, a folder that nobody may write
            return _fail(f"{error.filename or 'The system says'}: {error.strerror or error}.", BAD_INPUT)
        except Exception as error:
            where = "; ".join(getattr(error, "__notes__", [])) or "KERASKIT_DEBUG=1 shows where."
            return _fail(f"Unexpected {type(error).__name__}: {error} ({where})", 1)


def _prepare_output() -> None:
    """Print any letter, also where a terminal does not know it; and warnings as lines of ours."""
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:  # else the next file would take a closed output's place
        pass
    os.close(number)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.formatwarning = lambda message, *_, **__: f"keraskit: warning: {' '.join(printable(message).split())}\n"
    warnings.filterwarnings("ignore", module="PIL")  # of odd files, which are looked at with care
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of a home that it cannot write


def _fail(message: str, code: int) -> int:
    if os.environ.get("KERASKIT_DEBUG"):
        traceback.print_exc()
    print(f"keraskit: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code


def check(typed: Sequence[str]) -> None:
    """Raise a UserError if `keraskit TYPED` would refuse its words, without running anything."""
    try:
        _app(typed).parse_args(typed, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise words.refusal(error, "keraskit") from error


def _made(name: str, doc: str, known: Mapping[str, str], **more: Any) -> App:
    """A command with subcommands, or a default one to be; `known` are defaults of flags that its type does not say."""
    settings: dict[str, Any] = {"suppress_keyboard_interrupt": False}
    return App(name=name, help=doc, help_format="plaintext", help_formatter=HelpPage(doc, known), **settings, **more)


def _app(typed: Sequence[str]) -> App:
    """All verbs. `run`, `show` and `autotune` have the flags of the recipe that is named, read from its source."""
    app = _made("keraskit", ABOUT, {})
    for name, command in commands.VERBS.items():
        app.command(command, name=name, help_formatter=HelpPage(command.__doc__ or "", {}))
    about = "Make the shell complete commands, recipes and flags."
    app.register_install_completion_command(INSTALL, help=about, help_formatter=HelpPage(about, {}))
    cards = recipes_available() if typed[:1] == [INSTALL] else {}
    if typed and typed[0] in OF_RECIPES and typed[1:2] not in (["--help"], ["-h"]):
        if not typed[1:] or typed[1].startswith("-"):
            problem = f"`keraskit {typed[0]}` needs a recipe's name first: `keraskit {typed[0]} NAME`."
            raise UserError(problem, f"NAME is one of {', '.join(recipes_available())}.")
        cards = {typed[1]: find_card(typed[1])}
        if typed[0] == "autotune" and not cards[typed[1]].trains:
            raise UserError(f"{typed[1]} trains no model, so there is nothing to measure.", "See `keraskit list`.")
    for verb, about in OF_RECIPES.items():
        names = f"`keraskit {verb} NAME --help` shows a recipe's own flags. NAME is {', '.join(recipes_available())}."
        usage = None if cards else f"keraskit {verb} NAME [OPTIONS]"
        app.command(sub := _made(verb, f"{about}\n\n{names}", {}, usage=usage))
        for name, card in cards.items():
            if card.trains or verb != "autotune":
                sub.command(_recipe_app(verb, name, card))
    return app


def _recipe_app(verb: str, name: str, card: Card, recipe: Any = None) -> App:
    """One verb for one recipe.

    Args:
        verb: run, show or autotune.
        name: what comes before the flags.
        card: what the recipe's source says of itself.
        recipe: itself, where it is loaded already.
    """
    functions = functions_of(recipe) if recipe else card.functions
    load = functools.partial(_load, card, recipe)
    doc = card.doc if verb == "run" else f"{OF_RECIPES[verb]}\n\n{card.doc}"
    known = defaults(vars(recipe) if recipe else card.declared)
    app = _made(name, doc, known, version_flags=[])
    if "run" in functions:
        app.default((lambda: _show_source(card)) if verb == "show" else _plain_command(functions["run"], load))
    elif verb == "show":
        app.default(_show_command(card, functions["build"], load))
    else:
        app.group_parameters = TRAINING
        app.default(_training_command(verb, card, functions, load))
    return app


def _load(card: Card, recipe: Any) -> Any:
    start.wait_for_tensorflow()
    return recipe or card.load()


def _training_command(
    verb: str, card: Card, functions: Mapping[str, Callable[..., Any]], load: Callable[..., Any]
) -> Callable[..., None]:
    options_type = options_of(functions)

    def command(*, config: Any = RunConfig(), options: Any = None) -> None:  # noqa: B008
        given = Typed.given(options) if options else {}
        if verb == "run" and config.seeds > 1 and card.source.is_file():
            from keraskit.training import seeds

            seeds.in_processes(card, config, given)
            return
        recipe = load()
        if verb == "autotune":
            from keraskit.training.autotune import autotune

            autotune(recipe, config, given)
        else:
            from keraskit.training.runner import train

            train(recipe, config, given, ago=time.perf_counter() - start.BEGAN)

    command.__annotations__ = {"config": Annotated[RunConfig, FLAT], "options": Annotated[options_type | None, FLAT]}
    return command


def _show_command(card: Card, build: Callable[..., Any], load: Callable[..., Any]) -> Callable[..., None]:
    options_type = options_of({"build": build})

    def show(*, graph: Path = Path(f"{card.name}.svg"), options: Any = None) -> None:
        files.check_file(graph)
        recipe = load()
        from keraskit.models.graph import draw
        from keraskit.training.settings import settle
        from keraskit.training.setup import build

        settings = settle(recipe, RunConfig(), Typed.given(options) if options else {})
        built = build(recipe, settings)
        _show_source(card)
        built.summary()
        try:
            draw(built, graph)
        except OSError as error:
            raise UserError(f"Cannot write {graph}: {error.strerror}.", "Name another file with --graph.") from error
        print(f"graph: {printable(graph)}")

    graph_help = Parameter(help="File to draw the graph into; its ending says the format: .svg, .png, .jpg, .dot.")
    show.__annotations__ = {
        "graph": Annotated[Path, graph_help],
        "options": Annotated[options_type | None, FLAT],
    }
    return show


def _show_source(card: Card) -> None:
    print(f"{card.doc}\n\nSource: {printable(card.source)}".strip() + ("\n" if card.trains else ""))


def _plain_command(function: Callable[..., Any], load: Callable[..., Any]) -> Callable[..., None]:
    """A command with the function's own signature."""

    def run(*args: Any, **kwargs: Any) -> None:
        try:
            load()(*args, **kwargs)
        except ValueError as error:  # of its own, or of Keras's
            raise UserError(f"{function.__name__} cannot do that: {sentence(error)}") from error

    run.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    run.__annotations__ = {name: p.annotation for name, p in inspect.signature(function).parameters.items()}
    run.__doc__ = function.__doc__
    return run
