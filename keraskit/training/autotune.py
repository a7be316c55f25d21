"""Measure a recipe's training step in each precision, with and without XLA, and print times with flags."""

import itertools
import time
from typing import Any

import numpy as np

from keraskit.config import RunConfig
from keraskit.recipe import Recipe
from keraskit.training import hardware
from keraskit.training.settings import settle
from keraskit.training.setup import TrainingSetup, prepare, source_of

ROUNDS, LONG_ENOUGH = 5, 0.5  # number of repeats, and seconds of training in each


def autotune(recipe: Recipe, config: RunConfig, options: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Measure all candidates in turn, print them with their flags, and return (precision, XLA, ms), fastest first."""
    settings = settle(recipe, config, options)
    devices = hardware.configure(settings, alone=True)
    weights = settings.weights if recipe.features else "none"
    settings, source = source_of(recipe, settings.replace(epochs=1, weights=weights, class_weight=None))
    precisions = ["float32", *(["float16"] if devices.gpu else [])]
    precisions += ["bfloat16"] if devices.gpu or hardware.bfloat16_feature() else []
    precisions = precisions if settings.precision == "auto" else [settings.precision]
    unable, candidates = "", dict[tuple[str, str], tuple[TrainingSetup, int]]()
    compiled: list[str] = ["off", "on"] if settings.xla == "auto" else [settings.xla]
    for precision, xla in itertools.product(precisions, compiled):
        if xla == "on" and unable:
            continue
        print(f"compiling {precision}, xla {xla} ...", flush=True)
        setup = prepare(recipe, settings.replace(precision=precision, xla=xla), source, devices)
        source, unable = setup.splits, hardware.without_xla(setup.model)  # pictures are decoded once
        why = hardware.needs_float32(setup.model, precision, setup.training_data.train)
        if why and precision != "float32":
            print(f"left out: {why}", flush=True)
            continue
        steps = setup.choices["steps_per_execution"].value
        timed(setup, steps)  # the first call compiles
        candidates[precision, xla] = setup, steps * max(1, min(100, round(LONG_ENOUGH / (steps * timed(setup, steps)))))
    medians = 1e3 * np.median([[timed(*each) for each in candidates.values()] for _ in range(ROUNDS)], axis=0)
    rows = zip(candidates, medians.tolist(), strict=True)
    table = sorted(((*name, milliseconds) for name, milliseconds in rows), key=lambda row: row[2])
    for precision, xla, milliseconds in table:
        print(f"{milliseconds:9.2f} ms a step with --precision {precision} --xla {xla}")
    return table


def timed(setup: TrainingSetup, count: int) -> float:
    """Train for `count` steps and return the seconds per step."""
    started = time.perf_counter()
    with setup.devices.scope:
        setup.training_copy.fit(setup.epochs.batches(), steps_per_epoch=count, verbose=0, shuffle=False)
    return (time.perf_counter() - started) / count
