"""Help pages: cyclopts's, with no flag's name broken, commands as written, defaults as the recipes have them."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from cyclopts.help import ColumnSpec, DefaultFormatter, DescriptionRenderer, NameRenderer

from keraskit.augment import Augmentation

COLUMNS = ColumnSpec(NameRenderer(), style="cyclopts.name", no_wrap=True), ColumnSpec(DescriptionRenderer())


class HelpPage(DefaultFormatter):
    """How cyclopts lays out one command's help.

    Args:
        doc: what the command is, as a docstring. Paragraphs are filled; what is indented stays as it is.
        known: defaults by their flags, where they differ from their types'.
    """

    def __init__(self, doc: str, known: Mapping[str, str]) -> None:
        super().__init__(column_specs=COLUMNS)
        self.doc, self.known = doc, known

    def render_description(self, console: Any, options: Any, description: Any) -> None:
        """Print the docstring, without the arguments that the panels show."""
        for text in inspect.cleandoc(self.doc).partition("\n\nArgs:")[0].split("\n\n"):
            if not re.search("^ ", text, re.M):
                text = textwrap.fill(text, console.width, break_long_words=False, break_on_hyphens=False)
            console.out(f"{text}\n", highlight=False)

    def __call__(self, console: Any, options: Any, panel: Any) -> None:
        """Print one panel."""
        entries = []
        for entry in panel.entries:
            text = " ".join(entry.description.primary_renderable.plain.split())
            default = next((self.known[name] for name in entry.names if name in self.known), entry.default)
            if entry.default == "False":  # nobody turns off what is off
                entry, default = entry.copy(negative_names=()), default.replace("False", "")
            default = (default or "").strip("()").replace(", ", " ").rstrip(",")  # as it is typed
            entries.append(entry.copy(description=text, default=default or None))
        super().__call__(console, options, panel.copy(entries=entries))


def defaults(recipe: Mapping[str, Any]) -> dict[str, str]:
    """The knobs that a recipe declares, as flags and what they are without the user's word."""
    augment = recipe.get("augment") or Augmentation()
    moves = {f"augment.{name}": value for name, value in augment.given().items()}
    declared = {name: recipe.get(name) for name in ("epochs", "batch_size", "steps_per_epoch")}
    declared["weights"] = getattr(recipe.get("pretrained"), "weights", None)
    return {
        f"--{name.replace('_', '-')}": str(value) for name, value in (declared | moves).items() if value is not None
    }
