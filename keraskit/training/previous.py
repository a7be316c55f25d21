"""Finds the run that a recipe starts from."""

import inspect
import json
from pathlib import Path
from typing import Any

from keraskit.config import Settings
from keraskit.distributed.cluster import Cluster
from keraskit.errors import UserError
from keraskit.recipe import Recipe, options_of
from keraskit.registry import load_recipe
from keraskit.runs import manifest
from keraskit.runs.folder import MODEL, RunFolder


def is_run(weights: str | None) -> bool:
    """Whether `--weights` names a run's folder or model, and not weights for the base."""
    return weights is not None and (Path(weights).suffix == ".keras" or Path(weights).is_dir())


def find(recipe: Recipe, settings: Settings, cluster: Cluster) -> tuple[Path | None, Recipe, dict[str, Any]]:
    """The newest finished run of the recipe that another starts from, on the same examples with the same model.

    Returns its folder, None where there is none; its recipe; and the flags that both have, but for the learning rate.
    Raises UserError where there is none, and several workers would all train it.
    """
    assert recipe.pretrained and recipe.pretrained.after
    before: Recipe = load_recipe(recipe.pretrained.after)
    takes = {*inspect.signature(before.data).parameters, *inspect.signature(before.build).parameters}
    names = takes & set(options_of(before.functions).model_fields)
    options = {name: value for name, value in settings.options.items() if name in names}
    alike = {name: getattr(settings, name) for name in ("limit", "seed", "weights")}
    builds = {*inspect.signature(before.build).parameters, *options} - {"classes"}
    model = {name: value for name, value in options.items() if name != "classes"}
    model = json.loads(json.dumps(model, default=str))  # as a manifest has it
    for path in sorted((settings.output_dir / before.name).glob("*/"), reverse=True):
        try:
            run = manifest.read(RunFolder(path))
        except UserError:
            continue
        kept = {name: (run.get("config") or {}).get(name) for name in alike}
        made = {name: value for name, value in (run.get("options") or {}).items() if name in builds}
        if (made, kept) == (model, alike) and run.get("status") == "finished" and (path / MODEL).is_file():
            return path.absolute(), before, options
    if cluster.workers:
        problem = f"{recipe.name} starts from a run of {before.name}, and there is none with these flags."
        raise UserError(problem, f"First `keraskit run {before.name}` on one machine.")
    return None, before, options
