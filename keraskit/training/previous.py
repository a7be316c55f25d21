"""Finds the run that a recipe starts from, or makes it."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keraskit.augment import Augmentation
from keraskit.config import RunConfig
from keraskit.errors import UserError
from keraskit.recipe import Recipe, load_recipe
from keraskit.results import manifest
from keraskit.results.run_folder import MODEL, RunFolder


def is_run(weights: str | None) -> bool:
    """Whether `--weights` names a run's folder or model, and not weights for the base."""
    return weights is not None and (Path(weights).suffix == ".keras" or Path(weights).is_dir())


def find_or_train(
    recipe: Recipe,
    config: RunConfig,
    asked: RunConfig,
    options: dict[str, Any],
    train: Callable[[Recipe, RunConfig, dict[str, Any]], Any],
    alone: bool = True,
) -> Path:
    """The newest finished run of `recipe.after` on the same pictures with the same model; without one, a new one.

    Raises UserError where there is none and this process is not alone: several workers would all train it.
    """
    before: Recipe = load_recipe(recipe.after or "")
    names = inspect.signature(before.build).parameters
    wanted = {name: value for name, value in options.items() if name in names}
    alike = {name: getattr(config, name) for name in ("data_dir", "download", "limit", "seed", "weights")}
    for path in sorted((Path(config.output_dir) / before.name).glob("*/"), reverse=True):
        folder = RunFolder(path)
        try:
            run = manifest.read(folder)
        except UserError:
            continue
        kept = {name: (run.get("config") or {}).get(name) for name in alike}
        kept["data_dir"] = Path(kept["data_dir"]) if kept["data_dir"] else None
        made = {name: value for name, value in (run.get("model_options") or {}).items() if name != "classes"}
        same = made == {name: value for name, value in wanted.items() if name != "classes"} and kept == alike
        if same and run.get("status") == "finished" and (path / MODEL).is_file():
            print(f"{recipe.name} goes on from {path}", flush=True)
            return path
    if not alone:
        problem = f"{recipe.name} starts from a run of {before.name}, and there is none with these flags."
        raise UserError(problem, f"First `keraskit run {before.name}` on one machine.")
    print(f"{recipe.name} starts from a run of {before.name}; there is none with these flags, so here it is first:")
    own: dict[str, Any] = {
        "epochs": None,
        "learning_rate": None,
        "batch_size": None,
        "steps_per_epoch": None,
        "devices": None,
    }
    result = train(before, dataclasses.replace(asked, **own, augment=Augmentation()), wanted)
    print(flush=True)
    return result.folder
