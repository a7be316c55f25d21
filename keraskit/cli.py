"""The command line: parses, calls, prints. Nothing here imports TensorFlow before it must."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import docstring_parser
from cyclopts import App, CycloptsError, Group, Parameter

from keraskit import cli_words, commands, machine, signals, startup
from keraskit.cli_help import HelpPage, defaults
from keraskit.cli_words import OF_RECIPES
from keraskit.config import MODEL, TRAINING, RunConfig
from keraskit.errors import UserError, printable
from keraskit.recipe import Card, Recipe, Runnable, find_card, load_recipe, recipes_available
from keraskit.results.run_folder import RunFolder

BAD_INPUT = 2
ABOUT = """A classic Keras tutorial as software.

    keraskit list
    keraskit run mlp --quick
    keraskit run mlp --help

Exit codes: 0 done, 1 an error in keraskit, 2 bad input, 130 interrupted by Ctrl-C, 143 by SIGTERM."""
INSTALL = "--install-completion"


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `keraskit` and `python -m keraskit`."""
    startup.begin(machine.process_age() if argv is None else 0.0)

    def command(words: list[str]) -> None:
        words[:] = cli_words.ordered(words)
        _app(words)(words, **_QUIET)

    sys.exit(_guarded(command, list(sys.argv[1:] if argv is None else argv), "keraskit"))


def run_recipe(recipe: Runnable, argv: Sequence[str]) -> int:
    """`keraskit run` for a recipe that is imported already; what `python -m keraskit.recipes.mlp` does."""
    startup.begin(machine.process_age())
    name = f"python -m keraskit.recipes.{recipe.name}" if recipe.name in recipes_available() else recipe.command
    card = Card(recipe.name, recipe.source)
    trains = isinstance(recipe, Recipe)
    app = _recipe_app("run", name, card, trains, recipe.function, vars(recipe), lambda *_: _started(recipe))
    app["--help"].show = False  # as below `keraskit run`
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
        return _fail(str(cli_words.refusal(error, words, name)), BAD_INPUT)
    except UserError as error:
        return _fail(str(error), error.code)
    except KeyboardInterrupt as stopped:
        return _fail(str(stopped) or "Interrupted.", getattr(stopped, "code", 130))
    except SystemExit as end:  # cyclopts, which knows no completion for this shell and has said so
        return BAD_INPUT if end.code else 0
    except BrokenPipeError:  # the reader of our output has gone, as in `keraskit list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:  # the disk, a name that is too long, a folder that nobody may write
        return _fail(f"{error.filename or 'The system says'}: {error.strerror or error}.", BAD_INPUT)
    except Exception as error:
        return _fail(f"Unexpected {type(error).__name__}: {error} (KERASKIT_DEBUG=1 shows where.)", 1)


def _fail(message: str, code: int) -> int:
    if os.environ.get("KERASKIT_DEBUG"):
        traceback.print_exc()
    print(f"keraskit: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code


def check(words: Sequence[str]) -> None:
    """Raise a UserError if `keraskit WORDS` would refuse its words, without running anything."""
    words = cli_words.ordered(words)
    try:
        _app(words).parse_args(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise cli_words.refusal(error, words, "keraskit") from error


def _app(words: Sequence[str]) -> App:
    """All verbs. `run`, `show` and `tune` have the flags of the recipe that the words name, read from its source."""
    settings: dict[str, Any] = {"suppress_keyboard_interrupt": False, "config": cli_words.check_values}
    app = App(name="keraskit", help=ABOUT, help_format="plaintext", help_formatter=HelpPage(ABOUT), **settings)
    for name, command in commands.VERBS.items():
        app.command(command, name=name, help_formatter=HelpPage(command.__doc__ or ""))
    app.command(data := App(name="data", help=(about := "Prepare data sets."), help_formatter=HelpPage(about)))
    data.command(commands.prepare_data, name="prepare", help_formatter=HelpPage(commands.prepare_data.__doc__ or ""))
    app.register_install_completion_command(
        INSTALL, help=(about := "Make the shell complete commands, recipes and flags."), help_formatter=HelpPage(about)
    )
    cards = recipes_available() if words[:1] == [INSTALL] else {}
    if len(words) > 1 and words[0] in OF_RECIPES and not words[1].startswith("-"):
        cards = {words[1]: find_card(words[1])}
        if words[0] == "tune" and not cards[words[1]].trains:
            raise UserError(f"{words[1]} trains no model, so there is nothing to measure.", "See `keraskit list`.")
    for verb, about in OF_RECIPES.items():
        names = f"`keraskit {verb} NAME --help` shows a recipe's own flags. NAME is {', '.join(recipes_available())}."
        page = HelpPage(f"{about}\n\n{names}")
        usage = None if cards else f"keraskit {verb} NAME [OPTIONS]"
        app.command(sub := App(name=verb, help=about, usage=usage, help_formatter=page))
        for name, card in cards.items():
            if card.trains or verb != "tune":
                load = functools.partial(_load, card)
                sub.command(_recipe_app(verb, name, card, card.trains, card.function(), card.declared, load))
    return app


def _recipe_app(
    verb: str,
    name: str,
    card: Card,
    trains: bool,
    function: Callable[..., Any],
    declared: Mapping[str, Any],
    load: Callable[..., Any],
) -> App:
    """One verb for one recipe.

    Args:
        verb: run, show or tune.
        name: what comes before the flags.
        card: what the recipe's source says of itself.
        trains: whether it is a Recipe, not a Program.
        function: whose arguments are flags: what builds the model, or all that a Program does.
        declared: the recipe's fields, as far as they are known.
        load: given the knobs, if there are any, looks at the places they name, and imports TensorFlow and the recipe.
    """
    app = App(
        name=name,
        help=card.summary,
        help_format="plaintext",
        help_formatter=HelpPage(card.doc if verb == "run" else f"{OF_RECIPES[verb]}\n\n{card.doc}", defaults(declared)),
        version_flags=[],
        suppress_keyboard_interrupt=False,
        config=cli_words.check_values,
    )
    if trains and verb != "show":
        app.group_parameters = TRAINING
    if verb == "show":
        app.default(_show_command(card, function, load) if trains else lambda: _show_source(card))
    else:
        app.default(_training_command(verb, function, load) if trains else _program_command(function, load))
    return app


def _training_command(verb: str, function: Callable[..., Any], load: Callable[..., Any]) -> Callable[..., None]:
    options_type = function_flags(function, MODEL, "model")

    def command(*, config: Any = RunConfig(), model: Any = options_type()) -> None:  # noqa: B008
        recipe = load(config)
        if verb == "tune":
            from keraskit.training.tune import tune

            tune(recipe, config, _changed(model))
        else:
            from keraskit.training.runner import train

            train(recipe, config, _changed(model))

    command.__annotations__ = {"config": Annotated[RunConfig, Parameter(name="*", negative=())], "model": options_type}
    return command


def _show_command(card: Card, function: Callable[..., Any], load: Callable[..., Any]) -> Callable[..., None]:
    options_type = function_flags(function, MODEL, "model")

    def show(*, graph: Path = Path(f"{card.name}.svg"), model: Any = options_type()) -> None:  # noqa: B008
        RunFolder.check_file(graph)
        recipe = load()
        from keraskit.results import architecture
        from keraskit.training.prepare import build

        built = build(recipe, _changed(model))
        _show_source(card)
        built.summary()
        try:
            architecture.draw(built, graph)
        except OSError as error:
            raise UserError(f"Cannot write {graph}: {error.strerror}.", "Name another file with --graph.") from error
        print(f"graph: {printable(graph)}")

    graph_help = Parameter(help="File to draw the graph into; its ending says the format: .svg, .png, .jpg, .dot.")
    show.__annotations__ = {"graph": Annotated[Path, graph_help], "model": options_type}
    return show


def _show_source(card: Card) -> None:
    print(f"{card.doc}\n\nSource: {card.source}" + ("\n" if card.trains else ""))


def _program_command(function: Callable[..., Any], load: Callable[..., Any]) -> Callable[..., None]:
    """A command with the function's own signature."""

    def run(*args: Any, **kwargs: Any) -> None:
        from keraskit import places

        places.check_arguments(args, kwargs)
        load().run(*args, **kwargs)

    run.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    run.__annotations__ = {name: p.annotation for name, p in inspect.signature(function).parameters.items()}
    run.__doc__ = function.__doc__
    return run


def function_flags(function: Callable[..., Any], section: Group, prefix: str) -> Any:
    """A dataclass with a function's arguments as flags `--<name>` and `--<prefix>.<name>`, the latter alone where a
    knob has that name.

    Args:
        function: its arguments have defaults, and their texts stand in its docstring.
        section: of the help page.
        prefix: what tells its flags from the knobs.
    """
    knobs = {f.name for f in dataclasses.fields(RunConfig)}
    texts = {p.arg_name: p.description for p in docstring_parser.parse(function.__doc__ or "").params}
    fields = []
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = type(parameter.default) if parameter.annotation is parameter.empty else parameter.annotation
        flag = name.replace("_", "-")
        names = [*([] if name in knobs else [f"--{flag}"]), f"--{prefix}.{flag}"]
        knob = Parameter(
            names,
            help=texts.get(name),
            group=section,
            consume_multiple=True,
            negative=None if parameter.default is True else (),  # nobody turns off what is off
            negative_iterable=(),
        )
        fields.append((name, Annotated[annotation, knob], dataclasses.field(default=parameter.default)))
    return dataclasses.make_dataclass(prefix.title(), fields, frozen=True, namespace={"__module__": __name__})


def _changed(options: Any) -> dict[str, Any]:
    """The builder's arguments that the user changed."""
    return {f.name: v for f in dataclasses.fields(options) if (v := getattr(options, f.name)) != f.default}


def _started(recipe: Any) -> Any:
    startup.wait_for_tensorflow()
    return recipe


def _load(card: Card, config: RunConfig | None = None) -> Any:
    if config:
        from keraskit import places

        places.check(config, card.reader)
    startup.wait_for_tensorflow()
    return load_recipe(card.name)
