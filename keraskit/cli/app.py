"""Verbs and flags, made from signatures; runs what was asked for, and turns what goes wrong into one line."""

from __future__ import annotations

import gc
import inspect
import io
import logging
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from cyclopts.help import ColumnSpec, DefaultFormatter, DescriptionRenderer, NameRenderer
from pydantic import ValidationError

from keraskit import files, signals, start
from keraskit.cli import commands
from keraskit.config import TRAINING, RunConfig, flags
from keraskit.errors import Typed, UserError, printable, sentence, unfit
from keraskit.recipe import Recipe, options_of
from keraskit.registry import Card, find_card, functions_of, recipes_available

BAD_INPUT = 2
FLAT = Parameter(name="*", negative_iterable=())  # a model whose fields are flags
HELP = DefaultFormatter(  # cyclopts's own, but that no flag's name is broken
    column_specs=(ColumnSpec(NameRenderer(), style="cyclopts.name", no_wrap=True), ColumnSpec(DescriptionRenderer()))
)
ABOUT = """A classic Keras tutorial as software.

    keraskit list
    keraskit run mlp --quick
    keraskit run mlp --help

Exit codes: 0 done, 1 an error in keraskit, 2 bad input, 130 interrupted by Ctrl-C, 143 by SIGTERM."""
INSTALL = "--install-completion"
OF_RECIPES = {  # verbs that a recipe's name follows
    "run": "Train a recipe, evaluate it, save and plot.",
    "show": "Show a recipe: its docstring, Keras's summary, and its graph, drawn into a file.",
    "autotune": "Measure here which precision is fastest for a recipe, and whether XLA helps; prints the flags.",
}
Functions = Mapping[str, Callable[..., Any]]


def command_line(argv: Sequence[str] | None = None) -> None:
    """Entry point of `keraskit` and `python -m keraskit`."""
    typed = list(sys.argv[1:] if argv is None else argv)
    sys.exit(_guarded(lambda: _app(typed)(typed, **_QUIET), "keraskit"))


def main(recipe: Recipe | Callable[..., Any]) -> None:
    """Run a file as a program, with the flags of `keraskit run`: the last line of a recipe's module.

    Args:
        recipe: what the module makes; or a plain function, whose arguments are the flags.
    """
    gc.freeze()  # as `start.wait_for_tensorflow` does
    program = sys.modules["__main__"]
    file = Path(getattr(program, "__file__", None) or "")
    card = Card(file if file.is_file() else None)
    if isinstance(recipe, Recipe):
        recipe = card.made(vars(program)) if getattr(program, "recipe", None) is recipe and file.is_file() else recipe
        card = Card(recipe.source, recipe.name) if isinstance(recipe, Recipe) else card
    name = f"python -m keraskit.recipes.{card.name}" if card.ours else f"python {card.source.name or '-'}"
    app = _recipe_app("run", name, card, recipe)
    app["--help"].show = False  # as below `keraskit run`
    sys.exit(_guarded(lambda: app(sys.argv[1:], **_QUIET), name))


_QUIET: dict[str, Any] = {"exit_on_error": False, "print_error": False, "result_action": "return_value"}


def _guarded(command: Callable[[], Any], name: str) -> int:
    """Run a command; turn what goes wrong into one line on stderr and an exit code."""
    _prepare_output()
    with signals.sent_to(signals.stop):
        try:
            command()
            print(end="", flush=True)
            return 0
        except BrokenPipeError:  # the reader has gone, as in `keraskit list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered goes nowhere
            return 128 + signal.SIGPIPE
        except CycloptsError as error:
            return _fail(str(_refusal(error, name)), BAD_INPUT)
        except UserError as error:
            return _fail(str(error), error.code)
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
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115  (closed; Keras prints to it)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.formatwarning = lambda message, *_, **__: f"keraskit: warning: {printable(message)}\n"
    warnings.filterwarnings("ignore", module="PIL")  # of odd files, which are looked at with care
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of a home that it cannot write


def _fail(message: str, code: int) -> int:
    if os.environ.get("KERASKIT_DEBUG"):
        traceback.print_exc()
    print(f"keraskit: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code


def _refusal(error: CycloptsError, name: str) -> UserError:
    """What cyclopts or pydantic says of the words of a command, with what to do next; `name` is the program's."""
    if isinstance(error.__cause__, ValidationError) and error.argument:
        return unfit(error.__cause__, error.argument.name)
    return UserError(sentence(error), f"`{' '.join([name, *(error.command_chain or [])])} --help` lists what there is.")


def check(typed: Sequence[str]) -> None:
    """Raise a UserError if `keraskit TYPED` would refuse its words, without running anything."""
    try:
        _app(typed).parse_args(typed, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise _refusal(error, "keraskit") from error


def _made(name: str, doc: str, **more: Any) -> App:
    doc = "\n".join(line.strip() for line in doc.split("\n"))  # cyclopts strips the first line of a block alone
    more |= {"help": doc, "help_format": "plaintext", "help_formatter": HELP, "suppress_keyboard_interrupt": False}
    return App(name=name, **more)


def _app(typed: Sequence[str]) -> App:
    """All verbs. `run`, `show` and `autotune` have the flags of the recipe that is named."""
    app = _made("keraskit", ABOUT)
    for name, command in commands.VERBS.items():
        app.command(command, name=name)
    app.register_install_completion_command(INSTALL, help="Make the shell complete commands, recipes and flags.")
    cards = recipes_available() if typed[:1] == [INSTALL] else {}
    if typed and typed[0] in OF_RECIPES and typed[1:2] not in (["--help"], ["-h"]):
        if not typed[1:] or typed[1].startswith("-"):
            problem = f"`keraskit {typed[0]}` needs a recipe's name first: `keraskit {typed[0]} NAME`."
            raise UserError(problem, f"NAME is one of {', '.join(recipes_available())}.")
        cards = {typed[1]: find_card(typed[1])}
    for verb, about in OF_RECIPES.items():
        names = f"`keraskit {verb} NAME --help` shows a recipe's own flags. NAME is {', '.join(recipes_available())}."
        usage = None if cards else f"keraskit {verb} NAME [OPTIONS]"
        app.command(sub := _made(verb, f"{about}\n\n{names}", usage=usage))
        for name, card in cards.items():
            if card.trains or verb != "autotune":
                sub.command(_recipe_app(verb, name, card))
    return app


def _recipe_app(verb: str, name: str, card: Card, recipe: Any = None) -> App:
    """One verb for one recipe.

    Args:
        verb: run, show or autotune.
        name: what comes before the flags.
        card: the recipe's file.
        recipe: itself, where it is loaded already.
    """
    known = recipe or card.recipe
    functions = functions_of(known)
    texts = [
        text if "\n " in f"\n{text}" else " ".join(text.split()) for text in card.doc.split("\n\n")
    ]  # to be filled
    doc = "\n\n".join(texts if verb == "run" else [OF_RECIPES[verb], *texts])
    if isinstance(known, Recipe) and verb != "show":
        doc += f"\n\nUnless told otherwise: {_itself(known)}"
    app = _made(name, doc, version_flags=[])
    if not isinstance(known, Recipe):
        app.default((lambda: _show_source(card)) if verb == "show" else _plain_command(functions["run"], card, recipe))
    elif verb == "show":
        app.default(_show_command(card, functions["build"], recipe))
    else:
        app.group_parameters = TRAINING
        app.default(_training_command(verb, card, functions, recipe))
    return app


def _itself(recipe: Recipe) -> str:
    """What a recipe declares of the knobs, as flags."""
    declared = {name: getattr(recipe, name) for name in ("epochs", "batch_size", "steps_per_epoch")}
    declared |= {"weights": recipe.pretrained and recipe.pretrained.weights, "augment": recipe.augment.given()}
    return flags({name: value for name, value in declared.items() if value})


def _load(card: Card, recipe: Any) -> Any:
    start.wait_for_tensorflow()
    return recipe or card.load()


def _training_command(verb: str, card: Card, functions: Functions, recipe: Any) -> Callable[..., None]:
    options_type = options_of(functions)

    def command(*, config: Any = RunConfig(), options: Any = None) -> None:  # noqa: B008
        given = Typed.given(options) if options else {}
        if verb == "run" and config.seeds > 1 and card.source.is_file():
            from keraskit.training import seeds

            seeds.train(card, config, given)
            return
        loaded = _load(card, recipe)
        if verb == "autotune":
            from keraskit.training.autotune import autotune

            autotune(loaded, config, given)
        else:
            from keraskit.training.runner import train

            train(loaded, config, given, ago=time.perf_counter() - start.BEGAN)

    command.__annotations__ = {"config": Annotated[RunConfig, FLAT], "options": Annotated[options_type | None, FLAT]}
    return command


def _show_command(card: Card, build: Callable[..., Any], recipe: Any) -> Callable[..., None]:
    options_type = options_of({"build": build})

    def show(*, graph: Path = Path(f"{card.name}.svg"), options: Any = None) -> None:
        files.check_file(graph)
        loaded = _load(card, recipe)
        from keraskit.models.graph import draw
        from keraskit.training.settings import settle
        from keraskit.training.setup import build

        settings = settle(loaded, RunConfig(), Typed.given(options) if options else {})
        model = build(loaded, settings)
        _show_source(card)
        model.summary()
        draw(model, graph)
        print(f"graph: {printable(graph)}")

    graph_help = Parameter(help="File to draw the graph into; its ending says the format: .svg, .png, .jpg, .dot.")
    show.__annotations__ = {"graph": Annotated[Path, graph_help], "options": Annotated[options_type | None, FLAT]}
    return show


def _show_source(card: Card) -> None:
    print(f"{card.doc}\n\nSource: {printable(card.source)}".strip() + ("\n" if card.trains else ""))


def _plain_command(function: Callable[..., Any], card: Card, recipe: Any) -> Callable[..., None]:
    """A command with the function's own signature."""

    def run(*args: Any, **kwargs: Any) -> None:
        try:
            _load(card, recipe)(*args, **kwargs)
        except ValueError as error:  # of its own, or of Keras's
            raise UserError(f"{function.__name__} cannot do that: {sentence(error)}") from error

    run.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    run.__annotations__ = {name: p.annotation for name, p in inspect.signature(function).parameters.items()}
    run.__doc__ = function.__doc__
    return run
