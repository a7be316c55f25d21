"""Build commands and flags from signatures, run them, and report errors in one line."""

import functools
import gc
import io
import logging
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from cyclopts.help import ColumnSpec, DefaultFormatter, DescriptionRenderer, NameRenderer
from pydantic import ValidationError

from keraskit import signals, start
from keraskit.cli import commands, user_code
from keraskit.config import TRAINING, RunConfig, flags
from keraskit.errors import Typed, UserError, printable, sentence, unfit
from keraskit.files import check_file
from keraskit.recipe import Recipe, options_of
from keraskit.registry import Card, find_card, recipes_available

BAD_INPUT = 2
FLAT = Parameter(name="*", negative_iterable=())  # a model with fields that are flags
HELP = DefaultFormatter(  # cyclopts's own, but that no flag's name is broken
    column_specs=(ColumnSpec(NameRenderer(max_width=44), style="cyan", no_wrap=True), ColumnSpec(DescriptionRenderer()))
)
ABOUT = """A classic Keras tutorial as software.

    keraskit list
    keraskit run mlp --quick
    keraskit run mlp --help

Exit codes: 0 done, 1 an error in keraskit, 2 bad input, 130 interrupted by Ctrl-C, 143 SIGTERM, 129 SIGHUP."""
INSTALL = "--install-completion"
OF_RECIPES = {  # verbs that take a recipe's name
    "run": "Train a recipe, evaluate it, save and plot.",
    "show": "Show a recipe: its docstring, Keras's summary, and its graph, drawn into a file.",
    "autotune": "Measure here which precision is fastest for a recipe, and whether XLA helps; prints the flags.",
}


def command_line(argv: Sequence[str] | None = None) -> None:
    """Entry point of `keraskit` and `python -m keraskit`."""
    typed = list(sys.argv[1:] if argv is None else argv)
    _guarded(lambda: app(typed), typed, "keraskit")


def main(recipe: Recipe | Callable[..., Any]) -> None:
    """Run a file as a program with the flags of `keraskit run`: the last line of a recipe's module.

    Args:
        recipe: the module's recipe, or a plain function with arguments that are the flags.
    """
    gc.freeze()  # as `start.wait_for_tensorflow` does
    file = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    card = Card(file if file.is_file() else None)
    card.made = card.named(recipe)
    name = f"python -m keraskit.recipes.{card.name}" if card.ours else f"python {card.source.name or '-'}"
    program = _recipe_app("run", name, card)
    program["--help"].show = False  # as in `keraskit run`
    _guarded(lambda: program, sys.argv[1:], name)


def _guarded(made: Callable[[], App], typed: Sequence[str], name: str) -> None:
    """Run a command and exit; report errors as one line on stderr and an exit code."""
    _prepare_output()
    with signals.sent_to(signals.stop):
        try:
            made()(typed, exit_on_error=False, print_error=False, result_action="return_value")
            print(end="", flush=True)
            code = 0
        except BrokenPipeError:  # the pipe was closed, as in `keraskit list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # discard what is still buffered
            code = 128 + signal.SIGPIPE
        except CycloptsError as error:
            code = _fail([_refusal(error, name)], BAD_INPUT)
        except UserError as error:
            code = _fail(user_code.explain(error) or str(error).split("\n"), error.code)
        except KeyboardInterrupt as stopped:
            code = _fail([str(stopped) or "Interrupted."], getattr(stopped, "code", 130))
        except OSError as error:  # a full disk, a name that is too long, an unwritable folder
            message = [f"{error.filename or 'The system says'}: {error.strerror or error}."]
            code = _fail(user_code.explain(error) or message, BAD_INPUT)
        except (Exception, SystemExit) as error:
            where = "; ".join(getattr(error, "__notes__", [])) or "KERASKIT_DEBUG=1 shows where."
            if isinstance(error.__context__, BrokenPipeError):  # rich ends the program
                code = 128 + signal.SIGPIPE
            elif lines := user_code.explain(error):
                code = _fail([*lines, where], BAD_INPUT)
            else:
                code = _fail([f"Unexpected {type(error).__name__}: {error} ({where})"], 1)
    sys.exit(code)


def _prepare_output() -> None:
    """Escape characters that a terminal cannot encode, and print warnings as one line."""
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:  # else the next file would take a closed output's place
        pass
    os.close(number)
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115  (closed; Keras prints to it)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.formatwarning = lambda message, *_, **__: f"keraskit: warning: {printable(message)}\n"
    warnings.filterwarnings("ignore", module="PIL")  # of odd files, which are checked
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of an unwritable home


def _fail(lines: Sequence[object], code: int) -> int:
    if os.environ.get("KERASKIT_DEBUG"):
        traceback.print_exc()
    texts = [printable(" ".join(str(line).split())) for line in lines]
    print(f"keraskit: {texts[0]}", *texts[1:], sep="\n          ", file=sys.stderr)
    return code


def _refusal(error: CycloptsError, name: str) -> UserError:
    """Convert an error of cyclopts or pydantic to a UserError with advice; `name` is the program's."""
    if isinstance(error.__cause__, ValidationError) and error.argument:
        return unfit(error.__cause__, error.argument.name)
    order = "Flags go last: `keraskit run mlp --epochs 3`. " if 'Unknown command "-' in str(error) else ""
    page = f"`{' '.join([name, *(error.command_chain or [])])} --help`"
    return UserError(sentence(error), f"{order}{page} lists what there is.")


def _made(name: str, doc: str, **more: Any) -> App:
    doc = "\n".join(line.strip() for line in doc.split("\n"))  # cyclopts strips only the first line of a block
    more |= {"help": doc, "help_format": "plaintext", "help_formatter": HELP, "suppress_keyboard_interrupt": False}
    return App(name=name, **more)


def app(typed: Sequence[str]) -> App:
    """Build the app with all verbs; a typed `run`, `show` or `autotune` has the flags of the recipe it names."""
    made = _made("keraskit", ABOUT)
    for name, command in commands.VERBS.items():
        made.command(command, name=name)
    made.register_install_completion_command(INSTALL, help="Make the shell complete commands, recipes and flags.")
    recipes = recipes_available()
    for verb, about in OF_RECIPES.items():
        cards = recipes if typed[:1] == [INSTALL] else {}
        if typed[:1] == [verb] and typed[1:] and not typed[1].startswith("-"):
            cards = {typed[1]: find_card(typed[1])}
        names = f"`keraskit {verb} NAME --help` shows a recipe's own flags. NAME is {', '.join(recipes)}."
        usage = None if cards else f"keraskit {verb} NAME [OPTIONS]"
        made.command(sub := _made(verb, f"{about}\n\n{names}", usage=usage))
        for name, card in cards.items():
            if not card.plain or verb != "autotune":
                sub.command(_recipe_app(verb, name, card))
    return made


def _recipe_app(verb: str, name: str, card: Card) -> App:
    """Build a verb for one recipe or plain function; `name` is the command before the flags."""
    recipe = card.recipe
    # Fill paragraphs; keep indented blocks.
    doc = [text if "\n " in f"\n{text}" else " ".join(text.split()) for text in card.doc.split("\n\n")]
    doc = doc if verb == "run" else [OF_RECIPES[verb], *doc]
    group, command = None, lambda: _show_source(card)  # all that a plain function has to show
    if not isinstance(recipe, Recipe):
        command = _plain_command(recipe, card) if verb == "run" else command
    elif verb == "show":
        command = _show_command(recipe, card)
    else:
        defaults = {each: getattr(recipe, each) for each in ("epochs", "batch_size", "steps_per_epoch")}
        defaults |= {"weights": recipe.pretrained and recipe.pretrained.weights, "augment": recipe.augment.given()}
        doc.append(f"Unless told otherwise: {flags({each: value for each, value in defaults.items() if value})}")
        group, command = TRAINING, _training_command(verb, recipe, card)
    made = _made(name, "\n\n".join(doc), version_flags=[], group_parameters=group)
    made.default(command)
    return made


def _training_command(verb: str, declared: Recipe, card: Card) -> Callable[..., None]:
    def command(*, config: Any = RunConfig(), options: Any = None) -> None:  # noqa: B008
        given = Typed.given(options) if options else {}
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

    options_type = options_of(declared.functions)
    command.__annotations__ = {"config": Annotated[RunConfig, FLAT], "options": Annotated[options_type | None, FLAT]}
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


def _plain_command(function: Callable[..., Any], card: Card) -> Callable[..., None]:
    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        try:
            card.load()(*args, **kwargs)
        except ValueError as error:  # raised by it or by Keras
            raise UserError(f"{function.__name__} cannot do that: {sentence(error)}") from error

    return command
