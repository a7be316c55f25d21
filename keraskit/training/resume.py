"""Resume a run: find it, restore its command, and check that data and recipe are unchanged."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keraskit.config import RunConfig
from keraskit.errors import UserError, printable, short
from keraskit.files import TEMPORARY
from keraskit.recipe import Recipe
from keraskit.registry import find_card, recipes_available
from keraskit.runs.folder import CHECKPOINT, ERROR, MANIFEST, RunFolder, check_folder, now, resume_command, runs_in
from keraskit.signals import Stopped
from keraskit.training.settings import recipe_fields, request

if TYPE_CHECKING:
    from keraskit.training.checkpoint import Checkpoint, Position
    from keraskit.training.setup import TrainingSetup

NEEDED = ("recipe", "asked.knobs", "asked.options", "asked.recipe", "config.epochs", "data.used", "classes")
OUTDATED = (
    *("ended", "error", "test", "verdict", "advice", "regression", "best_epoch", "balanced_accuracy"),
    *("weights_sha256", "training_means", "timings", "seconds_per_epoch"),
)


def alike(
    config: RunConfig, options: dict[str, Any], name: str, source: Path | None
) -> Iterator[tuple[RunFolder, dict[str, Any], bool]]:
    """Yield the runs of recipe `name` that were given these knobs and options, newest first.

    With each come its manifest, and whether the code in `source`, the recipe's file, is unchanged since.
    """
    wanted = request({"knobs": config.given(), "options": options}, source)
    for folder, facts in runs_in(config.output_dir / name):
        asked = facts.get("asked") or {}
        if all(asked.get(each) == wanted[each] for each in ("knobs", "options")):
            yield folder, facts, asked.get("code") == wanted["code"]


def find(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> RunFolder | None:
    """Find the newest unfinished run in the output folder with the same knobs and options, for `--resume`.

    Raises UserError if the recipe's code has changed since the run began.
    """
    for folder, facts, same_code in alike(config, options, recipe.name, recipe.source):
        changes = changed(recipe, facts["asked"])
        if facts.get("status") == "finished" or (same_code and changes):
            continue
        if same_code:
            return folder
        said = f"{changes}." if changes else f"`{resume_command(folder.path, facts)}` goes on with it as it is now."
        problem = f"{recipe.name}'s code was changed since {short(folder.path)} began: {said}"
        raise UserError(problem, "Without --resume a new run begins.")
    print("resume         no unfinished run has these flags, so a new one begins", flush=True)
    return None


def unfinished(path: Path, epochs: int | None = None) -> RunFolder | None:
    """Return the run in this folder, or the newest unfinished run below it; None if the run has finished.

    A finished run is returned if `epochs` differs from its own number. Raises UserError if there is no run, or if it is
    still running.
    """
    check_folder(path)
    found = [run for run, facts in runs_in(path) if facts.get("status") != "finished"]
    folder = RunFolder(path.resolve()) if (path / MANIFEST).exists() else next(iter(found), None)
    if folder is None:
        raise UserError(f"{path} holds no unfinished run.", "Name a run; with --epochs a finished one goes on.")
    with folder.alone():
        facts = folder.read_manifest(*NEEDED)
    if facts.get("status") == "finished" and epochs in (None, facts["config"]["epochs"]):
        return None
    if facts["asked"]["knobs"].get("callbacks"):  # a file, to be named by the user only
        own = f"Its own command goes on: {facts.get('command')} --resume"
        raise UserError("This run has --callbacks.", own if facts.get("status") != "finished" else "Start a new run.")
    return folder


def requested(folder: RunFolder, named: Path | None = None) -> tuple[Recipe, RunConfig, dict[str, Any]]:
    """Return a run's recipe, and its knobs and options as they were given, with the run's current output folder.

    The recipe is one of keraskit's by name, or a user's own from the file `named`. Raises UserError if the file must be
    named, or if the recipe has changed.
    """
    facts = folder.read_manifest(*NEEDED)
    source, asked = facts.get("source"), facts["asked"]
    config = RunConfig(**asked["knobs"] | {"output_dir": folder.path.resolve().parent.parent})
    if named:
        card = find_card(str(named))
    elif source:
        problem = f"This run's recipe is a file of your own, {source}."
        raise UserError(problem, f"Name it, and it is imported as it is now: --recipe {shlex.quote(source)}")
    elif facts["recipe"] not in recipes_available():
        problem = f"This run's recipe, {facts['recipe']}, was made in Python."
        raise UserError(problem, f"Its own command goes on: {resume_command(folder.path, facts)}")
    else:
        card = recipes_available()[facts["recipe"]]
    recipe: Recipe = card.load()
    if changes := changed(recipe, asked):
        raise UserError(f"This run's recipe was not {recipe.name} as it is now: {changes}.", "Start a new run.")
    return recipe, config, dict(asked["options"])


def changed(recipe: Recipe, asked: dict[str, Any]) -> str:
    """Describe the recipe's fields that have changed since a run was requested; '' if none has."""
    then, today = asked.get("recipe"), recipe_fields(recipe)
    pairs = then.items() if isinstance(then, dict) else ()
    return "; ".join(f"{name} {was}, now {today[name]}" for name, was in pairs if today.get(name, was) != was)


@contextmanager
def opened(
    setup: TrainingSetup, run: RunFolder | None, facts: dict[str, Any]
) -> Iterator[tuple[RunFolder | None, Checkpoint | None]]:
    """Open the folder of a new run, or of the `run` to resume; lock it and record the run's status in the manifest.

    `facts` are entries of the manifest. Yields the folder, or None for a worker that writes nothing; and the checkpoint
    to resume from, or None. An error that an unchanged command can get over names the command that resumes the run.
    """
    from keraskit.runs import report
    from keraskit.training.checkpoint import Checkpoint, Position

    start = Checkpoint.of(run) if run else None
    if not setup.devices.cluster.chief:
        yield None, start
        return
    folder = run or RunFolder.create(setup.settings.output_dir, facts["recipe"])
    with folder.alone():
        before = folder.read_manifest(*NEEDED) if run else facts
        if run:
            position = start.position if start else Position()
            check(folder, before, facts, position, setup.settings.epochs)
            if start:
                start.restore(setup.training_copy, setup.callbacks)  # fails before the folder is changed
            facts = begin(folder, before, facts, position)
        command = resume_command(folder.path, before, setup.devices.cluster.workers)
        try:
            with folder.recorded(**facts):
                old = [folder.path / name for name in (ERROR, "metrics.json", "predictions.npz")]  # of an earlier end
                old += [*folder.path.glob(f"{TEMPORARY}*"), *folder.path.glob("*pictures.npz")]  # the first of a kill
                for file in old:
                    file.unlink(missing_ok=True)
                print(f"run folder     {printable(short(folder.path))}", flush=True)
                yield folder, start
                report.write_report(folder, status="finished")
        except BaseException as error:
            with suppress(Exception):  # why the run ended says more
                report.write_report(folder)
            if isinstance(error, Stopped):
                raise Stopped(error.number, f"{str(error) or 'Interrupted.'} Go on with: {command}") from None
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                problem = f"{error.filename or 'A file'}: {error.strerror or error}."
                raise UserError(problem, f"When that is mended, go on with: {command}") from error
            raise


def check(folder: RunFolder, before: dict[str, Any], today: dict[str, Any], position: Position, epochs: int) -> None:
    """Raise UserError if a run's data have changed, or if it cannot be resumed up to `epochs`."""
    data, finished = before["data"], before.get("status") == "finished"
    if any(data.get(n) != today["data"].get(n) for n in ("sha256", "used")) or before["classes"] != today["classes"]:
        raise UserError(f"The data is not what this run began with, {data['used']}.", "Put it back, or start anew.")
    if finished and [row["seconds"] for row in position.rows] != [row["seconds"] for row in folder.read_history()]:
        raise UserError(f"There is no {CHECKPOINT} of this run, from which a finished one goes on.", "Start a new run.")
    if position.epoch + (position.step > 0) + finished > epochs:
        raise UserError(f"This run has come to epoch {position.epoch} already.", "Ask for more with --epochs.")
    if finished and position.stopped:
        raise UserError(f"A callback ended this run after epoch {position.epoch}, and would again.", "Start a new run.")


def begin(folder: RunFolder, before: dict[str, Any], today: dict[str, Any], position: Position) -> dict[str, Any]:
    """Print where a run resumes, and return the new entries of its manifest."""
    if before["asked"].get("code") != today["asked"]["code"]:
        print(f"NOTE           {today['recipe']}'s code was changed since this run began: it goes on with the new")
    print(f"resume         goes on at epoch {position.epoch + 1}, step {position.step + 1}", flush=True)
    resumed = {"at": now(), "epoch": position.epoch, "step": position.step}
    more = today["config"]["epochs"] != before["config"]["epochs"]
    kept = {name: before.get(name) for name in ("started", *(() if more else ("asked", "command")))}
    known = today | kept | dict.fromkeys(OUTDATED)
    return known | {"resumed": [*(before.get("resumed") or []), resumed]}
