"""What a user typed: what cyclopts refuses of it, in a line, and values that make no sense."""

from __future__ import annotations

from typing import Any

from cyclopts import UNSET, CycloptsError, ValidationError

from keraskit.errors import UserError, unfit
from keraskit.typed import leaves

OF_RECIPES = {  # verbs that a recipe's name follows
    "run": "Train a recipe, evaluate it, save and plot.",
    "show": "Show a recipe: its docstring, Keras's summary, and its graph, drawn into a file.",
    "autotune": "Measure here which precision is fastest for a recipe, and whether XLA helps; prints the flags.",
}


def refusal(error: CycloptsError, name: str) -> UserError:
    """What cyclopts says, with what to do next; `name` is the program's."""
    if isinstance(error, ValidationError) and hasattr(error.__cause__, "errors"):
        return unfit(error.__cause__)
    return UserError(str(error), f"`{' '.join([name, *(error.command_chain or [])])} --help` lists what there is.")


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
