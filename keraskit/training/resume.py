"""`keraskit resume` and `--resume`: finds a run that can go on, and sees that it goes on as it began."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keraskit import system
from keraskit.config import KNOBS, RunConfig
from keraskit.errors import RunStopped, UserError, printable
from keraskit.recipe import Recipe
from keraskit.registry import Card, find_card, recipes_available
from keraskit.runs import manifest
from keraskit.runs.folder import CHECKPOINT, ERROR, MANIFEST, MODEL, TRAINED, RunFolder, now
from keraskit.signals import Stopped
from keraskit.text import short
from keraskit.training.settings import callbacks_file, code, differing, record

if TYPE_CHECKING:
    from keraskit.datasets.splits import Splits
    from keraskit.training.checkpoint import Checkpoint
    from keraskit.training.hardware import Choices
    from keraskit.training.setup import TrainingSetup
    from keraskit.training.user_callbacks import UserCallbacks

DECIDE_BITS = ("python", "tensorflow", "keras", "numpy", "pillow")  # another version may compute other last digits
CHOSEN = ("device", "precision", "xla")  # knobs that a run keeps as it chose them
NEEDED = (  # of a manifest, to go on
    *("recipe", "asked.knobs", "asked.options", "asked.recipe", "config.epochs", "data.name", "data.used", "classes"),
    *("hardware", "versions", *(f"choices.{name}.value" for name in CHOSEN)),
)


@dataclasses.dataclass(frozen=True)
class Unfinished:
    """A run that can go on; `epochs` is how many it is to have, where that is another number than it began with."""

    folder: RunFolder
    facts: dict[str, Any]
    epochs: int | None = None

    @property
    def asked(self) -> tuple[RunConfig, dict[str, Any]]:
        """The knobs and the builder's arguments as they were given. Raises UserError where nothing can be made of them.

        The folder is where it is now.
        """
        knobs = dict(self.facts["asked"]["knobs"])
        if "preprocessing_function" in knobs.get("augment", {}):
            advice = "Call keraskit.run with it and resume=True."
            raise UserError("This run's pictures went through a function of your own.", advice)
        if self.epochs:
            knobs["epochs"] = self.epochs
        if unknown := set(knobs) - set(KNOBS):
            problem = f"{self.folder.path / MANIFEST} does not say how this run was started: {min(unknown)} is no knob."
            raise UserError(problem, "Start a new run.")
        knobs["output_dir"] = self.folder.path.resolve().parent.parent
        return RunConfig(**knobs), dict(self.facts["asked"]["options"])

    @property
    def chosen(self) -> dict[str, Any]:
        """The knobs that the run chose for itself, which it keeps."""
        chosen = {name: self.facts["choices"][name]["value"] for name in CHOSEN}
        weights = self.facts["config"].get("weights")
        if weights and Path(weights).is_absolute():  # as the folder of the run that it started from is
            chosen["weights"] = weights
        return chosen

    def recipe(self, named: Path | None = None, resuming: bool = False) -> Recipe:
        """Import the run's recipe: keraskit's own by its name, a user's file where the user has named it.

        To resume, a file that lies outside of the run's folder and is as it was when the run began will do. Raises
        UserError where the file is to be named, or the recipe is another.
        """
        source, asked = self.facts.get("source"), self.facts["asked"]
        if named:
            card = find_card(str(named))
        elif source is None and self.facts["recipe"] in recipes_available():
            card = recipes_available()[self.facts["recipe"]]
        elif source and resuming and self._as_it_was(Path(source), asked.get("code")):
            card = Card(Path(source))
            print(f"recipe's file  {printable(source)}, as it was when the run began", flush=True)
        else:
            why = f"a file of your own, {source or 'which it does not name'}"
            why += ", which is not there as it was when the run began" if resuming else ""
            advice = "Name it, and it is imported as it is now; or start a new run."
            raise UserError(f"This run's recipe is {why}.", advice, f"--recipe {shlex.quote(source or 'FILE.py')}")
        file = callbacks_file(self.asked[0].callbacks) if resuming else None
        if file and not self._as_it_was(file, asked.get("callbacks")):
            problem = f"{file}, this run's --callbacks, is not there as it was when the run began."
            raise UserError(problem, f"With the file as it is now: {self.facts.get('command')} --resume")
        recipe: Recipe = card.load()
        if changes := differing(asked, record(recipe, RunConfig(), {})):
            problem = f"This run's recipe was not {recipe.name} as it is now: {'; '.join(changes)}."
            advice = "If it was changed in Python, call keraskit.run there with resume=True; else start a new run."
            raise UserError(problem, advice)
        return recipe

    def _as_it_was(self, file: Path, recorded: str | None) -> bool:
        """Whether a file outside of the run's folder has the code that the run recorded."""
        outside = file.is_absolute() and not file.resolve().is_relative_to(self.folder.path.resolve())
        return outside and recorded is not None and code(file) == recorded

    def check(self, recipe: Recipe, splits: Splits, choices: Choices, hardware: dict[str, Any]) -> None:
        """Refuse other data; note what may change the last digits of the result."""
        facts, before, today = self.facts, self.facts["data"], splits.source
        same = before.get("sha256") == today.get("sha256") and before["used"] == splits.sizes()
        if not same or facts["classes"] != list(splits.classes):
            problem = f"The data is not what this run began with: {before['used']} of {before['name']}"
            raise UserError(f"{problem}, sha256 {before.get('sha256')}.", "Put it back, or start a new run.")
        chosen, versions = vars(choices), system.versions()
        pairs = {
            **{n: (then.get("value"), chosen[n].value) for n, then in facts["choices"].items() if n in chosen},
            **{name: (facts["hardware"].get(name), hardware[name]) for name in ("cpu", "cores", "gpus")},
            **{name: (facts["versions"].get(name), versions.get(name)) for name in DECIDE_BITS},
        }
        if facts["asked"].get("code") != code(recipe.source):
            print(f"NOTE           {recipe.name}'s code was changed since this run began: it goes on with the new")
        if others := [f"{name} {then}, now {this}" for name, (then, this) in pairs.items() if then != this]:
            begun = printable("; ".join(others))
            print(f"NOTE           begun with {begun}: the last digits of the result may differ")

    def checkpoint(self) -> Checkpoint | None:
        """Where training stood; None where nothing was saved."""
        from keraskit.training.checkpoint import Checkpoint

        return Checkpoint.of(self.folder)

    def begin(self, setup: TrainingSetup, user: UserCallbacks, facts: dict[str, Any]) -> Checkpoint | None:
        """Where it goes on, said and recorded; None where nothing was saved. The folder is locked.

        `facts`, where it is to have other epochs, are those of its manifest as they would be if it began now. Raises
        UserError, before anything is changed, where another process was at it, it cannot have so many epochs, or its
        checkpoint is not of this training.
        """
        if self.folder.read_json(MANIFEST) != self.facts:
            problem = f"Another process has gone on with {self.folder.path} meanwhile."
            raise UserError(problem, "Start the same command again, which then sees how far it is.")
        start = self.checkpoint()
        if self.epochs:
            self._check_epochs(self.epochs, start)
        if start:
            start.check(setup.settings.epochs, setup.epochs.steps)
            start.check_variables(setup.training_copy)
            user.restored(start)
        self.folder.sweep()
        if (self.folder.path / TRAINED).exists():  # a kill in between: the run is finished, and can begin to go on
            (self.folder.path / TRAINED).replace(self.folder.path / CHECKPOINT)
            start = self.checkpoint()
        epoch, step = (start.position.epoch, start.position.step) if start else (0, 0)
        earlier = self.facts.get("resumed")
        resumed = [*(earlier if isinstance(earlier, list) else []), {"at": now(), "epoch": epoch, "step": step}]
        changed = {name: facts[name] for name in ("asked", "command", "config", "optimizer") if facts}
        ended = dict.fromkeys(("ended", "error", "test", "verdict", "warnings", "advice", "regression"))
        self.folder.update_manifest(**changed, **ended, resumed=resumed, status="running")
        (self.folder.path / ERROR).unlink(missing_ok=True)
        trained = epoch >= (self.epochs or self.facts["config"]["epochs"])
        where = f"at {start.position}" if start else "from the beginning: it was stopped before its first checkpoint"
        print(f"resume         goes on {'after training' if trained else where}", flush=True)
        return start

    def _check_epochs(self, epochs: int, start: Checkpoint | None) -> None:
        finished = self.facts.get("status") == "finished"
        done = start.position.epoch + (start.position.step > 0) if start else 0
        if finished and not start:
            problem = f"{self.folder.path} has no {TRAINED}, from which a finished run goes on."
            raise UserError(problem, "Start a new run with so many epochs.")
        if done + finished > epochs:
            raise UserError(f"This run has come to epoch {done} already.", "Ask for more with --epochs.")
        if finished and start and start.position.stopped:
            problem = f"A callback ended this run after epoch {done}, and would end it again."
            raise UserError(problem, "Start a new run with other callbacks.")
        if finished and start and start.position.model_sha256 != self.folder.sha256(MODEL):
            problem = f"{self.folder.path / TRAINED} was not written with {MODEL} beside it."
            raise UserError(problem, "Put back the file of this run, or start a new one.")


def find(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> Unfinished | None:
    """The newest run of the output folder that was asked for in these words and has not finished; says so if none.

    Raises UserError where there is one, and the recipe's code was changed since.
    """
    wanted, edited = record(recipe, config, options), None
    for folder, facts in _runs(Path(config.output_dir) / recipe.name):
        asked = facts.get("asked") or {}
        if (asked.get("knobs"), asked.get("options")) != (wanted["knobs"], wanted["options"]):
            continue
        changes = differing(asked, wanted)
        if asked.get("code") != wanted["code"]:
            named = f" --recipe {shlex.quote(facts['source'])}" if facts.get("source") else ""
            go_on = f"`{command(folder, facts)}{named}` goes on with it as it is now." if not changes else ""
            what = f"{recipe.name}'s code was changed since {short(folder.path)} began{': ' * bool(changes)}"
            edited = edited or (f"{what}{'; '.join(changes)}.", f"{go_on} Without --resume a new run begins.")
        elif not changes:
            return _read(folder)
    if edited:
        raise UserError(*edited)
    print("resume         no unfinished run has these flags, so a new one begins", flush=True)
    return None


def unfinished(path: Path, epochs: int | None = None) -> Unfinished | None:
    """The run in this folder, or the newest unfinished one of a folder of runs; None for a run that has finished.

    One that has finished with fewer `epochs` can go on. Raises UserError where there is none, it is still running, or
    its recipe is not keraskit's.
    """
    if not path.is_dir():
        raise UserError(f"There is no run folder {path}.", "They lie in runs/<recipe>/.")
    several = [RunFolder(path.resolve())] if (path / MANIFEST).exists() else [folder for folder, _ in _runs(path)]
    if not several:
        raise UserError(f"{path} holds no unfinished run.", "Name the folder of a run: they lie in runs/<recipe>/.")
    folder = several[0]
    with folder.alone():
        facts = _read(folder, "recipe").facts
    if facts.get("source") is None and facts["recipe"] not in recipes_available():
        problem = f"The recipe {facts['recipe']} of this run is not one of keraskit's, nor does a file hold it."
        raise UserError(problem, f"Its own command goes on: {command(folder, facts)}")
    found = _read(folder)
    if epochs != found.facts["config"]["epochs"]:
        found = dataclasses.replace(found, epochs=epochs)
    if facts.get("status") != "finished" or found.epochs:
        return found
    with folder.alone():
        if (folder.path / CHECKPOINT).exists():
            close(folder)  # it was killed in its very last moment
    return None


def _read(folder: RunFolder, *needed: str) -> Unfinished:
    """A run by its manifest, in which everything is that it takes to go on, or what else is needed."""
    try:
        return Unfinished(folder, manifest.read(folder, *(needed or NEEDED)))
    except UserError as error:
        problem = f"{folder.path / MANIFEST} does not say how this run was started: {error}"
        raise UserError(problem, "Start a new run.") from error


def close(folder: RunFolder) -> None:
    """Write a finished run's page, and put what more epochs would go on from where no unfinished run has it."""
    from keraskit.runs import report

    report.write_report(folder)
    if (folder.path / CHECKPOINT).exists():
        (folder.path / CHECKPOINT).replace(folder.path / TRAINED)


def command(folder: RunFolder, facts: dict[str, Any], workers: Sequence[str] = ()) -> str:
    """The command that goes on with a run."""
    if workers:
        return f"{facts.get('command')} --resume, on every worker"
    if facts.get("source") is None and facts.get("recipe") not in recipes_available():
        return f"{facts.get('command')} --resume"  # its recipe was made in Python
    return f"keraskit resume {shlex.quote(short(folder.path))}"


@contextmanager
def advising(command: str) -> Iterator[None]:
    """Name the command that goes on, whatever stops a run."""
    try:
        yield
    except Stopped as stopped:
        if not str(stopped):
            raise Stopped(stopped.number, f"Interrupted. What was saved before stays; go on with: {command}") from None
        raise
    except RunStopped as stopped:
        raise RunStopped(str(stopped), f"Then go on with: {command}") from stopped
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{where}{error.strerror}.", f"When that is mended, go on with: {command}") from error


def _runs(path: Path) -> Iterator[tuple[RunFolder, dict[str, Any]]]:
    """The unfinished runs in a folder, the newest first, and their manifests."""
    for file in sorted(path.glob(f"*/{MANIFEST}"), reverse=True):
        folder = RunFolder(file.parent.resolve())
        with suppress(UserError):
            facts = manifest.read(folder)
            if facts.get("status") != "finished":
                yield folder, facts
