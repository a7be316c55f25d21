"""What `keraskit autotune` has found to be fastest on this machine, kept for `auto`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keraskit import files, system
from keraskit.config import RunConfig
from keraskit.recipe import Recipe
from keraskit.registry import Card

FILE = "autotune.json"
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Measured:
    """The fastest of what was measured.

    Args:
        precision: float32, bfloat16 or float16.
        xla: on or off.
        milliseconds: of one training step.
        day: when.
    """

    precision: str
    xla: str
    milliseconds: float
    day: str

    @property
    def reason(self) -> str:
        """Why it is chosen."""
        return f"the fastest here, {self.milliseconds:.1f} ms a step, measured by `keraskit autotune` on {self.day}"


def key(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> str:
    """What a measurement holds for: this code, this model, this batch, this machine, these versions."""
    code = Card(recipe.source).sha256
    gpus = len(tf.config.list_physical_devices("GPU"))
    where = f"{system.cpu_name()}, {system.cores()} cores, {config.threads} threads, {config.device}, {gpus} GPUs"
    versions = f"tensorflow {tf.__version__}, keras {keras.__version__}"
    return f"{recipe.name} {code} {sorted(options.items())} batch {config.batch_size}; {where}; {versions}"


def recall(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> Measured | None:
    """What was measured for this run; None where nothing was."""
    entry = _read().get(key(recipe, config, options))
    try:
        known = Measured(**entry) if entry else None
        usable = known and known.precision in PRECISIONS and known.xla in ("on", "off") and known.milliseconds > 0
        return known if usable else None
    except TypeError:  # written by another version, or damaged
        return None


def remember(recipe: Recipe, config: RunConfig, options: dict[str, Any], found: Measured) -> Path | None:
    """Keep it; None where there is no place for it."""
    place = system.cache_folder()
    if place is None:
        return None
    entries = _read() | {key(recipe, config, options): asdict(found)}
    try:
        files.write_text(place / FILE, json.dumps(entries, indent=2))
    except OSError:
        return None
    return place / FILE


def _read() -> dict[str, Any]:
    place = system.cache_folder()
    try:
        found = json.loads((place / FILE).read_text("utf-8")) if place else {}
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):  # not there, or damaged: nothing is known
        return {}
