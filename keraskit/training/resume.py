"""Going on with a run: which one, from which command, and whether it is still the same run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keraskit.config import KNOBS, RunConfig
from keraskit.errors import RunStopped, UserError, printable
from keraskit.files import MODEL
from keraskit.recipe import Recipe
from keraskit.registry import Card, find_card, recipes_available
from keraskit.runs import manifest
from keraskit.runs.folder import CHECKPOINT, ERROR, MANIFEST, TRAINED, RunFolder, now, resume_command
from keraskit.signals import Stopped
from keraskit.text import short
from keraskit.training.settings import callbacks_file, code, fields, words

if TYPE_CHECKING:
    from keraskit.training.checkpoint import Checkpoint, Position
    from keraskit.training.setup import TrainingSetup

DECIDE_BITS = ("python", "tensorflow", "keras", "numpy", "pillow")  # another version may compute other last digits
CHOSEN = ("device", "precision", "xla")  # knobs that a run keeps as it chose them
NEEDED = (  # of a manifest, to go on
    *("recipe", "asked.knobs", "asked.options", "asked.recipe", "config.epochs", "data.name", "data.used", "classes"),
    *("hardware", "versions", *(f"choices.{name}.value" for name in CHOSEN)),
)


def find(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> RunFolder | None:
    """Find the newest unfinished run in the output folder that was asked for in these words, for `--resume`.

    Raises UserError where the recipe's code was changed since it began.
    """
    wanted = words({"knobs": config.given(), "options": options}, recipe.source)
    for folder, facts in manifest.runs(Path(config.output_dir) / recipe.name):
        asked = facts.get("asked") or {}
        same = all(asked.get(name) == wanted[name] for name in ("knobs", "options"))
        if not same or facts.get("status") == "finished":
            continue
        changes = changed(recipe, asked)
        if asked.get("code") != wanted["code"]:
            problem = f"{recipe.name}'s code was changed since {short(folder.path)} began"
            source = f" --recipe {shlex.quote(facts['source'])}" if facts.get("source") else ""
            go_on = "" if changes else f"`{resume_command(folder.path, facts)}{source}` goes on with it as it is now. "
            advice = f"{go_on}Without --resume a new run begins."
            raise UserError(f"{problem}: {changes}." if changes else f"{problem}.", advice)
        if not changes:
            return folder
    print("resume         no unfinished run has these flags, so a new one begins", flush=True)
    return None


def unfinished(path: Path, epochs: int | None = None) -> RunFolder | None:
    """Find the run of this folder, or the newest unfinished one of a folder of runs; None where it has finished.

    One that has finished with another number of `epochs` goes on. Raises UserError where there is none, or it is still
    running.
    """
    if not path.is_dir():
        raise UserError(f"There is no run folder {path}.", "They lie in runs/<recipe>/.")
    several = [run for run, facts in manifest.runs(path) if facts.get("status") != "finished"]
    folder = RunFolder(path.resolve()) if (path / MANIFEST).exists() else next(iter(several), None)
    if folder is None:
        raise UserError(f"{path} holds no unfinished run.", "Name the folder of a run: they lie in runs/<recipe>/.")
    with folder.alone():
        facts = read(folder)
        if facts.get("status") != "finished" or epochs not in (None, facts["config"]["epochs"]):
            return folder
        if (folder.path / CHECKPOINT).exists():  # it was killed in its very last moment
            close(folder)
    return None


def read(folder: RunFolder, *more: str) -> dict[str, Any]:
    """The manifest of a run that can go on. Raises UserError where it does not say all that this takes."""
    try:
        facts = manifest.read(folder, *NEEDED, *more)
        if unknown := set(facts["asked"]["knobs"]) - set(KNOBS):
            raise UserError(f"{min(unknown)} is no knob.")
        return facts
    except UserError as error:
        problem = f"{folder.path / MANIFEST} does not say how this run was started: {error}"
        raise UserError(problem, "Start a new run.") from error


def asked(folder: RunFolder, epochs: int | None = None) -> tuple[RunConfig, dict[str, Any]]:
    """The knobs and options of a run as they were given, with the folder where it is now."""
    given = read(folder)["asked"]
    knobs = given["knobs"] | {"output_dir": folder.path.resolve().parent.parent}
    return RunConfig(**knobs | ({"epochs": epochs} if epochs else {})), dict(given["options"])


def kept(folder: RunFolder) -> dict[str, Any]:
    """The knobs that a run chose for itself, which it keeps."""
    facts = read(folder)
    weights = facts["config"].get("weights")
    begun_from = {"weights": weights} if weights and Path(weights).is_absolute() else {}  # such as another run's folder
    return {name: facts["choices"][name]["value"] for name in CHOSEN} | begun_from


def recipe_of(folder: RunFolder, named: Path | None = None, resuming: bool = False) -> Recipe:
    """Import a run's recipe: keraskit's own by its name, a user's file where the user has named it.

    To resume, files that lie outside of the run's folder and are as they were when the run began will do. Raises
    UserError where the file is to be named, or the recipe is another.
    """
    facts = read(folder)
    source, given = facts.get("source"), facts["asked"]

    def as_it_was(file: Path, name: str) -> bool:
        outside = file.is_absolute() and not file.resolve().is_relative_to(folder.path.resolve())
        return resuming and outside and given.get(name) is not None and code(file) == given[name]

    callbacks = callbacks_file(given["knobs"].get("callbacks"))
    if resuming and callbacks and not as_it_was(callbacks, "callbacks"):
        problem = f"{callbacks}, this run's --callbacks, is not there as it was when the run began."
        raise UserError(problem, f"With the file as it is now: {facts.get('command')} --resume")
    if named:
        card = find_card(str(named))
    elif source is None and facts["recipe"] in recipes_available():
        card = recipes_available()[facts["recipe"]]
    elif source and as_it_was(Path(source), "code"):
        card = Card(Path(source))
        print(f"recipe's file  {printable(source)}, as it was when the run began", flush=True)
    elif source:
        why = ", which is not there as it was when the run began" if resuming else ""
        problem = f"This run's recipe is a file of your own, {source}{why}."
        raise UserError(problem, f"Name it, and it is imported as it is now: --recipe {shlex.quote(source)}")
    else:
        problem = f"This run's recipe, {facts['recipe']}, was made in Python."
        raise UserError(problem, f"Its own command goes on: {resume_command(folder.path, facts)}")
    recipe: Recipe = card.load()
    if changes := changed(recipe, given):
        problem = f"This run's recipe was not {recipe.name} as it is now: {changes}."
        advice = "If it was changed in Python, call keraskit.run there with resume=True; else start a new run."
        raise UserError(problem, advice)
    return recipe


def changed(recipe: Recipe, asked: dict[str, Any]) -> str:
    """What of the recipe is otherwise than when a run was asked for, in words; empty for nothing."""
    then, today = asked.get("recipe"), fields(recipe)
    pairs = then.items() if isinstance(then, dict) else ()
    return "; ".join(f"{name} {was}, now {today[name]}" for name, was in pairs if today.get(name, was) != was)


@contextmanager
def opened(
    setup: TrainingSetup, run: RunFolder | None, facts: dict[str, Any]
) -> Iterator[tuple[RunFolder | None, Checkpoint | None]]:
    """Open a new run's folder, or that of the `run` that goes on: locked, and recorded as running and as it ends.

    `facts` are for the manifest. Yields the folder, None for a worker that writes nothing; and the checkpoint to go on
    from, if there is one.
    """
    from keraskit.training.checkpoint import Checkpoint

    if not setup.devices.cluster.chief:
        print("run folder     written by worker 0", flush=True)
        yield None, Checkpoint.of(run) if run else None
        return
    folder = run or RunFolder.create(setup.settings.output_dir, facts["recipe"])
    print(f"run folder     {printable(short(folder.path))}", flush=True)
    with folder.alone():
        go_on = resume_command(folder.path, read(folder) if run else facts, setup.devices.cluster.workers)
        start, facts = begin(folder, setup, facts) if run else (None, facts)
        with advising(go_on), folder.recorded(**facts):
            yield folder, start
        close(folder)


def begin(folder: RunFolder, setup: TrainingSetup, facts: dict[str, Any]) -> tuple[Checkpoint | None, dict[str, Any]]:
    """See whether a run may go on. Return where from, None where nothing was saved, and what its manifest says now.

    Raises UserError, before anything is changed, where data or model are not what it began with, or it has come as far.
    """
    from keraskit.training.checkpoint import Checkpoint, Position

    before, epochs, start = read(folder), setup.settings.epochs, Checkpoint.of(folder)
    check(before, facts)
    check_epochs(before, start.position if start else None, epochs)
    position = start.position if start else Position()
    if before.get("status") == "finished" and position.model_sha256 != folder.sha256(MODEL):
        problem = f"{folder.path / TRAINED} was not written with {MODEL} beside it."
        raise UserError(problem, "Put back the file of this run, or start a new one.")
    if start:
        start.restore(setup.training_copy, setup.callbacks)
    folder.sweep()
    (folder.path / ERROR).unlink(missing_ok=True)
    if (folder.path / TRAINED).exists():  # a kill in between: the run is finished, and can begin to go on
        (folder.path / TRAINED).replace(folder.path / CHECKPOINT)
        start = Checkpoint.of(folder)
    where = f"at {position}" if position.epoch < epochs else "after training"
    print(f"resume         goes on {where if start else 'from the beginning, as nothing was saved'}", flush=True)
    known = dict.fromkeys(("ended", "error", "test", "verdict", "advice", "regression"))
    if epochs != before["config"]["epochs"]:
        known |= {name: facts[name] for name in ("asked", "command", "config", "optimizer")}
        say_schedule(setup, position.epoch * setup.epochs.steps + position.step)
    resumed = {"at": now(), "epoch": position.epoch, "step": position.step}
    for stage, seconds in (before.get("timings") or {}).items():
        if stage != "fit":  # which the checkpoint knows better
            facts["timings"][stage] = round(seconds + facts["timings"].get(stage, 0.0), 3)
    earlier = before["resumed"] if isinstance(before.get("resumed"), list) else []
    known |= {"warnings": facts["warnings"], "timings": facts["timings"]}
    return start, known | {"resumed": [*earlier, resumed]}


def check(before: dict[str, Any], today: dict[str, Any]) -> None:
    """Compare two manifests of a run: refuse other data; note what may change the last digits of the result."""
    data, now = before["data"], today["data"]
    if any(data.get(n) != now.get(n) for n in ("sha256", "used")) or before["classes"] != today["classes"]:
        problem = f"The data is not what this run began with: {data['used']} of {data['name']}"
        raise UserError(f"{problem}, sha256 {data.get('sha256')}.", "Put it back, or start a new run.")
    if before["asked"].get("code") != today["asked"]["code"]:
        print(f"NOTE           {today['recipe']}'s code was changed since this run began: it goes on with the new")
    known = {name: choice for name, choice in before["choices"].items() if name in today["choices"]}
    pairs = [(name, choice.get("value"), today["choices"][name]["value"]) for name, choice in known.items()]
    for kind, names in (("hardware", ("cpu", "cores", "gpus")), ("versions", DECIDE_BITS)):
        pairs += [(name, before[kind].get(name), today[kind].get(name)) for name in names]
    if others := [f"{name} {then}, now {this}" for name, then, this in pairs if then != this]:
        print(f"NOTE           begun with {printable('; '.join(others))}: the last digits of the result may differ")


def check_epochs(before: dict[str, Any], position: Position | None, epochs: int) -> None:
    """Raise UserError where a run has come as far, or where a finished one cannot be trained on."""
    finished, done = before.get("status") == "finished", 0
    if position:
        done = position.epoch + (position.step > 0)
    elif finished:
        raise UserError(f"There is no {TRAINED}, from which a finished run goes on.", "Start a new run.")
    if done + finished > epochs:
        raise UserError(f"This run has come to epoch {done} already.", "Ask for more with --epochs.")
    if finished and position and position.stopped:
        problem = f"A callback ended this run after epoch {done}, and would end it again."
        raise UserError(problem, "Start a new run with other callbacks.")


def say_schedule(setup: TrainingSetup, step: int) -> None:
    """Say where the learning rate goes on, if it follows a schedule, which is one over the new epochs."""
    optimizer = setup.training_copy.optimizer
    schedule = getattr(optimizer, "inner_optimizer", optimizer).get_config().get("learning_rate")
    if isinstance(schedule, dict):
        optimizer.iterations.assign(step)
        rate = f"the learning rate goes on at {float(optimizer.learning_rate):.3g}"
        print(f"schedule       {schedule['class_name']}, now over {setup.settings.epochs} epochs: {rate}")


def close(folder: RunFolder) -> None:
    """Write a finished run's page, and put what more epochs would go on from where no unfinished run has it."""
    from keraskit.runs import report

    report.write_report(folder)
    if (folder.path / CHECKPOINT).exists():
        (folder.path / CHECKPOINT).replace(folder.path / TRAINED)


@contextmanager
def advising(command: str) -> Iterator[None]:
    """Name the command that goes on, whatever stops a run."""
    try:
        yield
    except Stopped as stopped:
        said = str(stopped) or "Interrupted; what was saved before stays."
        raise Stopped(stopped.number, f"{said} Go on with: {command}") from None
    except RunStopped as stopped:
        raise RunStopped(str(stopped), f"Then go on with: {command}") from stopped
    except OSError as error:
        if error.errno is None or isinstance(error, BrokenPipeError):
            raise
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{where}{error.strerror}.", f"When that is mended, go on with: {command}") from error
