"""Seconds from the start of training to a stated validation accuracy: four ways, the same network, in turn.

    python benchmarks/sooner.py [RECIPE ...] [--seeds 3] [--add] [--photographs FOLDER] [--json docs/sooner.json]

The tutorial's own way, what Keras's guides do with photographs, PyTorch in the way that docs/pytorch.json found to be
its fastest (where it is installed; not compiled, which takes longer than mlp trains), and keraskit. Every way validates
after each epoch and stops at the first that reaches the accuracy; data are loaded before. keraskit comes first, and the
others are stopped after five times its seconds. Photographs are real ones, cut as keraskit cuts them. All five recipes
take hours: with --add what the file has stays, and what it lacks or stopped earlier is measured, on the same hardware.
"""

import dataclasses
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from keraskit import start

start.start_tensorflow()

import document  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import speed  # noqa: E402

from keraskit.config import RunConfig  # noqa: E402
from keraskit.datasets.digits import VALIDATION  # noqa: E402
from keraskit.datasets.images import cats_and_dogs, layout, sources  # noqa: E402
from keraskit.registry import load_recipe  # noqa: E402
from keraskit.training import hardware  # noqa: E402
from keraskit.training.runner import train  # noqa: E402

WANTED = {"mlp": 0.98, "cnn": 0.99, "lstm": 0.95, "cats_dogs": 0.72, "cats_dogs_augmented": 0.80}
LIMIT = 5  # times keraskit's seconds
EPOCHS = 1_000  # more than any way takes
SHARED = Path(os.environ.get("KERASKIT_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
Measure = Callable[[int, float], float | None]  # of a seed and the most seconds: None if the accuracy was not reached


class Reached(keras.callbacks.Callback):
    """Stop at the first epoch with this validation accuracy, or after `most` seconds; keep the seconds it took."""

    def __init__(self, wanted: float, most: float) -> None:
        super().__init__()
        self.wanted, self.most, self.seconds = wanted, most, None

    def on_train_begin(self, logs=None) -> None:
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        spent = time.perf_counter() - self._began
        self.seconds = spent if logs["val_accuracy"] >= self.wanted else None
        self.model.stop_training = self.seconds is not None or spent > self.most


def of_keraskit(name: str, folder: Path, seed: int, most: float) -> float | None:
    """A run of the recipe with its own flags."""
    reached = Reached(WANTED[name], most)
    recipe = load_recipe(name)
    own = recipe.callbacks or list
    recipe = dataclasses.replace(recipe, callbacks=lambda: [*own(), reached])
    options = {"data_dir": folder} if name.startswith("cats_dogs") else {}
    with tempfile.TemporaryDirectory() as place:
        train(recipe, RunConfig(seed=seed, output_dir=Path(place)), options)
    return reached.seconds


def of_fit(
    name: str,
    way: Callable[[int, Path], document.Way],
    held_out: Callable[[Path], Any],
    folder: Path,
    seed: int,
    most: float,
) -> float | None:
    """Another way that is a call of `fit`; photographs lie in two folders, train and validation."""
    keras.utils.set_random_seed(seed)
    recipe, reached = load_recipe(name), Reached(WANTED[name], most)
    known = {"epochs": EPOCHS, "callbacks": [reached], "verbose": 2}
    if name.startswith("cats_dogs"):
        model, x, _ = way(0, folder / "train")
        steps = -(-sum(1 for _ in (folder / "train").glob("*/*")) // recipe.batch_size)
        model.fit(x, validation_data=held_out(folder / "validation"), steps_per_epoch=steps, **known)
    else:
        model, x, y = way(60_000, folder)
        part = lambda begin, end: keras.tree.map_structure(lambda array: array[begin:end], (x, y))  # noqa: E731
        validation, batch = part(-VALIDATION, None), recipe.batch_size
        model.fit(*part(None, -VALIDATION), batch_size=batch, validation_data=validation, **known)
    return reached.seconds


def of_torch(name: str, file: Path, seed: int, most: float) -> float | None:
    """PyTorch, in a process of its own."""
    found = json.loads(Path("docs/pytorch.json").read_text())["recipes"][name]
    fastest = found["fastest"].replace("compiled", "eager")
    if found["precision"] == "float32":  # of keraskit, as it learns worse in less
        fastest = fastest.replace("bfloat16", "float32")
    program = Path(__file__).with_name("torch_steps.py")
    batch = load_recipe(name).batch_size
    line = [sys.executable, program, name, file, str(batch), "until", str(WANTED[name]), str(most), str(seed), fastest]
    return json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE).stdout)


def arrays(name: str, photographs: Path, file: Path) -> None:
    """Write the inputs and labels that keraskit's run has, for PyTorch."""
    _, setup = speed.set_up(name, photographs)
    found = {}
    for split in ("train", "validation"):
        each = getattr(setup.splits, split)
        x, y, *_ = each.take(np.arange(each.size))
        found |= {f"x_{split}": x, f"y_{split}": y}
    np.savez(file, **found)


def sorted_into(folder: Path, photographs: Path) -> None:
    """Copy photographs into train and validation, a subfolder per class, in keraskit's own split."""
    files = sources.open_files(photographs)
    arranged = layout.arrange(files.names, photographs, cats_and_dogs.OF_THE_DOCUMENT)
    for split in ("train", "validation"):
        for name, label in arranged.splits[split]:
            file = folder / split / arranged.classes[label] / name.replace("/", "_")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(files.read(name))


def ways(name: str, photographs: Path, place: Path) -> dict[str, Measure]:
    """The ways to train a recipe, each a function of the seed."""
    generated = partial(document.generator, size=150, batch=32, rescale=1 / 255)
    found: dict[str, Measure] = {"keraskit": partial(of_keraskit, name, photographs)}
    found["document"] = partial(of_fit, name, document.WAYS[name], generated, place)
    if name in document.KERAS_WAYS:
        read = partial(document.read_by_keras, batch=32)
        found["Keras's guides"] = partial(of_fit, name, document.KERAS_WAYS[name], read, place)
    if importlib.util.find_spec("torch") and name != "cats_dogs_augmented":  # it has no augmentation of its own
        arrays(name, photographs, place / f"{name}.npz")
        found["PyTorch at its fastest"] = partial(of_torch, name, place / f"{name}.npz")
    return found


def main() -> None:
    """Measure, print, and record."""
    parser = speed.command_line(__doc__, WANTED)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--add", action="store_true")
    parser.add_argument("--photographs", type=Path, default=SHARED / "cats_and_dogs" / "train.zip")
    asked = parser.parse_args()
    record: dict[str, Any] = json.loads(asked.json.read_text()) if asked.add else {"recipes": {}}
    with tempfile.TemporaryDirectory() as place:
        if present := asked.photographs.exists():
            sorted_into(Path(place), asked.photographs)
        for name in asked.recipes:
            if name.startswith("cats_dogs") and not present:
                print(f"{name}: skipped, as {asked.photographs} is missing; --photographs names another")
                continue
            measures = ways(name, asked.photographs, Path(place))
            row = record["recipes"].setdefault(name, {"seconds": {way: [] for way in measures}, "limit": LIMIT})
            row["wanted"] = WANTED[name]
            if row.setdefault("hardware", hardware.describe()) != hardware.describe():
                print(f"{name}: its seeds were measured on {row['hardware']['cpu']}, and stay as they are")
                continue
            for seed in range(max(asked.seeds, len(row["seconds"].get("keraskit", ())))):
                found: dict[str, float | None] = {}
                for way, measure in measures.items():
                    known = row["seconds"].setdefault(way, [])
                    if seed >= len(known):
                        known.append(None)
                    elif known[seed] or row["limit"] >= LIMIT:
                        continue
                    known[seed] = found[way] = measure(seed, LIMIT * (row["seconds"]["keraskit"][seed] or math.inf))
                    keras.backend.clear_session()
                    if asked.json:
                        asked.json.write_text(json.dumps(record, indent=2) + "\n")
                print(f"{name:20} {seed} {json.dumps(found)}", flush=True)
            row["limit"] = LIMIT
            if asked.json:
                asked.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
