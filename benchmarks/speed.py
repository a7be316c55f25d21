"""A training step of each recipe: the tutorial's own way, keraskit's default, a loop by hand, all in turn in one run.

    python benchmarks/speed.py [RECIPE ...] [--rounds 5] [--json docs/speed.json]

All take the same batch size. Medians, ratios, and the share of this machine's matrix multiplication, measured in the
same precision, that the model's arithmetic reaches: additions and multiplications of dense, convolutional and recurrent
layers, forward and twice backward. The loop by hand makes the same choices: precision, XLA, steps at once, input.
"""

import argparse
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from unittest import mock

from keraskit import start

start.start_tensorflow()

import document  # noqa: E402
import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from PIL import Image  # noqa: E402
from timed import Timed, ratio  # noqa: E402

from keraskit.config import RunConfig, Settings  # noqa: E402
from keraskit.datasets.images import drawn_pets  # noqa: E402
from keraskit.datasets.splits import ShuffledEpochs  # noqa: E402
from keraskit.models.graph import operations  # noqa: E402
from keraskit.registry import load_recipe  # noqa: E402
from keraskit.training import hardware  # noqa: E402
from keraskit.training.fit import train_function  # noqa: E402
from keraskit.training.settings import settle  # noqa: E402
from keraskit.training.setup import TrainingSetup, prepare, source_of  # noqa: E402

STORED, PETS = (375, 500), 640
OPTIONS = {
    "vgg16": {k: v for k, v in document.SMALL_VGG.items() if k != "classes"},
    "cats_dogs_features": document.PRETRAINED,
    "cats_dogs_finetune": document.PRETRAINED,
}
BATCH = {"vgg16": 32}


def make_pets(folder: Path) -> None:
    """JPEG files of the size of common photographs, a subfolder per class."""
    for i in range(PETS):
        kind = drawn_pets.CLASSES[i % 2]
        (folder / kind).mkdir(exist_ok=True)
        picture = Image.fromarray(drawn_pets.draw(kind, i % 64)).resize(STORED[::-1])
        picture.save(folder / kind / f"{i}.jpg", quality=90 - i // 128)  # no copies, which training would leave out


def peak(dtype: str, side: int = 2048) -> float:
    """Operations per second of a large matrix product."""
    a = tf.cast(tf.random.stateless_normal((side, side), (0, 0)), dtype)
    product = tf.function(lambda: tf.matmul(a, a))
    product()
    times = []
    for _ in range(7):
        started = time.perf_counter()
        product().numpy()
        times.append(time.perf_counter() - started)
    return 2 * side**3 / statistics.median(times)


def documents(way: document.Way, batch: int, most: int) -> Timed:
    """The tutorial's way, or another that is a call of `fit`."""

    def run(epochs: int, steps: int) -> None:
        if way.y is None:
            way.model.fit(way.x, epochs=epochs, steps_per_epoch=steps, verbose=0)
        else:
            x, y = keras.tree.map_structure(lambda array: array[: steps * batch], (way.x, way.y))
            way.model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0)

    return Timed(run, most)


def shortened(setup: TrainingSetup, steps: int) -> ShuffledEpochs:
    """Epochs of so many steps."""
    epochs = setup.epochs
    return ShuffledEpochs(epochs.split, epochs.batch_size, epochs.seed, None if steps == epochs.steps else steps)


def by_hand(setup: TrainingSetup) -> Timed:
    """What a careful programmer writes with the same choices, on the same input pipeline."""
    model, optimizer = setup.training_copy, setup.training_copy.optimizer
    mean = keras.metrics.Mean()
    several = setup.choices["steps_per_execution"].value
    of_length = functools.cache(lambda steps: shortened(setup, steps))

    @tf.function(jit_compile=setup.choices["xla"].value == "on", reduce_retracing=True)
    def step(x, y):
        with tf.GradientTape() as tape:
            answers = model(x, training=True)
            loss = model.compute_loss(x, y, answers)
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
        mean.update_state(loss)
        model.compute_metrics(x, y, answers)

    @tf.function(reduce_retracing=True)
    def train(iterator, count):
        for _ in tf.range(count):
            step(*next(iterator))

    def run(epochs: int, steps: int) -> None:
        iterator = iter(of_length(steps).batches())
        for _ in range(epochs):
            for first in range(0, steps, several):
                train(iterator, tf.constant(min(several, steps - first)))

    return Timed(run, setup.epochs.steps, several)


def keraskits(setup: TrainingSetup) -> Timed:
    """keraskit's default, with what a run does at every step: look at the loss, and tell how far it is."""
    of_length = functools.cache(lambda steps: shortened(setup, steps))
    functions = functools.cache(lambda steps: train_function(setup.training_copy, steps, 0))
    several = setup.choices["steps_per_execution"].value

    def run(epochs: int, steps: int) -> None:
        shuffled = of_length(steps)
        model, stop = setup.training_copy, keras.callbacks.TerminateOnNaN()
        known = {"callbacks": [stop], "verbose": 0, "shuffle": False}
        with setup.devices.scope, mock.patch.object(model, "train_function", functions(steps)):
            model.fit(shuffled.batches(end=epochs), steps_per_epoch=steps, epochs=epochs, **known)

    return Timed(run, setup.epochs.steps, several)


def set_up(name: str, folder: Path) -> tuple[Settings, TrainingSetup]:
    """A recipe as `keraskit run` would train it here; pets are those of the folder."""
    recipe = load_recipe(name)
    pets = {"data_dir": folder} if "cats_dogs" in name or name == "vgg16" else {}
    asked = RunConfig(batch_size=BATCH.get(name), weights="none", epochs=1)
    settings = settle(recipe, asked, OPTIONS.get(name, {}) | pets).replace(steps_per_epoch=None)
    devices = hardware.configure(settings)
    settings, source = source_of(recipe, settings)
    return settings, prepare(recipe, settings, source, devices)


def measure(name: str, rounds: int, folder: Path) -> dict:
    """One recipe, all ways in alternation."""
    settings, setup = set_up(name, folder)
    batch, most = settings.batch_size, setup.epochs.steps
    ways = {"document": documents(document.WAYS[name](batch * most, folder), batch, most), "keraskit": keraskits(setup)}
    if name in document.KERAS_WAYS:
        ways["Keras's guides"] = documents(document.KERAS_WAYS[name](batch * most, folder), batch, most)
    if len(setup.training_copy.outputs) == 1:
        ways["by hand"] = by_hand(setup)
    for _ in range(rounds):
        for way in ways.values():
            way.measure()
    precision = setup.choices["precision"].value
    arithmetic = 3 * operations(setup.training_copy) * settings.batch_size
    row: dict = {key: way.step for key, way in ways.items()}
    for key, way in ways.items():
        if key != "keraskit":
            row[f"{key} / keraskit"] = ratio(way, ways["keraskit"])
            row[f"{key} / keraskit, fastest"] = min(way.seconds) / min(ways["keraskit"].seconds)
    row["seconds"] = {key: [round(s, 7) for s in way.seconds] for key, way in ways.items()}
    row |= {"batch": settings.batch_size, "precision": precision, "xla": setup.choices["xla"].value}
    return row | {"share_of_peak": arithmetic / row["keraskit"] / peak(precision)}


def said(row: dict) -> str:
    """A row in words."""
    words = [f"{row['keraskit'] * 1e3:8.2f} ms"]
    for key in ("document", "Keras's guides", "by hand"):
        if f"{key} / keraskit" in row:
            ratios = row[f"{key} / keraskit"], row[f"{key} / keraskit, fastest"]
            shown = "the tutorial's way" if key == "document" else key
            words.append(f"{shown} {ratios[0]:.3f} times that (fastest {ratios[1]:.3f})")
    return ", ".join([*words, f"{row['share_of_peak']:.0%} of peak in {row['precision']}"])


def command_line(about: str, recipes: Iterable[str]) -> argparse.ArgumentParser:
    """What this benchmark and those beside it take."""
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("recipes", nargs="*", default=list(recipes))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    return parser


def main() -> None:
    """Measure, print, and record."""
    asked = command_line(__doc__, document.WAYS).parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as place:
        make_pets(Path(place))
        for name in asked.recipes:
            found[name] = row = measure(name, asked.rounds, Path(place))
            keras.backend.clear_session()
            print(f"{name:20} {said(row)}", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps({"recipes": found, "hardware": hardware.describe()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
