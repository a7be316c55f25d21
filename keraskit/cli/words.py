"""What a user typed: what cyclopts refuses of it, in a line."""

from __future__ import annotations

from cyclopts import CycloptsError
from pydantic import ValidationError

from keraskit.errors import UserError, sentence, unfit

OF_RECIPES = {  # verbs that a recipe's name follows
    "run": "Train a recipe, evaluate it, save and plot.",
    "show": "Show a recipe: its docstring, Keras's summary, and its graph, drawn into a file.",
    "autotune": "Measure here which precision is fastest for a recipe, and whether XLA helps; prints the flags.",
}


def refusal(error: CycloptsError, name: str) -> UserError:
    """What cyclopts says, with what to do next; `name` is the program's."""
    if isinstance(error.__cause__, ValidationError) and error.argument:
        return unfit(error.__cause__, error.argument.name)
    return UserError(sentence(error), f"`{' '.join([name, *(error.command_chain or [])])} --help` lists what there is.")
