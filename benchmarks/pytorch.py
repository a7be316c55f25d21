"""A training step of the same networks in PyTorch, by its defaults and as fast as it goes, and in keraskit; in turn.

    python benchmarks/pytorch.py [RECIPE ...] [--rounds 5] [--json docs/pytorch.json]

PyTorch gets its batches ready in memory; keraskit makes them, shuffled, as a run does. As fast as it goes: the fastest
of eager and `torch.compile`, each in float32 and under bfloat16's autocast, convolutions in `channels_last`, which are
all tried first. PyTorch runs in a process of its own, and is no dependency of keraskit's: without it this says so and
ends.
"""

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

if importlib.util.find_spec("torch") is None:
    print("skipped: PyTorch is not installed (pip install torch)")
    sys.exit()

import numpy as np
import speed

from keraskit.training import hardware

RECIPES = ("mlp", "cnn", "lstm", "cats_dogs")
BATCHES = 16  # that PyTorch has ready in memory, taken again and again
PROGRAM = Path(__file__).with_name("torch_steps.py")


def measure(name: str, rounds: int, folder: Path) -> dict[str, Any]:
    """One network, all ways in alternation."""
    settings, setup = speed.set_up(name, folder)
    batch, file = settings.batch_size, folder / f"{name}.npz"
    chosen = np.arange(BATCHES * batch).reshape(BATCHES, batch) % setup.splits.train.size
    x, y = zip(*map(setup.splits.train.take, chosen), strict=True)
    np.savez(file, x=np.stack(x), y=np.stack(y))
    line = [sys.executable, str(PROGRAM), name, str(file), str(setup.epochs.steps)]
    ours = speed.keraskits(setup)
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as torch:
        about = json.loads(torch.stdout.readline())
        seconds = []
        for _ in range(rounds):
            ours.measure()
            torch.stdin.write("\n")
            seconds.append(json.loads(torch.stdout.readline()))
        torch.stdin.close()
    row: dict[str, Any] = {"keraskit": ours.step}
    for way, theirs in zip(("PyTorch", "PyTorch at its fastest"), zip(*seconds, strict=True), strict=True):
        row |= {way: statistics.median(theirs)}
        row |= {f"{way} / keraskit": statistics.median(a / b for a, b in zip(theirs, ours.seconds, strict=True))}
    return row | {"batch": batch, "precision": setup.choices["precision"].value, **about}


def main() -> None:
    """Measure, print, and record."""
    asked = speed.command_line(__doc__, RECIPES).parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as place:
        speed.make_pets(Path(place))
        for name in asked.recipes:
            found[name] = row = measure(name, asked.rounds, Path(place))
            print(f"{name:10} {json.dumps(row)}", flush=True)
    if asked.json:
        record = {"recipes": found, "torch": row["torch"], "hardware": hardware.describe()}
        asked.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
