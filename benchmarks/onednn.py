"""A training step on a CPU without AVX512_VNNI, where TensorFlow leaves oneDNN off and keraskit turns it on.

    python benchmarks/onednn.py [RECIPE ...] [--rounds 3] [--json docs/onednn.json]

The tutorial's own way and keraskit's as TensorFlow's default has them, and keraskit's default, each in a process of its
own, in turn. On newer CPUs oneDNN is on for all, and nothing is measured here.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RECIPES = ("mlp", "cnn", "lstm", "cats_dogs")
WAYS = {"document": "0", "keraskit without oneDNN": "0", "keraskit": "1"}  # TF_ENABLE_ONEDNN_OPTS


def one(name: str, way: str) -> float:
    """Seconds of a step in this process."""
    import document
    import speed

    with tempfile.TemporaryDirectory() as folder:
        if name.startswith("cats_dogs"):
            speed.make_pets(Path(folder))
        settings, setup = speed.set_up(name, Path(folder))
        batch, most = settings.batch_size, setup.epochs.steps
        if way == "document":
            timed = speed.documents(document.WAYS[name](batch * most, Path(folder)), batch, most)
        else:
            timed = speed.keraskits(setup)
        timed.measure()
    return timed.step


def main() -> None:
    """Measure in turn, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(asked.recipes[0], asked.one)))
        return
    from keraskit import system

    if "avx512_vnni" in system.cpu_features():
        raise SystemExit("This CPU has AVX512_VNNI: TensorFlow turns oneDNN on by itself.")
    record: dict = {"rounds": asked.rounds, "recipes": {}}
    for name in asked.recipes:
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(asked.rounds):
            for way, known in WAYS.items():
                line = [sys.executable, __file__, name, "--one", way]
                environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": known}
                done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, env=environment)
                seconds[way].append(float(done.stdout.splitlines()[-1]))
        record["recipes"][name] = {way: statistics.median(each) for way, each in seconds.items()}
        for way in list(WAYS)[:2]:  # within each round
            ratios = [a / b for a, b in zip(seconds[way], seconds["keraskit"], strict=True)]
            record["recipes"][name][f"{way} / keraskit"] = statistics.median(ratios)
        print(f"{name:12} {json.dumps(record['recipes'][name])}", flush=True)
        if asked.json:
            from keraskit.training import hardware

            record["hardware"] = hardware.describe()
            asked.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
