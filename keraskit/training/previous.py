"""Find the run that a recipe starts from, or train it first."""

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
from keraskit.runs.folder import RunFolder

ITS_OWN = ("epochs", "batch_size", "steps_per_epoch", "devices", "callbacks", "augment")  # knobs of this run only


def begin_from(
    recipe: Recipe, settings: Settings, run: RunFolder | None, cluster: Cluster, train: Callable[..., Any]
) -> Settings:
    """Set `weights` to the folder of the run that a recipe starts from, unless `weights` already names one.

    When resuming `run`, use the run that it started from; otherwise the newest finished run with the same data, model
    and initial weights. If there is none, train it now, with the flags that both recipes have; with several workers,
    raise UserError.
    """
    named = Path(settings.weights or "imagenet")
    if not (recipe.pretrained and recipe.pretrained.after) or named.suffix == ".keras" or named.is_dir():
        return settings
    if run:
        return settings.replace(weights=manifest.read(run, "config.weights")["config"]["weights"])
    before: Recipe = load_recipe(recipe.pretrained.after)
    shared = {*inspect.signature(before.data).parameters, *inspect.signature(before.build).parameters}
    shared -= {"classes"}  # which the data sets
    options = {name: value for name, value in settings.options.items() if name in shared}
    recorded = json.loads(json.dumps(options, default=str))
    alike = {name: getattr(settings, name) for name in ("limit", "seed", "weights")}.items()
    for folder, facts in manifest.runs(settings.output_dir / before.name):
        given = {name: value for name, value in (facts.get("options") or {}).items() if name in shared}
        same = given == recorded and alike <= facts["config"].items()
        if same and facts.get("status") == "finished" and (folder.path / MODEL).is_file():
            print(f"{recipe.name} goes on from {printable(folder.path)}", flush=True)
            return settings.replace(weights=str(folder.path))
    if cluster.workers:
        raise UserError(f"{recipe.name} starts from a run of {before.name}.", "First train that on one machine.")
    print(f"{recipe.name} starts from a run of {before.name}; there is none with these flags, so here it is first:")
    knobs = {name: value for name, value in settings.requested["knobs"].items() if name not in ITS_OWN}
    result = train(before, RunConfig(**knobs), options)
    print(flush=True)
    return settings.replace(weights=str(result.folder.absolute()))
