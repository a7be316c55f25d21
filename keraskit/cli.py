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

import docstring_parser
from cyclopts import App, CycloptsError, Parameter

from keraskit import commands, machine, signals, startup
from keraskit.config import RunConfig
from keraskit.errors import UserError, printable
from keraskit.recipe import Card, Program, Recipe, Runnable, find_card, load_recipe, recipes_available
from keraskit.results.run_folder import RunFolder

BAD_INPUT = 2
EXIT_CODES = "Exit codes: 0 done, 1 an error in keraskit, 2 bad input, 130 interrupted by Ctrl-C, 143 by SIGTERM."


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `keraskit` and `python -m keraskit`."""
    startup.begin(machine.process_age() if argv is None else 0.0)
    sys.exit(
        _guarded(lambda words: _app(words)(words, **_QUIET), list(sys.argv[1:] if argv is None else argv), "keraskit")
    )


def run_recipe(recipe: Runnable, argv: Sequence[str]) -> int:
    """`keraskit run` for a recipe that is imported already; what `python -m keraskit.recipes.mlp` does."""
    startup.begin(machine.process_age())
    name = f"python -m keraskit.recipes.{recipe.name}" if recipe.name in recipes_available() else recipe.command
    app = App(name=name, version_flags=[], suppress_keyboard_interrupt=False)
    make = _run_command if isinstance(recipe, Recipe) else _program_command
    app.default(make(recipe.function, recipe.source, lambda: _started(recipe)))
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
        return _fail(f"Unexpected {type(error).__name__}: {error} (KERASKIT_DEBUG=1 shows where.)", 1)


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
    app.command(commands.results)
    app.command(commands.launch)
    app.command(commands.augment)
    app.command(commands.resume)
    app.command(commands.predict)
    app.command(commands.compare)
    app.command(data := App(name="data", help="Prepare data sets."))
    data.command(commands.prepare_data, name="prepare")
    named = len(words) > 1 and words[0] in {"run", "show", "tune"} and not words[1].startswith("-")
    if not named:
        app.command(_run_any, name="run")
        app.command(_show_any, name="show")
        app.command(_tune_any, name="tune")
        return app
    card = find_card(words[1])
    verbs = {
        "run": _run_command if card.trains else _program_command,
        "show": _show_command if card.trains else _show_program,
        **({"tune": _tune_command} if card.trains else {}),
    }
    for verb, command in verbs.items():
        app.command(sub := App(name=verb, help=f"{verb.title()} a recipe; see `keraskit {verb} NAME --help`."))
        sub.command(command(card.function(), card.source, lambda: _load(card.name)), name=card.name)
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


def _tune_any(recipe: str) -> None:
    """Measure on this machine which precision is fastest for a recipe, and whether XLA helps; auto then takes it.

    Args:
        recipe: One of the names that `keraskit list` shows.
    """
    raise UserError(
        f"No flags before the recipe's name ({recipe}).", f"Say `keraskit tune {recipe}` and then the flags."
    )


def _run_command(builder: Callable[..., Any], source: Path, load: Callable[[], Recipe]) -> Callable[..., None]:
    options_type = _model_options(builder)

    def run(*, config: Any = RunConfig(), model: Any = options_type()) -> None:  # noqa: B008
        if config.classes:
            from keraskit.datasets import class_names

            class_names.read(config.classes)  # refused before TensorFlow is there
        recipe = load()
        from keraskit.training.runner import train

        train(recipe, config, _changed(model))

    run.__annotations__ = {"config": Annotated[RunConfig, Parameter(name="*", negative=())], "model": options_type}
    run.__doc__ = Card(source.stem, source).doc
    return run


def _tune_command(builder: Callable[..., Any], source: Path, load: Callable[[], Recipe]) -> Callable[..., None]:
    run = _run_command(builder, source, load)

    def tune(*, config: Any = RunConfig(), model: Any = run.__annotations__["model"]()) -> None:  # noqa: B008
        recipe = load()
        from keraskit.training.tune import tune

        tune(recipe, config, _changed(model))

    tune.__annotations__ = dict(run.__annotations__)
    tune.__doc__ = f"Measure how {source.stem} trains fastest on this machine, with the flags of `keraskit run`."
    return tune


def _show_command(builder: Callable[..., Any], source: Path, load: Callable[[], Recipe]) -> Callable[..., None]:
    options_type = _model_options(builder)
    card = Card(source.stem, source)

    def show(*, graph: Path = Path(f"{card.name}.svg"), model: Any = options_type()) -> None:  # noqa: B008
        RunFolder.check_file(graph)
        recipe = load()
        from keraskit.results import architecture
        from keraskit.training.prepare import build

        built = build(recipe, _changed(model))
        print(f"{card.doc}\n\nSource: {card.source}\n")
        built.summary()
        try:
            architecture.draw(built, graph)
        except OSError as error:
            raise UserError(f"Cannot write {graph}: {error.strerror}.", "Name another file with --graph.") from error
        print(f"graph: {printable(graph)}")

    graph_help = Parameter(help="File to draw the graph into; its ending says the format: .svg, .png, .jpg, .dot.")
    show.__annotations__ = {"graph": Annotated[Path, graph_help], "model": options_type}
    show.__doc__ = f"Show {card.name}: {card.summary}."
    return show


def _program_command(function: Callable[..., Any], source: Path, load: Callable[[], Program]) -> Callable[..., None]:
    """A command with the function's own signature."""

    def run(*args: Any, **kwargs: Any) -> None:
        load().run(*args, **kwargs)

    run.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    run.__annotations__ = {name: p.annotation for name, p in inspect.signature(function).parameters.items()}
    card = Card(source.stem, source)
    arguments = (function.__doc__ or "").partition("Args:")
    run.__doc__ = f"{card.doc}\n\n{arguments[1]}{arguments[2]}"
    return run


def _show_program(function: Callable[..., Any], source: Path, load: Callable[[], Program]) -> Callable[..., None]:
    def show() -> None:
        print(f"{Card(source.stem, source).doc}\n\nSource: {source}")

    show.__doc__ = f"Show {source.stem}."
    return show


def _model_options(builder: Callable[..., Any]) -> type:
    """A dataclass with the builder's arguments: flags `--model.<name>`, and `--<name>` where no knob has that name."""
    knobs = {f.name for f in dataclasses.fields(RunConfig)}
    texts = {p.arg_name: p.description for p in docstring_parser.parse(builder.__doc__ or "").params}
    fields = []
    for name, parameter in inspect.signature(builder).parameters.items():
        annotation = type(parameter.default) if parameter.annotation is parameter.empty else parameter.annotation
        flag = name.replace("_", "-")
        short = () if name in knobs else (f"--{flag}",)
        knob = Parameter((f"--model.{flag}", *short), help=texts.get(name), consume_multiple=True, negative_iterable=())
        fields.append((name, Annotated[annotation, knob], dataclasses.field(default=parameter.default)))
    return dataclasses.make_dataclass("Model", fields, frozen=True, namespace={"__module__": __name__})


def _changed(options: Any) -> dict[str, Any]:
    """The builder's arguments that the user changed."""
    return {f.name: v for f in dataclasses.fields(options) if (v := getattr(options, f.name)) != f.default}


def _started(recipe: Any) -> Any:
    startup.wait_for_tensorflow()
    return recipe


def _load(name: str) -> Any:
    startup.wait_for_tensorflow()
    return load_recipe(name)
