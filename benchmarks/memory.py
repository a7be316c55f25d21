"""Peak memory of whole processes: each recipe beside the tutorial's own way, and a folder by how many files it has.

    python benchmarks/memory.py [RECIPE ...] [--sizes 1000 10000 100000 1000000] [--json docs/memory.json]

Both ways have all of the data and train for so many steps; keraskit also evaluates, draws and writes its report. This
process imports no TensorFlow: the system counts what a process had when it began into the peak of those it starts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

STEPS, PETS, DIGITS = 30, 640, 60_000
FLAGS = {"vgg16": ["--size", "64", "--width", "0.25"]}  # as benchmarks/document.py has it
RECIPES = (
    *("quickstart", "mlp", "cnn", "lstm", "shared_input", "shared_features", "multi_input", "multi_output"),
    *("vgg16", "cats_dogs", "cats_dogs_augmented"),
)
FROM_FILES = RECIPES[-3:]
HELD_OUT = 1_000  # files of validation, and of the test
LINKS = 50_000  # names of one file; systems allow 65,000
SIDE, BATCH = 64, 128
DOCUMENTS = """
import sys
from pathlib import Path
from keraskit import start
start.start_tensorflow()
import document
name, folder, steps, batch, count = *sys.argv[1:3], *map(int, sys.argv[3:])
way = document.WAYS[name](count, Path(folder))
way.model.fit(way.x, way.y, batch_size=None if way.y is None else batch, steps_per_epoch=steps, verbose=0)
"""


def peak(command: list, place: Path) -> tuple[int, float]:
    """Bytes at most, and seconds, of a process that must succeed."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(place), "PYTHONPATH": str(Path(__file__).parent)}
    started = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, command)), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    said = process.stderr.read() if process.stderr else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command[:5]))} failed: {said[-2000:]}")
    return usage.ru_maxrss * 1024, time.perf_counter() - started


def keraskit(name: str, *words: object) -> list:
    """A run of keraskit's."""
    return [sys.executable, "-m", "keraskit", "run", name, "--epochs", 1, "--steps-per-epoch", *words]


def recipe(name: str, pets: Path, place: Path) -> dict[str, float]:
    """Peak memory of a recipe both ways, in bytes."""
    from keraskit.registry import find_card

    batch = 32 if name == "vgg16" else find_card(name).recipe.batch_size
    data = ["--data-dir", pets] if name in FROM_FILES else []
    ours = keraskit(name, STEPS, "--batch-size", batch, *data, *FLAGS.get(name, []), "--output-dir", place / "runs")
    documents = [sys.executable, "-c", DOCUMENTS, name, pets, STEPS, batch, DIGITS]
    return {"document": peak(documents, place)[0], "keraskit": peak(ours, place)[0]}


def files(count: int) -> dict[str, float]:
    """Peak memory in bytes, and seconds, of a run on so many small files to learn from, none kept in memory."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for split, size in {"train": count, "validation": HELD_OUT, "test": HELD_OUT}.items():
            tone = 9 * len(split)  # no copies of other splits, which training would leave out
            for kind, colour in {"a": (tone, 0, 255), "b": (255, 0, tone)}.items():
                folder = place / "data" / split / kind
                folder.mkdir(parents=True)
                for i in range(size // 2):
                    if i % LINKS == 0:
                        original = folder / f"{i:07d}.jpg"
                        Image.new("RGB", (SIDE, SIDE), colour).save(original)
                    else:
                        (folder / f"{i:07d}.jpg").hardlink_to(original)
        words = ["--size", SIDE, "--batch-size", BATCH, "--data-dir", place / "data"]
        found, seconds = peak(keraskit("cats_dogs", STEPS, *words, "--output-dir", place / "runs"), place)
        return {"bytes": found, "seconds": seconds}


def main() -> None:
    """Measure, print, and record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    record: dict = {"steps": STEPS, "mapped": True, "recipes": {}, "files": {}}
    with tempfile.TemporaryDirectory() as name:
        pets = Path(name) / "pets"
        making = "import sys, speed; from pathlib import Path; speed.make_pets(Path(sys.argv[1]))"
        pets.mkdir()
        peak([sys.executable, "-c", making, pets], Path(name))
        for each in asked.recipes:
            record["recipes"][each] = row = recipe(each, pets, Path(name))
            print(f"{each:20} {row['document'] / 1e6:7,.0f} MB, keraskit {row['keraskit'] / 1e6:7,.0f} MB", flush=True)
    for count in asked.sizes:
        record["files"][str(count)] = row = files(count)
        print(f"{count:9,} files: {row['bytes'] / 1e6:,.0f} MB, {row['seconds']:.0f} s", flush=True)
    if asked.json:
        about = "from keraskit.training import hardware; import json; print(json.dumps(hardware.describe()))"
        said = subprocess.run([sys.executable, "-c", about], check=True, capture_output=True, text=True).stdout
        asked.json.write_text(json.dumps(record | {"hardware": json.loads(said)}, indent=2) + "\n")


if __name__ == "__main__":
    main()
