"""Measures a recipe's training step in each precision, with and without XLA, and remembers the best for `auto`."""

import collections
import dataclasses
import statistics
import time
from datetime import UTC, datetime
from typing import Any

import keras
import tensorflow as tf

from keraskit import files, system
from keraskit.config import RunConfig
from keraskit.recipe import Recipe
from keraskit.registry import Card
from keraskit.training import hardware
from keraskit.training.settings import settle
from keraskit.training.setup import TrainingSetup, load, prepare

ROUNDS, LONG_ENOUGH = 5, 0.5  # repeats, and seconds of steps in each
WORTH_IT = 0.97  # another way must take less than this share of the plain one's time
FILE = "autotune.json"


@dataclasses.dataclass(frozen=True)
class Measured:
    """The fastest of what was measured, in milliseconds of one training step, and on which day."""

    precision: str
    xla: str
    milliseconds: float
    day: str

    @property
    def reason(self) -> str:
        """Why it is chosen."""
        return f"the fastest here, {self.milliseconds:.1f} ms a step, measured by `keraskit autotune` on {self.day}"


def autotune(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Measure all candidates in alternation, print them, and remember the fastest for `auto`.

    Returns precision, XLA and milliseconds of each, the fastest first.
    """
    settings = settle(recipe, config, options)
    place = hardware.occupy(settings)
    settings = dataclasses.replace(settings, epochs=1, weights=settings.weights if recipe.features else "none")
    splits = load(recipe, settings)
    candidates, seconds = {}, collections.defaultdict[tuple[str, str], list[float]](list)
    for precision in precisions(place.device.value):
        for xla in ("off", "on"):
            print(f"compiling {precision}, xla {xla} ...", flush=True)
            this_way: dict[str, Any] = {"precision": precision, "xla": xla}
            setup = prepare(recipe, dataclasses.replace(settings, **this_way), splits, place)
            steps = setup.choices.steps_per_execution.value
            run(setup, steps)  # compiles
            count = steps * max(1, min(100, round(LONG_ENOUGH / (steps * run(setup, steps)))))
            candidates[precision, xla] = setup, count
    for _ in range(ROUNDS):
        for name, candidate in candidates.items():
            seconds[name].append(run(*candidate))
    table = sorted(((*name, 1e3 * statistics.median(each)) for name, each in seconds.items()), key=lambda row: row[2])
    plain = next(row for row in table if row[:2] == ("float32", "off"))
    best = table[0] if table[0][2] < WORTH_IT * plain[2] else plain
    for precision, xla, milliseconds in table:
        chosen = "  <- auto from now on" if (precision, xla) == best[:2] else ""
        times = f"{plain[2] / milliseconds:.2f} times as fast as float32 without XLA"
        print(f"{precision:9} xla {xla:3} {milliseconds:9.2f} ms a step, {times}{chosen}")
    found = Measured(best[0], best[1], round(best[2], 3), datetime.now(UTC).date().isoformat())
    entry = {key(recipe, settings, settings.options): dataclasses.asdict(found)}
    if remembered := files.remember(FILE, files.remembered(FILE) | entry):
        print(f"remembered in {remembered}")
    return table


def precisions(device: str) -> list[str]:
    """Those worth trying: float16 is terrible on a CPU, bfloat16 needs a CPU that knows it."""
    if device.startswith("gpu"):
        return ["float32", "float16", "bfloat16"]
    return ["float32", "bfloat16"] if hardware.bfloat16_feature() else ["float32"]


def run(setup: TrainingSetup, count: int) -> float:
    """Train so many steps. Seconds of one."""
    started = time.perf_counter()
    with setup.place.scope:
        setup.training_copy.fit(setup.epochs.dataset.repeat().take(count), verbose=0, shuffle=False)
    return (time.perf_counter() - started) / count


def key(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> str:
    """What a measurement holds for: this code, this model, this batch, this machine, these versions."""
    code = Card(recipe.source).sha256
    gpus = len(tf.config.list_physical_devices("GPU"))
    where = f"{system.cpu_name()}, {system.cores()} cores, {config.threads} threads, {config.device}, {gpus} GPUs"
    versions = f"tensorflow {tf.__version__}, keras {keras.__version__}"
    return f"{recipe.name} {code} {sorted(options.items())} batch {config.batch_size}; {where}; {versions}"


def recall(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> Measured | None:
    """What was measured for this run; None where nothing was, or what is there was written by another version."""
    try:
        known = Measured(**files.remembered(FILE)[key(recipe, config, options)])
        usable = known.precision in hardware.POLICIES and known.xla in ("on", "off") and known.milliseconds > 0
        return known if usable else None
    except (KeyError, TypeError):
        return None
