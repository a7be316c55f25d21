"""How long commands take to answer, and a run to its first step, against a bare script that imports Keras and fits.

    python benchmarks/start.py [--rounds 7] [--json docs/start.json]

Whole processes, in turn in one run, best in an environment with keraskit alone: with scikit-learn, which tests need,
`import keras` takes longer, and the ratio is smaller. Elsewhere than in a checkout, KERASKIT_DATA names MNIST's folder.
The first step of mlp is 32 steps handed over at once, compiled by XLA; the bare script's is one, as Keras does it by
itself. The last two show mlp and end by themselves: where TensorFlow is, ending takes Python time as well.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUMMARY = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, keras
from keras import layers
model = keras.Sequential([keras.Input((784,)), layers.Dense(512, "relu"), layers.Dense(216, "relu"),
                          layers.Dense(128, "relu"), layers.Dense(10, "softmax")])
model.summary()
"""
BARE = (
    SUMMARY.replace("model.summary()", "")
    + """
with np.load({mnist!r}) as data:
    x, y = data["x_train"].reshape(-1, 784).astype("float32") / 255, data["y_train"]
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
class First(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        os._exit(0)
model.fit(x, y, batch_size=128, verbose=0, callbacks=[First()])
"""
)
KERASKIT = """
import os
from keraskit import start
start.start_tensorflow()
from keraskit.training.fit import Checkpoints
Checkpoints.on_train_batch_end = lambda self, batch, logs=None: os._exit(0)
from keraskit.cli.app import command_line
command_line(["run", "mlp"])
"""


def main() -> None:
    """Measure, print, and record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    mnist = Path(__file__).resolve().parents[1] / "data" / "mnist.npz"
    commands = {
        "python -c pass": ["-c", "pass"],
        "keraskit list": ["-m", "keraskit", "list"],
        "keraskit --help": ["-m", "keraskit", "--help"],
        "keraskit run mlp --help": ["-m", "keraskit", "run", "mlp", "--help"],
        "a bad flag": ["-m", "keraskit", "run", "mlp", "--epochs", "ten"],
        "import keras": ["-c", "import keras"],
        "bare script, first step": ["-c", BARE.format(mnist=str(mnist))],
        "keraskit run mlp, first step": ["-c", KERASKIT],
        "bare script that shows mlp, to its end": ["-c", SUMMARY],
        "keraskit show mlp, to its end": ["-m", "keraskit", "show", "mlp"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(asked.rounds + 1):  # the first fills the caches of the disk and does not count
            for name, words in commands.items():
                started = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, *words], cwd=folder, capture_output=True, text=True, env={**os.environ}
                )
                taken = time.perf_counter() - started
                if done.returncode != (2 if name == "a bad flag" else 0):
                    raise SystemExit(f"{name} failed: {done.stderr[-2000:]}")
                if turn:
                    seconds[name].append(taken)
    pairs = zip(seconds["keraskit run mlp, first step"], seconds["bare script, first step"], strict=True)
    ratio = statistics.median(ours / bare for ours, bare in pairs)
    for name, taken in seconds.items():
        print(f"{name:40} {statistics.median(taken):6.2f} s")
    print(f"to the first step, keraskit takes {ratio:.2f} times as long as the bare script")
    if asked.json:
        from keraskit import start

        start.start_tensorflow()
        from keraskit.training.hardware import describe

        medians = {name: statistics.median(taken) for name, taken in seconds.items()}
        record = {"seconds": medians, "ratio": ratio, "rounds": asked.rounds, "hardware": describe()}
        record["scikit_learn"] = importlib.util.find_spec("sklearn") is not None
        asked.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
