"""Help pages: sections of flags, one column for what they do, no flag's name broken, commands as they were written."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keraskit.augment import Augmentation

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

NARROW, WIDE = 28, 46  # where the second column begins; in a wide terminal the longest flag stands before it
WIDE_FROM = 110
UNBROKEN = "\xa0"  # a space that no line is broken at


@dataclasses.dataclass(frozen=True)
class HelpPage:
    """How cyclopts lays out one command's help.

    Args:
        doc: what the command is, as a docstring. Paragraphs are filled; what is indented stays as it is.
        defaults: what flags are when the user gives none, where that differs from their type's default.
    """

    doc: str
    defaults: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """The line that says in which order words come."""
        _print(console, f"Usage: {str(usage).strip()}\n")

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """The docstring, without the arguments that the sections show."""
        paragraphs = inspect.cleandoc(self.doc).partition("\n\nArgs:")[0].split("\n\n")
        for paragraph in paragraphs:
            as_written = any(line.startswith(" ") for line in paragraph.splitlines())
            _print(console, (paragraph if as_written else _filled(paragraph, console.width)) + "\n")

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """One section."""
        if not panel.entries:
            return
        _print(console, str(panel.title), "bold")
        column = WIDE if console.width >= WIDE_FROM else NARROW
        for entry in panel.entries:
            label = f"  {_label(entry)}"
            lines = _filled(self._text(entry), max(20, console.width - column)).splitlines()
            if len(label) + 2 > column:
                lines.insert(0, "")
            first = " " * (column - len(label)) + lines[0] if lines and lines[0] else ""
            _print(console, label, "cyan", first)
            for line in lines[1:]:
                _print(console, " " * column + line)
        console.print()

    def _text(self, entry: HelpEntry) -> str:
        described = getattr(entry.description, "primary_renderable", entry.description)
        default = next((self.defaults[name] for name in entry.names if name in self.defaults), entry.default)
        default = {"True": "on", "False": None}.get(str(default), default)  # a switch is off unless it is given
        if default:
            default = f"[default:{UNBROKEN}{default.strip('()').replace(', ', ' ').rstrip(',')}]"
        else:
            default = "[required]" if entry.required else ""
        return f"{described} {default}".strip()


def defaults(recipe: Mapping[str, Any]) -> dict[str, str]:
    """The knobs that a recipe declares, as flags and what they are without the user's word."""
    augment = recipe.get("augment") or Augmentation()
    moves = {f"augment.{name}": value for name, value in augment.given().items()}
    declared = {name: recipe.get(name) for name in ("epochs", "batch_size", "steps_per_epoch")}
    declared["weights"] = getattr(recipe.get("pretrained"), "weights", None)
    return {
        f"--{name.replace('_', '-')}": str(value) for name, value in (declared | moves).items() if value is not None
    }


def _label(entry: HelpEntry) -> str:
    """A flag's names and what stands for its value: its choices where there are any."""
    if entry.default == "False":  # nobody turns off what is off
        entry = entry.copy(negative_names=())
    label = " ".join(entry.display_labels_with_metavar)
    return label.replace("CHOICE", "|".join(entry.choices)) if entry.choices else label


def _filled(text: str, width: int) -> str:
    text = re.sub(r"`[^`]{1,40}`", lambda code: code[0].replace(" ", UNBROKEN), " ".join(text.split()))
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False).replace(UNBROKEN, " ")


def _print(console: Console, text: str, style: str = "", more: str = "") -> None:
    """Print lines as they are: neither wrapped nor cut nor searched for markup."""
    from rich.text import Text

    console.print(Text.assemble((text, style), more), soft_wrap=True)
