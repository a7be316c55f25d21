"""`keraskit resume` and `--resume`: finds a run that did not finish, and sees that it can go on as it began."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keraskit import system
from keraskit.augment import Augmentation
from keraskit.config import RunConfig, changed
from keraskit.errors import UserError
from keraskit.recipe import Recipe
from keraskit.registry import Card, find_card, recipes_available
from keraskit.results import manifest
from keraskit.results.run_folder import CHECKPOINT, ERROR, MANIFEST, RunFolder, now
from keraskit.signals import Stopped

if TYPE_CHECKING:
    from keraskit.datasets.splits import Splits
    from keraskit.training.checkpoint import Checkpoint
    from keraskit.training.hardware import Choices

DECIDE_BITS = ("python", "tensorflow", "keras", "numpy", "pillow")  # another version may compute other last digits
GO_ON = "keraskit resume"


@dataclasses.dataclass(frozen=True)
class Unfinished:
    """A run that can go on.

    Args:
        folder: where it lies.
        facts: its manifest.
    """

    folder: RunFolder
    facts: dict[str, Any]

    @property
    def asked(self) -> tuple[RunConfig, dict[str, Any]]:
        """The knobs and the builder's arguments as they were given. Raises UserError where nothing can be made of them.

        The folder is where it is now.
        """
        with self._understood():
            knobs = dict(self.facts["asked"]["knobs"])
            if "preprocessing_function" in knobs.get("augment", {}):
                advice = "Call keraskit.run with it and resume=True."
                raise UserError("This run's pictures went through a function of your own.", advice)
            return RunConfig(**knobs, output_dir=self.folder.path.resolve().parent.parent), dict(
                self.facts["asked"]["options"]
            )

    @property
    def timings(self) -> dict[str, float]:
        """Seconds of its stages so far, but for what its checkpoint knows better."""
        with self._understood():
            recorded = dict(self.facts.get("timings") or {})
            return {str(stage): float(spent) for stage, spent in recorded.items() if stage != "fit"}

    @property
    def chosen(self) -> dict[str, Any]:
        """The knobs that the run chose for itself, which it keeps."""
        with self._understood():
            chosen = {name: self.facts["choices"][name]["value"] for name in ("device", "precision", "xla")}
            weights = self.facts["config"]["weights"]
            if weights and Path(weights).is_absolute():  # as the folder of the run that it started from is
                chosen["weights"] = weights
            return chosen

    @property
    def card(self) -> Card:
        """The run's recipe, where it is. Raises UserError where it is not there any more."""
        source = self.facts.get("source")
        return find_card(str(source if source else self.facts.get("recipe")))

    def check_recipe(self, recipe: Recipe) -> None:
        """Raise UserError if the run was of another recipe of this name."""
        with self._understood():
            if record(recipe, RunConfig(), {})["recipe"] != self.facts["asked"]["recipe"]:
                problem = f"This run's recipe was not {recipe.name} as it is now."
                advice = "If it was changed in Python, call keraskit.run there with resume=True; else start a new run."
                raise UserError(problem, advice)

    def check(self, splits: Splits, choices: Choices, hardware: dict[str, Any]) -> None:
        """Refuse other data; note what may change the last digits of the result."""
        with self._understood():
            before, now = self.facts["data"], splits.source
            same = before.get("sha256") == now.get("sha256") and before["used"] == splits.sizes()
            if not same or self.facts["classes"] != list(splits.classes):
                problem = f"The data is not what this run began with: {before['used']} of {before['name']}"
                raise UserError(f"{problem}, sha256 {before.get('sha256')}.", "Put it back, or start a new run.")
            chosen = {name: choice.value for name, choice in vars(choices).items()}
            pairs = {
                **{name: (choice["value"], chosen.get(name)) for name, choice in self.facts["choices"].items()},
                **{name: (self.facts["hardware"][name], hardware[name]) for name in ("cpu", "cores", "gpus")},
                **{name: (self.facts["versions"].get(name), system.versions().get(name)) for name in DECIDE_BITS},
                "recipe's code": (self.facts["asked"]["code"], code(self.card.source)),
            }
        differing = [f"{name} {then}, now {today}" for name, (then, today) in pairs.items() if then != today]
        if differing:
            print(f"NOTE           begun with {'; '.join(differing)}: the last digits of the result may differ")

    def checkpoint(self) -> Checkpoint | None:
        """Where training stood; None where nothing was saved."""
        from keraskit.training.checkpoint import Checkpoint

        return Checkpoint.of(self.folder)

    def begin(self) -> Checkpoint | None:
        """Where it goes on, said and recorded; None where nothing was saved."""
        from keraskit.training.checkpoint import Position

        self.folder.sweep()
        start = self.checkpoint()
        position = start.position if start else Position()
        earlier = self.facts.get("resumed")
        here = {"at": now(), "epoch": position.epoch, "step": position.step}
        resumed = [*(earlier if isinstance(earlier, list) else []), here]
        self.folder.update_manifest(resumed=resumed, ended=None, error=None)
        (self.folder.path / ERROR).unlink(missing_ok=True)
        with self._understood():
            trained = position.epoch >= self.facts["config"]["epochs"]
        where = "after training" if trained else f"at {position}"
        where = where if start else "from the beginning: it was stopped before its first checkpoint"
        print(f"resume         goes on {where}", flush=True)
        return start

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"{self.folder.path / MANIFEST} does not say how this run was started ({error!r})."
            raise UserError(problem, "Start a new run.") from error


def record(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> dict[str, Any]:
    """How a run was asked for, as JSON holds it: what equals this is the same run."""
    knobs = {name: _plain(name, value) for name, value in changed(config).items() if name != "output_dir"}
    given = {name: _plain(name, value) for name, value in options.items()}
    fields = {f.name: _text(getattr(recipe, f.name)) for f in dataclasses.fields(recipe) if f.name != "source"}
    digest = hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:16]
    asked = {"knobs": knobs, "options": given, "recipe": digest, "code": code(recipe.source)}
    return json.loads(json.dumps(asked, default=_text))


def code(source: Path) -> str | None:
    """Identifies a recipe's code; None for one that is not there."""
    try:
        return Card(source).sha256
    except (OSError, UserError):
        return None


def own_source(recipe: Recipe) -> str | None:
    """The file of a recipe of the user's own; None for one of keraskit's, and for one that lies in no file."""
    return None if Card(recipe.source).ours or not recipe.source.is_file() else str(recipe.source.resolve())


def start_command(recipe: Recipe) -> str:
    """What starts a recipe, without flags."""
    source = own_source(recipe)
    return f"keraskit run {shlex.quote(_short(Path(source))) if source else recipe.name}"


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def find(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> Unfinished | None:
    """The newest run of the output folder that was asked for in these words and has not finished; says so if none."""
    wanted = record(recipe, config, options)
    for folder, facts in _runs(Path(config.output_dir) / recipe.name):
        if facts.get("status") != "finished" and facts.get("asked") == wanted:
            return Unfinished(folder, facts)
    print("resume         no unfinished run has these flags, so a new one begins", flush=True)
    return None


def unfinished(path: Path) -> Unfinished | None:
    """The run in this folder, or the newest unfinished one of a folder of runs; None for a run that has finished.

    Raises:
        UserError: there is none, it is still running, or its recipe is not keraskit's.
    """
    if not path.is_dir():
        raise UserError(f"There is no run folder {path}.", "They lie in runs/<recipe>/.")
    if (path / MANIFEST).exists():
        folder, facts = RunFolder(path.resolve()), RunFolder(path).read_json(MANIFEST)
    else:
        several = [(folder, facts) for folder, facts in _runs(path) if facts.get("status") != "finished"]
        if not several:
            raise UserError(f"{path} holds no unfinished run.", "Name the folder of a run: they lie in runs/<recipe>/.")
        folder, facts = several[0]
    if not isinstance(facts, dict) or "asked" not in facts:
        raise UserError(f"{folder.path / MANIFEST} does not say how this run was started.", "Start a new run.")
    with folder.alone():
        if facts.get("status") == "finished":
            if (folder.path / CHECKPOINT).exists():  # it was killed in its very last moment
                close(folder)
            return None
    if facts.get("source") is None and facts.get("recipe") not in recipes_available():
        problem = f"The recipe {facts.get('recipe')} of this run is not one of keraskit's, nor does a file hold it."
        raise UserError(problem, f"Its own command goes on: {command(folder, facts)}")
    return Unfinished(folder, facts)


def like(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> tuple[RunConfig, dict[str, Any]]:
    """The flags of the run that `--like` names, but for those given. Raises UserError where it is of another recipe."""
    assert config.like
    earlier = Unfinished(RunFolder(config.like), manifest.read(RunFolder(config.like), "recipe", "asked"))
    if earlier.facts["recipe"] != recipe.name:
        raise UserError(f"{config.like} is a run of {earlier.facts['recipe']}, not of {recipe.name}.", "Name another.")
    knobs, known = earlier.asked
    given = {**changed(config), "output_dir": config.output_dir, "resume": config.resume}
    return dataclasses.replace(knobs, **given), {**known, **options}


def close(folder: RunFolder) -> None:
    """Write a finished run's page; what it would have taken to go on is not needed any more."""
    from keraskit.results import report

    report.write_report(folder)
    (folder.path / CHECKPOINT).unlink(missing_ok=True)


def command(folder: RunFolder, facts: dict[str, Any], workers: Sequence[str] = ()) -> str:
    """The command that goes on with a run."""
    if workers:
        return f"{facts.get('command')} --resume, on every worker"
    if facts.get("source") is None and facts.get("recipe") not in recipes_available():
        return f"{facts.get('command')} --resume"  # its recipe was made in Python
    return f"{GO_ON} {shlex.quote(_short(folder.path))}"


@contextmanager
def advising(command: str) -> Iterator[None]:
    """Name the command that goes on, whatever stops a run."""
    try:
        yield
    except Stopped as stopped:
        if not str(stopped):
            raise Stopped(stopped.number, f"Interrupted. What was saved before stays; go on with: {command}") from None
        raise
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{where}{error.strerror}.", f"When that is mended, go on with: {command}") from error


def _runs(path: Path) -> Iterator[tuple[RunFolder, dict[str, Any]]]:
    """The runs in a folder, the newest first, and their manifests."""
    for file in sorted(path.glob(f"*/{MANIFEST}"), reverse=True):
        folder = RunFolder(file.parent.resolve())
        try:
            facts = folder.read_json(MANIFEST)
        except UserError:
            continue
        if isinstance(facts, dict):
            yield folder, facts


def _plain(name: str, value: Any) -> Any:
    """A knob's value as JSON holds it; a path as one that holds in another folder too."""
    if isinstance(value, Augmentation):
        return changed(value)
    if isinstance(value, Path) or (name in {"dataset", "weights"} and Path(value).exists()):
        return str(Path(value).absolute())
    return value


def _text(value: Any) -> str:
    """What a value is, without where in memory it lies."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
