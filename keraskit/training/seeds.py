"""--seeds: train with several seeds, each run in a separate process, and average the results."""

import shlex
from pathlib import Path
from typing import Any

from keraskit.config import RunConfig
from keraskit.distributed import launch
from keraskit.errors import RunStopped, UserError, flags, printable, short
from keraskit.registry import Card
from keraskit.runs.metrics import mean_and_error
from keraskit.training import resume


def train(card: Card, config: RunConfig, options: dict[str, Any]) -> None:
    """Train once per seed, each in a separate process, which frees its memory at the end.

    With `resume`, seeds whose run has finished are not trained again. Raises UserError if a run fails, Stopped
    if one is interrupted.
    """
    runs = []
    for seed in range(config.seed, config.seed + config.seeds):
        print(f"seed           {seed}, {seed - config.seed + 1} of {config.seeds}", flush=True)
        one = config.replace(seed=seed, seeds=1)
        found = finished(card, one, options) if config.resume else None
        runs.append(found or train_one(card, one, options))
    if config.resume and len({facts["data"].get("sha256") for facts in runs}) > 1:
        raise UserError("The seeds were trained on different data.", "Leave --resume out.")
    for name in runs[0]["test"]:
        shown = mean_and_error([facts["test"][name] for facts in runs])
        print(f"mean {name.replace('_', ' '):16} {shown}, of {len(runs)} seeds", flush=True)


def finished(card: Card, config: RunConfig, options: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of the newest finished run with the same request and recipe code; None if there is none."""
    name = card.declared.get("name") or card.name
    for folder, facts, same_code in resume.alike(config, options, name, card.source):
        if same_code and facts.get("status") == "finished" and facts.get("test"):
            print(f"               finished in {printable(short(folder.path))}", flush=True)
            return facts
    return None


def train_one(card: Card, config: RunConfig, options: dict[str, Any]) -> dict[str, Any]:
    """Run `keraskit run` in a new process, and return its manifest."""
    knobs = {n: getattr(config, n) for n in config.model_fields_set - {"seeds"}} | {"augment": config.augment.given()}
    words = shlex.split(f"{flags(knobs)} {flags(options)}")
    (code,) = launch.run_all(["run", card.name if card.ours else str(card.source.resolve()), *words], [{}], Path())
    if code:
        raise launch.ended(f"The run of seed {config.seed}", code, "See above; --resume goes on.")
    if not (found := finished(card, config, options)):
        raise RunStopped(f"The run of seed {config.seed} left no result in {config.output_dir}.", "See above.")
    return found
