"""Build the command line, run a command, and report errors in one line."""

import functools
import gc
import io
import logging
import os
import pkgutil
import shlex
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from cyclopts.help import ColumnSpec, DefaultFormatter, DescriptionRenderer, NameRenderer

from keraskit import signals, start
from keraskit.cli import user_code
from keraskit.errors import UserError, flags, printable, sentence
from keraskit.registry import Card, find_card, recipes_available

HELP = DefaultFormatter(  # cyclopts's own, but that no flag's name is broken
    column_specs=(ColumnSpec(NameRenderer(max_width=44), style="cyan", no_wrap=True), ColumnSpec(DescriptionRenderer()))
)
ABOUT = """A classic Keras tutorial as software.

    keraskit list
    keraskit run mlp --quick
    keraskit run mlp --help

Exit codes: 0 done, 1 failed (check, worker, bug), 2 bad input, 130 Ctrl-C, 141 closed pipe, 143 SIGTERM, 129 SIGHUP."""
FLAT = Parameter(name="*", negative_iterable=())  # a model with fields that are flags
INSTALL = "--install-completion"
OF_RECIPES = {  # verbs that take a recipe's name
    "run": "Train a recipe, evaluate it, save and plot.",
    "show": "Show a recipe: its docstring, Keras's summary, and its graph, drawn into a file.",
    "autotune": "Measure here which precision is fastest for a recipe, and whether XLA helps; prints the flags.",
}
OTHERS = {  # imported only if called or described: pydantic alone takes longer than a list of recipes
    "commands": ("doctor", "new", "launch", "augment", "classify"),
    "run_commands": ("resume", "predict", "compare", "runs", "verify", "explain", "export", "demo"),
}


def command_line(argv: Sequence[str] | None = None) -> None:
    """Entry point of `keraskit` and `python -m keraskit`."""
    typed = list(sys.argv[1:] if argv is None else argv)
    _guarded(lambda: app(typed), typed, "keraskit")


def main(recipe: Any) -> None:
    """Run a file as a program with the flags of `keraskit run`: the last line of a recipe's module.

    Args:
        recipe: the module's Recipe, or a plain function with arguments that are the flags.
    """
    file = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    if "ipykernel" in sys.modules and not file.is_file():
        raise UserError("A notebook has no command line.", "Call keraskit.run(recipe) in it.")
    card = Card(file if file.is_file() else None)
    card.made = card.named(recipe)
    name = f"python -m keraskit.recipes.{card.name}" if card.ours else f"python {card.source.name or '-'}"
    _guarded(lambda: _recipe_app("run", name, card), sys.argv[1:], name)


def _guarded(made: Callable[[], App], typed: Sequence[str], name: str) -> None:
    """Run a command and exit; report errors as one line on stderr and an exit code."""
    _prepare_output()
    start.QuietImport.command = True
    gc.freeze()  # where Keras was imported before keraskit
    with signals.sent_to(signals.stop):
        try:
            made()(typed, exit_on_error=False, print_error=False, result_action="return_value")
            print(end="", flush=True)
            code = 0
        except BrokenPipeError:  # the pipe was closed, as in `keraskit list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # discard what is still buffered
            code = 128 + signal.SIGPIPE
        except CycloptsError as error:
            code = _fail([_refusal(error, name)], UserError.code)
        except UserError as error:
            code = _fail(user_code.explain(error) or str(error).split("\n"), error.code)
        except KeyboardInterrupt as stopped:
            code = _fail([str(stopped) or "Interrupted."], getattr(stopped, "code", 130))
        except OSError as error:  # a full disk, a name that is too long, an unwritable folder
            message = [f"{error.filename or 'The system says'}: {error.strerror or error}."]
            code = _fail(user_code.explain(error) or message, UserError.code)
        except (Exception, SystemExit) as error:
            where = "; ".join(getattr(error, "__notes__", [])) or "KERASKIT_DEBUG=1 shows where."
            if isinstance(error.__context__, BrokenPipeError):  # rich ends the program
                code = 128 + signal.SIGPIPE
            elif lines := user_code.explain(error):
                code = _fail([*lines, where], UserError.code)
            else:
                code = _fail([f"Unexpected {type(error).__name__}: {sentence(error)} ({where})"], 1)
    sys.exit(code)


def _prepare_output() -> None:
    """Escape characters that a terminal cannot encode, and print warnings as one line."""
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:  # else the next file would take a closed output's place
        pass
    os.close(number)
    sys.stdout, sys.stderr = (each or Path(os.devnull).open("w") for each in (sys.stdout, sys.stderr))  # noqa: SIM115
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
    with suppress(OSError):  # a full disk: the exit code says it
        print(f"keraskit: {texts[0]}", *texts[1:], sep="\n          ", file=sys.stderr)
    return code


def _refusal(error: CycloptsError, name: str) -> UserError:
    """Convert an error of cyclopts or pydantic to a UserError with advice; `name` is the program's."""
    cause: Any = error.__cause__
    if error.argument and type(cause).__name__ == "ValidationError":  # pydantic's
        from keraskit.typed import unfit

        return unfit(cause, error.argument.name)
    order = "Flags go last: `keraskit run mlp --epochs 3`. " if 'Unknown command "-' in str(error) else ""
    page = f"`{name} {shlex.join([*(error.command_chain or []), '--help'])}`"
    return UserError(sentence(error), f"{order}{page} lists what there is.")


def _made(name: str, doc: str, **more: Any) -> App:
    doc = "\n".join(line.strip() for line in doc.split("\n"))  # cyclopts strips only the first line of a block
    return App(name, doc, help_format="plaintext", help_formatter=HELP, suppress_keyboard_interrupt=False, **more)


def app(typed: Sequence[str]) -> App:
    """Build the app with all verbs; a typed `run`, `show` or `autotune` has the flags of the recipe it names."""
    made = _made("keraskit", ABOUT)
    made.command(list_recipes, name="list")
    one = typed and not typed[0].startswith("-")  # a command is named, so the others are not described
    for module, others in OTHERS.items():
        for name in others:
            place = f"keraskit.cli.{module}:{name}"
            made.command(place if one else pkgutil.resolve_name(place), name=name)
    made.register_install_completion_command(INSTALL, help="Make the shell complete commands, recipes and flags.")
    recipes = recipes_available()
    for verb, about in OF_RECIPES.items():
        cards = recipes if typed[:1] == [INSTALL] else {}
        if typed[:1] == [verb] and typed[1:] and not typed[1].startswith("-"):
            cards = {typed[1]: find_card(typed[1])}
        known = [name for name in recipes if verb != "autotune" or name not in ("augmentation", "classify")]
        names = f"`keraskit {verb} NAME --help` shows a recipe's own flags. NAME is {', '.join(known)}."
        usage = None if cards else f"keraskit {verb} NAME [OPTIONS]"
        made.command(sub := _made(verb, f"{about}\n\n{names}", usage=usage))
        for name, card in cards.items():
            if verb != "autotune" or hasattr(card.recipe, "functions"):
                sub.command(_recipe_app(verb, name, card))
    return made


def _recipe_app(verb: str, name: str, card: Card) -> App:
    """Build a verb for one recipe or plain function; `name` is the command before the flags."""
    from keraskit.config import TRAINING
    from keraskit.recipe import Recipe

    recipe = card.recipe
    # cyclopts breaks lines itself, so a docstring's own breaks would stand in mid-line.
    doc = [text if "\n " in f"\n{text}" else " ".join(text.split()) for text in card.doc.split("\n\n")]
    doc = [OF_RECIPES[verb], *doc] if verb != "run" else doc
    group = None
    if isinstance(recipe, Recipe):
        command = _command(verb, recipe, card)
    else:
        load = functools.wraps(recipe)(lambda *args, **options: card.load()(*args, **options))
        command = load if verb == "run" else lambda: _show_source(card)
    if isinstance(recipe, Recipe) and verb != "show":
        values = {each: getattr(recipe, each) for each in ("epochs", "batch_size", "steps_per_epoch")}
        values |= {"weights": recipe.pretrained and recipe.pretrained.weights, "augment": recipe.augment.given()}
        doc.append(f"Unless told otherwise: {flags({name: value for name, value in values.items() if value})}")
        group = TRAINING
    made = _made(name, "\n\n".join(doc), version_flags=[], group_parameters=group)
    made.default(command)
    made["--help"].show = False  # a run's page lists its own flags alone
    return made


def _command(verb: str, declared: Any, card: Card) -> Callable[..., None]:
    """Return a verb's function; its flags are the arguments of the functions of `declared`, read for them alone."""
    from keraskit.config import RunConfig
    from keraskit.files import check_file
    from keraskit.recipe import options_of
    from keraskit.typed import Typed

    def train(*, config: Any = None, options: Any = None) -> None:
        config, given = config or RunConfig(), Typed.given(options) if options else {}
        if verb == "run" and config.seeds > 1 and card.source.is_file():
            from keraskit.training.launch import train_seeds

            train_seeds(card, config, given)
            return
        recipe = card.load()
        from keraskit.training import autotune, runner

        if verb == "autotune":
            autotune.autotune(recipe, config, given)
        else:
            runner.train(recipe, config, given, ago=time.perf_counter() - start.BEGAN)

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

    own: Any = Annotated[options_of({"build": declared.build} if verb == "show" else declared.functions) | None, FLAT]
    about = "File to draw the graph into; its ending says the format: .svg, .png, .jpg, .dot."
    graph_file = Annotated[Path, Parameter(help=about, validator=lambda _, file: check_file(file))]
    show.__annotations__ = {"graph": graph_file, "options": own}
    train.__annotations__ = {"config": Annotated[RunConfig | None, FLAT], "options": own}
    return show if verb == "show" else train


def _show_source(card: Card) -> None:
    print(f"{card.doc}\n\nSource: {printable(card.source)}".strip(), end="\n\n")


def list_recipes() -> None:
    """List all recipes: name, section of the tutorial, parameters, metrics of a full run on its own data."""
    for card in recipes_available().values():
        about, *paragraphs = card.doc.split("\n\n")
        expected = [" ".join(each.split()) for each in paragraphs if each.startswith("Expected: ")]
        print(f"{card.name:20} {about}", *expected, sep=f"\n{'':21}")
