"""What a user typed: put into order where it is plain what was meant, else refused in a line that says what to type."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from cyclopts import (
    UNSET,
    ConsumeMultipleError,
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)

from keraskit.errors import UserError, unfit
from keraskit.registry import find_card, is_file, plain_name, recipes_available
from keraskit.suggest import did_you_mean, nearest
from keraskit.typed import leaves

OF_RECIPES = {  # verbs that a recipe's name follows
    "run": "Train a recipe, evaluate it, save and plot.",
    "show": "Show a recipe: its docstring, Keras's summary, and its graph, drawn into a file.",
    "autotune": "Measure here which precision is fastest for a recipe, and whether XLA helps; prints the flags.",
}


def ordered(words: Sequence[str]) -> list[str]:
    """The words with a recipe's name as it is spelt, right after its verb, where flags came first.

    Raises:
        UserError: there is no such recipe, or none is named, or it cannot be told which.
    """
    words = list(words)
    if not words or words[0] not in OF_RECIPES or "--help" in words[1:2] or "-h" in words[1:2]:
        return words
    verb, rest = words[0], words[1:]
    if rest and not rest[0].startswith("-"):
        return [verb, rest[0] if is_file(rest[0]) else find_card(rest[0]).name, *rest[1:]]
    known = recipes_available()
    named = [i for i, word in enumerate(rest) if plain_name(word) in known or word.endswith(".py")]
    named = named or [i for i, word in enumerate(rest) if not word.startswith("-") and nearest(word, known)]
    if len(named) == 1:
        return ordered([verb, rest.pop(named[0]), *rest])
    flags = f" {shlex.join(rest)}" if rest and not named else " ..." if rest else ""
    raise UserError(
        f"`keraskit {verb}` needs a recipe's name first: `keraskit {verb} NAME{flags}`.",
        f"NAME is one of {', '.join(known)}.",
    )


def refusal(error: CycloptsError, words: Sequence[str], name: str) -> UserError:
    """What cyclopts refuses, in one line.

    Args:
        error: what it raised.
        words: what was typed after the program's name.
        name: the program's.
    """
    command = " ".join([name, *(error.command_chain or [])])
    advice = f"`{command} --help` lists what there is."
    match error:
        case UnknownCommandError():
            return _unknown_command(error, words, command)
        case UnknownOptionError():
            flag = (error.token.keyword or error.token.value).partition("=")[0]
            leaves = [argument for argument in error.argument_collection if argument.show and not argument.children]
            names = [name for argument in leaves for name in argument.names if name not in argument.negatives]
            meant = did_you_mean(flag, names)
            return UserError(f"`{command}` has no flag {flag}. {meant}", advice)
        case UnusedCliTokensError():
            return UserError(f"`{command}` takes no word {(error.unused_tokens or [''])[0]!r}.", advice)
        case MissingArgumentError(argument=argument) if argument is not None:
            count, _ = argument.token_count()
            if error.keyword or argument.tokens:
                wanted = "a value" if count < 2 else f"{count} values"
                return UserError(f"{error.keyword or argument.tokens[0].keyword} needs {wanted}.", advice)
            missing = argument.name if argument.index is None else argument.name.lstrip("-").upper()
            return UserError(f"`{command}` needs {missing}.", advice)
        case ConsumeMultipleError(keyword=keyword, argument=argument):
            return UserError(f"{keyword or (argument and argument.name)} needs a value.", advice)
        case ValidationError() if hasattr(error.__cause__, "errors"):
            return unfit(error.__cause__)
    return UserError(str(error), advice)


def _unknown_command(error: UnknownCommandError, words: Sequence[str], command: str) -> UserError:
    word, *rest = words[len(error.command_chain or []) :] or [""]
    verbs = list(error.app or [])
    listed = f"It has {', '.join(sorted(verb for verb in verbs if not verb.startswith('-')))}."
    kind = "flag" if word.startswith("-") else "command"
    if "run" in verbs and plain_name(word) in recipes_available():
        return UserError(f"{word!r} is a recipe.", f"Say `{shlex.join([command, 'run', plain_name(word), *rest])}`.")
    meant = nearest(word, verbs)
    if not meant and "run" in verbs and (recipe := nearest(word, recipes_available())):
        meant = [f"run {recipe[0]}"]
    if not meant:
        return UserError(f"`{command}` has no {kind} {word!r}.", listed)
    line = " ".join([command, meant[0], *map(shlex.quote, rest)])
    return UserError(f"`{command}` has no {kind} {word!r}. Did you mean `{line}`?", listed)


def check_values(app: Any, commands: Any, arguments: Any) -> None:
    """Have pydantic judge the numbers among a verb's own arguments (a model judges its own), and refuse what is empty.

    A hook of cyclopts, called before it converts.
    """
    from pydantic import TypeAdapter
    from pydantic import ValidationError as Unfit

    for argument in arguments:
        for token in argument.tokens:
            flag = token.keyword or argument.name
            if argument.children:
                raise UserError(
                    f"{flag} alone is no flag.", f"Say which: {argument.children[0].names[-1]}, for example."
                )
            if argument.keys or token.implicit_value is not UNSET:
                continue
            if not token.value:
                raise UserError(f"{flag} '' makes no sense: expected a value.", "Leave it out, or name one.")
            if leaves(argument.hint) & {int, float}:
                try:
                    TypeAdapter(argument.field_info.annotation).validate_python(token.value)
                except Unfit as error:
                    raise unfit(error, flag) from error
