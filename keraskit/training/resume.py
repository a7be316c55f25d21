"""`keraskit resume`, `--resume` and `--like`: finds a run that can go on, and sees that it goes on as it began."""

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
from keraskit.results import manifest
from keraskit.results.run_folder import CHECKPOINT, ERROR, MANIFEST, TRAINED, RunFolder, now
from keraskit.signals import Stopped
from keraskit.terminal import short
from keraskit.training.settings import code, record

if TYPE_CHECKING:
    from keraskit.datasets.splits import Splits
    from keraskit.training.checkpoint import Checkpoint
    from keraskit.training.hardware import Choices

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

    @property
    def card(self) -> Card:
        """The run's recipe, where it is. Raises UserError where it is not there any more."""
        return find_card(self.facts.get("source") or self.facts["recipe"])

    def check_recipe(self, recipe: Recipe) -> None:
        """Raise UserError if it was of another recipe of this name."""
        if record(recipe, RunConfig(), {})["recipe"] != self.facts["asked"]["recipe"]:
            problem = f"This run's recipe was not {recipe.name} as it is now."
            advice = "If it was changed in Python, call keraskit.run there with resume=True; else start a new run."
            raise UserError(problem, advice)

    def check(self, splits: Splits, choices: Choices, hardware: dict[str, Any]) -> None:
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
            "recipe's code": (facts["asked"].get("code"), code(self.card.source)),
        }
        if differing := [f"{name} {then}, now {this}" for name, (then, this) in pairs.items() if then != this]:
            begun = printable("; ".join(differing))
            print(f"NOTE           begun with {begun}: the last digits of the result may differ")

    def checkpoint(self) -> Checkpoint | None:
        """Where training stood; None where nothing was saved."""
        from keraskit.training.checkpoint import Checkpoint

        return Checkpoint.of(self.folder)

    def begin(self, facts: dict[str, Any]) -> Checkpoint | None:
        """Where it goes on, said and recorded; None where nothing was saved. The folder is locked.

        `facts`, where it is to have other epochs, are those of its manifest as they would be if it began now. Raises
        UserError where another process was at it, or it cannot have so many epochs.
        """
        if self.folder.read_json(MANIFEST) != self.facts:
            problem = f"Another process has gone on with {self.folder.path} meanwhile."
            raise UserError(problem, "Start the same command again, which then sees how far it is.")
        self.folder.sweep()
        start = self.checkpoint()
        if self.epochs:
            self._check_epochs(self.epochs, start)
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


def find(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> Unfinished | None:
    """The newest run of the output folder that was asked for in these words and has not finished; says so if none."""
    wanted = record(recipe, config, options)
    for folder, facts in _runs(Path(config.output_dir) / recipe.name):
        if facts.get("asked") == wanted:
            return _read(folder)
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
        if facts.get("status") == "finished" and (folder.path / CHECKPOINT).exists():
            close(folder)  # it was killed in its very last moment
    if facts.get("source") is None and facts["recipe"] not in recipes_available():
        problem = f"The recipe {facts['recipe']} of this run is not one of keraskit's, nor does a file hold it."
        raise UserError(problem, f"Its own command goes on: {command(folder, facts)}")
    found = _read(folder)
    if epochs != found.facts["config"]["epochs"]:
        found = dataclasses.replace(found, epochs=epochs)
    return None if facts.get("status") == "finished" and not found.epochs else found


def _read(folder: RunFolder, *needed: str) -> Unfinished:
    """A run by its manifest, in which everything is that it takes to go on, or what else is needed."""
    try:
        return Unfinished(folder, manifest.read(folder, *(needed or NEEDED)))
    except UserError as error:
        problem = f"{folder.path / MANIFEST} does not say how this run was started: {error}"
        raise UserError(problem, "Start a new run.") from error


def like(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> tuple[RunConfig, dict[str, Any]]:
    """The flags of the run that `--like` names, but for those given. Raises UserError where it is of another recipe."""
    assert config.like
    earlier = _read(RunFolder(config.like))
    if earlier.facts["recipe"] != recipe.name:
        raise UserError(f"{config.like} is a run of {earlier.facts['recipe']}, not of {recipe.name}.", "Name another.")
    knobs, known = earlier.asked
    given = {**config.given(), "output_dir": config.output_dir, "resume": config.resume}
    return knobs.replace(**given), {**known, **options}


def close(folder: RunFolder) -> None:
    """Write a finished run's page, and put what more epochs would go on from where no unfinished run has it."""
    from keraskit.results import report

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
