"""What precision, XLA, steps at once and cuDNN bring on a GPU, and the memory they take; for whoever has one.

    python benchmarks/gpu.py [RECIPE ...] [--device gpu] [--rounds 5] [--json docs/gpu.json]

A training step of each recipe in every combination of precision and XLA, in turn, with the steps at once that keraskit
chooses, and once more one by one; medians, examples a second, and the most memory that TensorFlow took, where the
device tells. Recurrent layers run on cuDNN where XLA is off. `make docs` makes the table of it.
"""

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import keras
import speed
import tensorflow as tf

from keraskit.config import RunConfig
from keraskit.registry import load_recipe
from keraskit.training import hardware
from keraskit.training.settings import settle
from keraskit.training.setup import TrainingSetup, prepare, source_of

RECIPES = ("mlp", "cnn", "lstm", "multi_output", "cats_dogs", "cats_dogs_augmented")


def variant(name: str, config: RunConfig, folder: Path) -> TrainingSetup:
    """A recipe, ready to be trained in one way."""
    recipe = load_recipe(name)
    settings = settle(recipe, config, {"data_dir": folder} if name.startswith("cats_dogs") else {})
    settings = settings.replace(steps_per_epoch=None)
    devices = hardware.configure(settings)
    return prepare(recipe, *source_of(recipe, settings), devices)


def memory(device: str, kind: str) -> int:
    """Bytes that TensorFlow has, "current", or had at most, "peak", since it was asked for the former; 0 if unknown."""
    name = device.upper() if ":" in device else f"{device.upper()}:0"
    try:
        found = tf.config.experimental.get_memory_info(name)[kind]
        if kind == "current":
            tf.config.experimental.reset_memory_stats(name)
        return int(found)
    except ValueError:
        return 0


def measure(name: str, device: str, rounds: int, folder: Path) -> dict[str, Any]:
    """One recipe, all ways in alternation."""
    timed: dict[str, speed.Timed] = {}
    taken: dict[str, int] = {}
    batch, several = 0, 1
    with_knobs = {"device": device, "epochs": 1, "weights": "none"}
    ways = [(p, x, False) for p, x in itertools.product(("float32", "bfloat16", "float16"), ("off", "on"))]
    for precision, xla, one_by_one in [*ways, ("float32", "off", True)]:
        before = memory(device, "current")  # of the ways that were made before, and stay
        setup = variant(name, RunConfig(precision=precision, xla=xla, **with_knobs), folder)
        batch, several = setup.settings.batch_size, setup.choices["steps_per_execution"].value
        if one_by_one:
            if several == 1:
                continue
            setup.training_copy.steps_per_execution, several = 1, 1
        words = f"{precision}, XLA {xla}, {several} at once"
        timed[words] = speed.keraskits(setup)
        taken[words] = memory(device, "peak") - before
    for _ in range(rounds):
        for way in timed.values():
            way.measure()
    return {
        words: {
            "step": way.step,
            "examples_per_second": batch / way.step,
            "memory": taken[words] or None,
            "batch": batch,
        }
        for words, way in timed.items()
    }


def main() -> None:
    """Measure, print, and record."""
    parser = speed.command_line(__doc__, RECIPES)
    parser.add_argument("--device", default="gpu")
    asked = parser.parse_args()
    if asked.device == "cpu:1":  # to try this out where there is no GPU: the second half of one CPU
        cpu, two = tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
    found = {}
    with tempfile.TemporaryDirectory() as place:
        speed.make_pets(Path(place))
        for name in asked.recipes:
            found[name] = measure(name, asked.device, asked.rounds, Path(place))
            keras.backend.clear_session()
            for words, row in found[name].items():
                taken = "" if row["memory"] is None else f", {row['memory'] / 1e6:,.0f} MB"
                rate = f"{row['examples_per_second']:10,.0f} examples/s"
                print(f"{name:20} {words:34} {row['step'] * 1e3:8.2f} ms {rate}{taken}", flush=True)
    if asked.json:
        record = {"recipes": found, "device": asked.device, "hardware": hardware.describe()}
        asked.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
