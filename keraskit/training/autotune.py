"""Measure a recipe's training step in each precision, with and without XLA, and print the flags of the fastest."""

import collections
import itertools
import statistics
import time
from typing import Any

from keraskit.config import RunConfig
from keraskit.recipe import Recipe, call
from keraskit.training import hardware
from keraskit.training.settings import settle
from keraskit.training.setup import TrainingSetup, prepare

ROUNDS, LONG_ENOUGH = 5, 0.5  # repeats, and seconds of steps in each
WORTH_IT = 0.97  # another way must take less than this share of the plain one's time


def autotune(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Measure all candidates in alternation and print them, with the flags of the fastest.

    Returns precision, XLA and milliseconds of each, the fastest first.
    """
    settings = settle(recipe, config, options)
    devices = hardware.configure(settings)
    weights = settings.weights if recipe.features else "none"
    settings = settings.replace(epochs=1, weights=weights, class_weight=None)
    source = call(recipe.data, settings.arguments)
    precisions = ["float32"]  # float16 is terrible on a CPU, and bfloat16 needs one that knows it
    if devices.device.value.startswith("gpu"):
        precisions += ["float16", "bfloat16"]
    elif hardware.bfloat16_feature():
        precisions += ["bfloat16"]
    candidates, seconds = {}, collections.defaultdict[tuple[str, str], list[float]](list)
    for precision, xla in itertools.product(precisions, ("off", "on")):
        print(f"compiling {precision}, xla {xla} ...", flush=True)
        setup = prepare(recipe, settings.replace(precision=precision, xla=xla), source, devices)
        source = setup.splits  # decoded once
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
        chosen = f"  <- --precision {precision} --xla {xla}" if (precision, xla) == best[:2] else ""
        times = f"{plain[2] / milliseconds:.2f} times as fast as float32 without XLA"
        print(f"{precision:9} xla {xla:3} {milliseconds:9.2f} ms a step, {times}{chosen}")
    return table


def run(setup: TrainingSetup, count: int) -> float:
    """Train so many steps, and return the seconds of one."""
    started = time.perf_counter()
    with setup.devices.scope:
        setup.training_copy.fit(setup.epochs.batches(), steps_per_epoch=count, verbose=0, shuffle=False)
    return (time.perf_counter() - started) / count
