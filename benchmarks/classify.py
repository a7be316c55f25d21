"""Seconds for 1,000 photographs through MobileNet: keraskit, a tf.data loop by hand, the document's own loop.

    python benchmarks/classify.py [--photographs 1000] [--repeats 3] [--json docs/classify.json]

All in turn in one run; medians, and ratios. The network has random weights, which cost the same. The document calls
`predict` once per photograph; that loop is timed on a tenth of them and multiplied.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from keraskit import startup

startup.start_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keraskit.recipes.classify import network  # noqa: E402
from PIL import Image  # noqa: E402

from keraskit.datasets.images import drawn_pets, imagenet  # noqa: E402
from keraskit.results import predictions  # noqa: E402
from keraskit.training import hardware  # noqa: E402

STORED, SIZE, BATCH = (375, 500), (224, 224), 32


def make_files(folder: Path, count: int) -> list[Path]:
    """Drawn pets as JPEG files of the size of common photographs."""
    made = [Image.fromarray(drawn_pets.draw("dog", i)).resize(STORED[::-1]) for i in range(25)]
    for i in range(count):
        made[i % 25].save(folder / f"{i:05d}.jpg", quality=90)
    return sorted(folder.glob("*.jpg"))


def ways(files: list[Path]) -> dict[str, Callable[[], float]]:
    """Each way as a function that classifies all files and returns its seconds."""
    preprocess = keras.applications.mobilenet.preprocess_input
    model = keras.applications.MobileNet(weights=None)
    asked = network("mobilenet", "none", 1.0, None, False, "nearest")
    names = imagenet.names()

    def ours() -> None:
        assert len(list(predictions.predictions(files, asked, names, 5, BATCH))) == len(files)

    def decoded(path: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return preprocess(tf.cast(tf.image.resize(image, SIZE, method="nearest"), tf.float32))

    def by_hand() -> None:
        paths = tf.data.Dataset.from_tensor_slices([str(path) for path in files])
        batches = paths.map(decoded, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)
        said = np.concatenate([model.predict_on_batch(batch) for batch in batches])
        assert [[names[k] for k in np.argsort(-row)[:5]] for row in said]

    def as_the_document() -> None:
        for path in files[: len(files) // 10]:
            x = keras.utils.img_to_array(keras.utils.load_img(path, target_size=SIZE))
            said = model.predict(preprocess(np.expand_dims(x, axis=0)), verbose=0)
            assert [names[k] for k in np.argsort(-said[0])[:5]]

    def timed(run: Callable[[], None], times: int = 1) -> Callable[[], float]:
        def once() -> float:
            started = time.perf_counter()
            run()
            return times * (time.perf_counter() - started)

        return once

    return {
        "keraskit": timed(ours),
        "tf.data by hand": timed(by_hand),
        "the document's loop": timed(as_the_document, 10),
    }


def main() -> None:
    """Measure, print, and record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photographs", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        functions = ways(make_files(Path(folder), asked.photographs))
        for i in range(asked.repeats + 1):  # the first round compiles and does not count
            for name, function in functions.items():
                value = function()
                if i:
                    seconds.setdefault(name, []).append(value)
    found = {name: statistics.median(values) for name, values in seconds.items()}
    ours, by_hand, document = found.values()
    ratios = {
        "keraskit takes, of tf.data by hand": ours / by_hand,
        "the document's loop takes, of keraskit": document / ours,
    }
    for name, value in found.items():
        print(f"{name:40} {value:7.1f} s")
    for name, value in ratios.items():
        print(f"{name:40} {value:7.2f} times")
    if asked.json:
        record = {"photographs": asked.photographs, "seconds": found, "ratios": ratios, "hardware": hardware.describe()}
        asked.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
