"""Finds the run that a recipe starts from."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from keraskit.config import Settings
from keraskit.distributed.cluster import Cluster
from keraskit.errors import UserError
from keraskit.options import options_of
from keraskit.recipe import Recipe
from keraskit.registry import load_recipe
from keraskit.results import manifest
from keraskit.results.run_folder import MODEL, RunFolder


def is_run(weights: str | None) -> bool:
    """Whether `--weights` names a run's folder or model, and not weights for the base."""
    return weights is not None and (Path(weights).suffix == ".keras" or Path(weights).is_dir())


def wanted(recipe: Recipe, settings: Settings) -> tuple[Recipe, dict[str, Any]]:
    """The recipe whose run another starts from, and its flags: those that both have, but for the learning rate."""
    assert recipe.pretrained and recipe.pretrained.after
    before: Recipe = load_recipe(recipe.pretrained.after)
    names = {name for name, option in options_of(before.functions).items() if option.function != "compile"}
    return before, {name: value for name, value in settings.options.items() if name in names}


def find(before: Recipe, options: dict[str, Any], settings: Settings) -> Path | None:
    """The newest finished run of that recipe on the same examples with the same model; None for none."""
    alike = {name: getattr(settings, name) for name in ("limit", "seed", "weights")}
    builds = inspect.signature(before.build).parameters
    model = {name: value for name, value in options.items() if name != "classes"}
    for path in sorted((settings.output_dir / before.name).glob("*/"), reverse=True):
        try:
            run = manifest.read(RunFolder(path))
        except UserError:
            continue
        kept = {name: (run.get("config") or {}).get(name) for name in alike}
        made = {n: v for n, v in (run.get("options") or {}).items() if n != "classes" and (n in builds or n in model)}
        same = {n: _plain(v) for n, v in made.items()} == {n: _plain(v) for n, v in model.items()} and kept == alike
        if same and run.get("status") == "finished" and (path / MODEL).is_file():
            return path
    return None


def refuse_among_workers(recipe: Recipe, before: Recipe, cluster: Cluster) -> None:
    """Raise UserError where several workers would all train the run that is missing."""
    if cluster.workers:
        problem = f"{recipe.name} starts from a run of {before.name}, and there is none with these flags."
        raise UserError(problem, f"First `keraskit run {before.name}` on one machine.")


def _plain(value: Any) -> Any:
    """As JSON has it."""
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
