"""Seconds per step and per epoch of the recurrent models, by batch size, XLA, micro-batches, and TimeDistributed.

    python benchmarks/recurrent.py [--repeats 5] [--json docs/recurrent.json]

Prints the median time of a step, and what an epoch of 55,000 examples would take, each variant in turn so that a noisy
machine is unfair to all alike. Micro-batches are shares of a batch, side by side, in keraskit's way.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from keraskit import start

start.start_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402
from keraskit.recipes import lstm, multi_output  # noqa: E402

from keraskit.training import hardware  # noqa: E402
from keraskit.training.acceleration import accelerate  # noqa: E402

EXAMPLES = 55_000


def with_time_distributed() -> keras.Model:
    """multi_output as the tutorial prints it."""
    model = multi_output.build()
    sequence = model.get_layer("extract").output
    wrapped = layers.TimeDistributed(layers.Dense(10, activation="softmax"), name="wrapped")(sequence)
    return keras.Model(model.inputs, {"output1": model.get_layer("output1").output, "output2": wrapped})


def with_gru() -> keras.Model:
    """lstm with a GRU, which XLA compiles as Keras has it."""
    x = inputs = keras.Input((784, 1))
    for layer in (layers.GRU(128), layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax")):
        x = layer(x)
    return keras.Model(inputs, x)


VARIANTS = {
    "lstm, batch 64": (lstm.build, 64, False, 1),
    "lstm, batch 64, 2 micro-batches": (lstm.build, 64, False, 2),
    "lstm, batch 64, XLA": (lstm.build, 64, True, 1),
    "lstm, batch 64, XLA, 2 micro-batches": (lstm.build, 64, True, 2),
    "lstm, batch 128": (lstm.build, 128, False, 1),
    "lstm, batch 128, XLA": (lstm.build, 128, True, 1),
    "lstm, batch 256": (lstm.build, 256, False, 1),
    "lstm, batch 256, XLA": (lstm.build, 256, True, 1),
    "GRU, batch 64, 2 micro-batches": (with_gru, 64, False, 2),
    "GRU, batch 64, XLA, 2 micro-batches": (with_gru, 64, True, 2),
    "multi_output, batch 64": (multi_output.build, 64, False, 1),
    "multi_output, batch 64, 2 micro-batches": (multi_output.build, 64, False, 2),
    "multi_output, batch 64, XLA": (multi_output.build, 64, True, 1),
    "multi_output, batch 64, XLA, 2 micro-batches": (multi_output.build, 64, True, 2),
    "multi_output, batch 64, TimeDistributed": (with_time_distributed, 64, False, 1),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    repeats = asked.repeats
    random = np.random.default_rng(0)
    prepared, compiled, times = {}, {}, {}
    for name, (build, batch, xla, micro_batches) in VARIANTS.items():
        keras.utils.set_random_seed(0)
        model = build()
        x = random.normal(size=(batch, 784, 1)).astype("float32")
        y = random.integers(0, 10, batch)
        if "multi" in name:
            y = {"output1": y, "output2": random.integers(0, 10, (batch, 784))}
        if micro_batches > 1:
            accelerate(model, micro_batches, xla)
        jit = xla and micro_batches == 1  # XLA compiles micro-batches each by itself
        model.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy", jit_compile=jit)
        started = time.perf_counter()
        model.train_on_batch(x, y)
        compiled[name] = time.perf_counter() - started
        prepared[name], times[name] = (model, x, y), []
    for _ in range(repeats):
        for name, (model, x, y) in prepared.items():
            started = time.perf_counter()
            model.train_on_batch(x, y)
            times[name].append(time.perf_counter() - started)
    print(f"{'variant':42} {'first step':>10} {'step':>9} {'epoch':>9}")
    variants = {}
    for name, (_, batch, *_) in VARIANTS.items():
        step = statistics.median(times[name])
        variants[name] = {"first": compiled[name], "step": step, "epoch": step * EXAMPLES / batch}
        print(f"{name:42} {compiled[name]:8.1f} s {step * 1e3:6.0f} ms {step * EXAMPLES / batch / 60:5.1f} min")
    if asked.json:
        asked.json.write_text(json.dumps({"variants": variants, "hardware": hardware.describe()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
