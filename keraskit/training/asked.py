"""How a run was asked for, as its manifest holds it: what equals this is the same run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from keraskit.augment import Augmentation
from keraskit.config import RunConfig, changed
from keraskit.errors import UserError
from keraskit.recipe import Recipe
from keraskit.registry import Card


def record(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> dict[str, Any]:
    """How a run was asked for, as JSON holds it: what equals this is the same run."""
    knobs = {name: _plain(name, value) for name, value in changed(config).items() if name != "output_dir"}
    given = {name: _plain(name, value) for name, value in options.items()}
    fields = {f.name: _text(getattr(recipe, f.name)) for f in dataclasses.fields(recipe) if f.name != "source"}
    digest = hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:16]
    asked = {"knobs": knobs, "options": given, "recipe": digest, "code": code(recipe.source)}
    return json.loads(json.dumps(asked, default=_text))


def code(source: Path) -> str | None:
    """Identifies a recipe's code; None for one that is not there."""
    try:
        return Card(source).sha256
    except (OSError, UserError):
        return None


def own_source(recipe: Recipe) -> str | None:
    """The file of a recipe of the user's own; None for one of keraskit's, and for one that lies in no file."""
    return None if Card(recipe.source).ours or not recipe.source.is_file() else str(recipe.source.resolve())


def _plain(name: str, value: Any) -> Any:
    """A knob's value as JSON holds it; a path as one that holds in another folder too."""
    if isinstance(value, Augmentation):
        return changed(value)
    if isinstance(value, Path) or (name in {"dataset", "weights"} and Path(value).exists()):
        return str(Path(value).absolute())
    return value


def _text(value: Any) -> str:
    """What a value is, without where in memory it lies."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
