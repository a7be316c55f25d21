"""Kills runs with SIGKILL at random moments and lets them go on until they finish: do they equal one never killed?

python benchmarks/kill.py --kills 200 --json docs/kill.json

Each run is a real process, forked from this one, which has imported TensorFlow, read MNIST, and computed nothing. Half
of the kills come from outside at any moment; the others from inside at the n-th event: a step, an array written into a
checkpoint, a part written into the model's file, the wait for the disk, a rename. After each kill, every file that has
its name must be whole. In the end weights, history and metrics must equal those of the run that was never killed, to
the bit.
"""

import argparse
import csv
import functools
import gc
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from pathlib import Path

from keraskit import start

with start.quietly():
    import keras  # noqa: F401
    import tensorflow as tf  # noqa: F401

import h5py
import numpy as np

from keraskit import system
from keraskit.cli import run_commands
from keraskit.config import RunConfig
from keraskit.datasets import digits
from keraskit.datasets.images import cats_and_dogs, drawn_pets, layout
from keraskit.models import graph
from keraskit.registry import load_recipe
from keraskit.runs import plots
from keraskit.runs.folder import RunFolder
from keraskit.training import fit, hardware, runner

SCENARIOS = {  # recipe, knobs, flags of its own: small, and each with several checkpoints in an epoch
    "mlp": ("mlp", {"limit": 1_600, "batch_size": 16, "epochs": 4, "save_every": 30}, {"hidden": (24,)}),
    "cnn": ("cnn", {"limit": 160, "batch_size": 16, "epochs": 4, "save_every": 3}, {"filters": (8, 4)}),
    "cats_dogs_augmented": (
        "cats_dogs_augmented",
        {"limit": 24, "batch_size": 8, "steps_per_epoch": 6, "epochs": 4, "save_every": 2},
        {"size": 64},
    ),
}
ROOM = 0.9  # of an epoch: when a kill comes at the latest, so that most runs are killed several times


def main() -> None:
    """Kill, compare, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(SCENARIOS), default=list(SCENARIOS))
    words = parser.parse_args()
    drawn_pets.draw = functools.cache(drawn_pets.draw)
    digits.load_mnist = functools.cache(digits.load_mnist)
    digits.load_mnist(None)  # as recipes call it: no child unpacks and checks it again
    gc.freeze()  # no child looks through TensorFlow's objects again
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_CACHE_HOME"] = place
        records = {
            name: torture(name, -(-words.kills // len(words.only)), random.Random(f"{words.seed} {name}"), Path(place))
            for name in words.only
        }
    record = {
        "kills": sum(r["kills"] for r in records.values()),
        "runs": sum(r["runs"] for r in records.values()),
        "equal": sum(r["equal"] for r in records.values()),
        "wrong": [wrong for r in records.values() for wrong in r["wrong"]],
        "recipes": records,
        "seconds": round(time.monotonic() - started),
        "versions": system.versions(),
        "hardware": child(lambda _: hardware.describe(), Path(os.devnull))[1],
    }
    if words.json:
        words.json.write_text(json.dumps(record, indent=2) + "\n")
    print(f"{record['kills']} kills, {record['equal']} of {record['runs']} runs equal, {record['seconds']} s")
    sys.exit(bool(record["wrong"]))


def torture(name: str, kills: int, chance: random.Random, place: Path) -> dict:
    """Kill runs of one scenario so many times."""
    recipe, knobs, options = SCENARIOS[name]
    epochs, log = knobs["epochs"], place / f"{name}.log"
    draw_before(knobs["limit"])

    def start(output: Path, events: "Events") -> tuple[int, float]:
        runner.train(load_recipe(recipe), RunConfig(output_dir=output, **knobs), options)
        return events.count, time.monotonic() - events.first

    began = time.monotonic()
    status, said = child(lambda events: start(place / f"{name}-unbroken", events), log)
    assert status == 0, log.read_text()
    events, lasting = said
    (unbroken,) = (place / f"{name}-unbroken" / recipe).iterdir()
    wanted = outcome(unbroken)

    record: dict = {"kills": 0, "runs": 0, "equal": 0, "wrong": [], "where": Counter(), "most_kills_of_a_run": 0}
    while record["kills"] < kills:
        output, killed, tries = place / f"{name}-{record['runs']}", 0, 0
        while True:
            tries += 1
            assert tries < 100, f"{name} makes no progress"
            folders = [path.parent for path in output.glob("*/*/run.json")]
            work = functools.partial(go_on, folders[0]) if folders else functools.partial(start, output)
            inside = record["kills"] < kills and chance.random() < 0.5
            at = chance.randint(1, round(ROOM * events / epochs)) if inside else None
            after = chance.uniform(0, ROOM * lasting / epochs) if record["kills"] < kills and not inside else None
            status, said = child(work, log, at, after)
            if status != -signal.SIGKILL:
                break
            killed += 1
            record["kills"] += 1
            record["where"][said or "any moment"] += 1
            if damage := damaged(output):
                record["wrong"].append(f"{name}: after a kill at {said}: {damage}")
        record["runs"] += 1
        record["most_kills_of_a_run"] = max(record["most_kills_of_a_run"], killed)
        (folder,) = (path.parent for path in output.glob("*/*/run.json"))
        different = ["it failed: " + log.read_text()[-2_000:]] if status else differences(outcome(folder), wanted)
        record["equal"] += not different
        record["wrong"] += [f"{name}, killed {killed} times: {what}" for what in different]
        shutil.rmtree(output)
        print(f"{name}: killed {killed} times, {different or 'equal'}", flush=True)
    return record | {"seconds": round(time.monotonic() - began)}


def go_on(folder: Path, _: "Events") -> None:
    """`keraskit resume FOLDER`."""
    run_commands.resume(folder)


def draw_before(limit: int) -> None:
    """Draw the pets that the children will want, once."""
    pets = drawn_pets.DrawnPets()
    for pairs in layout.arrange(pets.names, "drawn pets").splits.values():
        for name, _ in cats_and_dogs._mixed(pairs, limit) if limit < 100 else ():
            pets.read(name)


class Events:
    """Counts what happens in a child, and kills it at the n-th event; `tell` is where it says which that was."""

    def __init__(self, at: int | None, tell: int) -> None:
        self.count, self.at, self.tell, self.first = 0, at, tell, 0.0
        self.watch(np.lib.format, "write_array", "an array of the checkpoint")
        self.watch(zipfile.ZipFile, "write", "a part of the model")
        self.watch(zipfile.ZipFile, "writestr", "a part of the model")
        self.watch(os, "fsync", "waiting for the disk")
        self.watch(Path, "replace", "a rename")
        self.watch(Path, "write_text", "a text file")
        self.watch(fit.Checkpoints, "on_train_batch_end", "a step")

    def watch(self, owner: object, name: str, label: str) -> None:
        """Count the calls of a function."""
        real = getattr(owner, name)

        def counted(*args, **kwargs):
            self.happen(f"before {label}")
            result = real(*args, **kwargs)
            self.happen(f"after {label}")
            return result

        setattr(owner, name, counted)

    def happen(self, label: str) -> None:
        """One more."""
        if not self.first and label.endswith("a step"):
            self.first = time.monotonic()
            os.write(self.tell, b" ")
        self.count += 1
        if self.count == self.at:
            os.write(self.tell, json.dumps(label).encode())
            os.kill(os.getpid(), signal.SIGKILL)


def child(work, log: Path, at: int | None = None, after: float | None = None) -> tuple[int, object]:
    """Do something in a process of its own. Returns its exit code, or minus the signal, and what it answered.

    Args:
        work: called with the child's Events.
        log: what it prints goes there.
        at: it kills itself at this event.
        after: it is killed so many seconds after its first step.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    process = os.fork()
    if not process:
        code = 1
        try:
            os.close(reading)
            with log.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            undraw()
            os.write(writing, json.dumps(work(Events(at, writing))).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(writing)
    answer = os.read(reading, 1).decode() if after is not None else ""  # a blank with the first step, if there is one
    if answer.isspace():
        time.sleep(after)
        os.kill(process, signal.SIGKILL)  # a child that has ended is there until it is waited for
    with os.fdopen(reading) as file:
        answer += file.read()
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), json.loads(answer) if answer.strip() else None


def undraw() -> None:
    """Pictures are half of a tiny run, and another matter."""
    for name in ("curves", "reliability", "confusion", "sheet", "as_svg"):
        setattr(plots, name, lambda *_, **__: b"")
    plots.save, graph.draw = lambda _, path: path.touch(), lambda *_, **__: None


def outcome(folder: Path) -> dict:
    """What must be equal: weights as the manifest says and as the file has them, history, metrics."""
    run = RunFolder(folder).read_json("run.json")
    with (folder / "history.csv").open() as file:
        history = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    found = {"status": run["status"], "weights_sha256": run["weights_sha256"], "history": history}
    with zipfile.ZipFile(folder / "model.keras") as archive, archive.open("model.weights.h5") as file:
        weights: dict[str, str] = {}
        with h5py.File(file) as stored:
            stored.visititems(lambda n, v: weights.update({n: v[()].tobytes().hex()}) if hasattr(v, "shape") else None)
    return found | {"weights": weights, "metrics": RunFolder(folder).read_json("metrics.json")}


def differences(found: dict, wanted: dict) -> list[str]:
    """The names of what differs."""
    return [f"{name} differs" for name in wanted if found[name] != wanted[name]]


def damaged(output: Path) -> str:
    """Which file with a name of its own is not whole; empty if all are."""
    for path in output.glob("*/*/[a-z]*"):
        try:
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix in {".keras", ".npz"}:
                with zipfile.ZipFile(path) as archive:
                    assert archive.testzip() is None
            elif path.suffix == ".csv":
                rows = list(csv.reader(path.read_text().splitlines()))
                assert len({len(row) for row in rows}) == 1
        except Exception as error:
            return f"{path.name}: {error!r}"
    return ""


if __name__ == "__main__":
    main()
