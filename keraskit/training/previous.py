"""The run that a recipe starts from: found, or trained first."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keraskit.config import RunConfig, Settings
from keraskit.distributed.cluster import Cluster
from keraskit.errors import UserError, printable
from keraskit.files import MODEL
from keraskit.recipe import Recipe
from keraskit.registry import load_recipe
from keraskit.runs import manifest

ITS_OWN = ("epochs", "batch_size", "steps_per_epoch", "devices", "callbacks", "augment")  # knobs of one run of the two


def begin_from(recipe: Recipe, settings: Settings, cluster: Cluster, train: Callable[..., Any]) -> Settings:
    """Set `weights` to the folder of the run that a recipe starts from, unless they name one.

    It is the newest finished run on the same examples with the same model and first weights. Where there is none, it
    is trained now, with the flags that both recipes have; several workers raise UserError.
    """
    if not (recipe.pretrained and recipe.pretrained.after) or is_run(settings.weights):
        return settings
    before: Recipe = load_recipe(recipe.pretrained.after)
    flags = {*inspect.signature(before.data).parameters, *inspect.signature(before.build).parameters}
    options = {name: value for name, value in settings.options.items() if name in flags}
    wanted = {name: value for name, value in options.items() if name != "classes"}  # of which the data decides
    wanted = json.loads(json.dumps(wanted, default=str))  # as a manifest has it
    alike = {name: getattr(settings, name) for name in ("limit", "seed", "weights")}.items()
    for folder, run in manifest.runs(settings.output_dir / before.name):
        made = {n: v for n, v in (run.get("options") or {}).items() if n in flags and n != "classes"}
        same = made == wanted and alike <= (run.get("config") or {}).items()
        if same and run.get("status") == "finished" and (folder.path / MODEL).is_file():
            print(f"{recipe.name} goes on from {printable(folder.path)}", flush=True)
            return settings.replace(weights=str(folder.path))
    if cluster.workers:
        problem = f"{recipe.name} starts from a run of {before.name}, and there is none with these flags."
        raise UserError(problem, f"First `keraskit run {before.name}` on one machine.")
    print(f"{recipe.name} starts from a run of {before.name}; there is none with these flags, so here it is first:")
    knobs = {name: value for name, value in settings.requested["knobs"].items() if name not in ITS_OWN}
    result = train(before, RunConfig(**knobs), options)
    print(flush=True)
    return settings.replace(weights=str(result.folder.absolute()))


def is_run(weights: str | None) -> bool:
    """Whether `--weights` names a run's folder or model, and not weights for the base."""
    return weights is not None and (Path(weights).suffix == ".keras" or Path(weights).is_dir())
