"""What it costs to end an epoch's iterator: tf.data's own tuning against keraskit's fixed numbers.

    python benchmarks/iterators.py [--rounds 5] [--json docs/iterators.json]

Epochs of several lengths, each a new iterator over batches that are cheap to make, with steps that keep every core
busy. What is measured is the time from the last step until the iterator is gone, both ways in turn.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from keraskit import startup

startup.start_tensorflow()

import tensorflow as tf  # noqa: E402

from keraskit.pipeline import ahead  # noqa: E402
from keraskit.training.hardware import describe  # noqa: E402

LENGTHS = (0.8, 1.5, 3.0, 6.0)  # seconds of an epoch


def made(x: tf.Tensor) -> tf.Tensor:
    """A cheap batch."""
    return tf.random.stateless_normal((1_000, 1_000), tf.stack([x, x]))


@tf.function
def step(iterator: tf.data.Iterator) -> tf.Tensor:
    """A step of training, or what takes as long."""
    x = next(iterator)
    for _ in range(3):
        x = tf.tanh(x @ x)
    return tf.reduce_sum(x)


def end(dataset: tf.data.Dataset, seconds: float) -> float:
    """Seconds that the end of an epoch of so many seconds takes."""
    iterator = iter(dataset)
    last = time.perf_counter() + seconds
    while time.perf_counter() < last:
        step(iterator).numpy()
    started = time.perf_counter()
    del iterator
    return time.perf_counter() - started


def main() -> None:
    """Measure, print, and record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    numbers, auto = tf.data.Dataset.range(1_000_000), tf.data.AUTOTUNE
    ways = {"tuned by tf.data": numbers.map(made, auto).prefetch(auto), "keraskit": ahead(numbers, made)}
    found: dict = {}
    for length in LENGTHS:
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(asked.rounds):
            for name, dataset in ways.items():
                seconds[name].append(end(dataset, length))
        found[str(length)] = seconds
        for name, each in seconds.items():
            print(f"epochs of {length} s, {name:16}: {statistics.mean(each):.3f} s to end, {max(each):.3f} at most")
    if asked.json:
        asked.json.write_text(json.dumps({"seconds": found, "hardware": describe()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
