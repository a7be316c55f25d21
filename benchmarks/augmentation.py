"""Pictures per second of augmentation: ImageDataGenerator, Keras's Random* layers, keraskit, in alternation in one run.

    python benchmarks/augmentation.py [--photographs 640] [--repeats 5] [--json docs/augmentation.json]

The transforms of the tutorial's section 6.6 on JPEG files at 150x150x3, and the ZCA fit of MNIST. Each repeat
runs all ways in turn, so that a noisy machine is unfair to all alike; medians are printed, and ratios. The files are
drawn pets, saved at the size of common photographs, so that decoding costs what it would.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from keraskit import start

start.start_tensorflow()

import document  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras.src.legacy.preprocessing.image import ImageDataGenerator  # noqa: E402
from keraskit.recipes.augmentation import IN_WORDS  # noqa: E402
from PIL import Image  # noqa: E402

from keraskit.augment.augmentation import Augmentation  # noqa: E402
from keraskit.augment.transform import draws, matrices, transform  # noqa: E402
from keraskit.datasets.digits import load_mnist  # noqa: E402
from keraskit.datasets.images import drawn_pets  # noqa: E402
from keraskit.training import hardware  # noqa: E402

SIZE, BATCH = (150, 150), 32
STORED = (375, 500)  # height and width of the files: the median photograph of cats and dogs


def make_files(folder: Path, count: int) -> list[str]:
    """JPEG files in a subfolder per class."""
    for i in range(count):
        kind = drawn_pets.CLASSES[i % 2]
        (folder / kind).mkdir(exist_ok=True)
        image = Image.fromarray(drawn_pets.draw(kind, i % 64)).resize(STORED[::-1])
        image.save(folder / kind / f"{i:05d}.jpg", quality=90)
    return sorted(str(p) for p in folder.rglob("*.jpg"))


def decoded(path: tf.Tensor) -> tf.Tensor:
    """One file as uint8 of the wanted size."""
    image = tf.image.resize(tf.io.decode_jpeg(tf.io.read_file(path), channels=3), SIZE)
    return tf.cast(tf.round(image), tf.uint8)


def consume(batches: Iterable, count: int) -> float:
    """Pictures per second over `count` pictures."""
    seen, started = 0, time.perf_counter()
    for batch in batches:
        seen += len(batch[0] if isinstance(batch, tuple) else batch)
        if seen >= count:
            break
    return seen / (time.perf_counter() - started)


def generator(words: Augmentation) -> ImageDataGenerator:
    """Today's ImageDataGenerator with the same parameters."""
    return ImageDataGenerator(**dict(words))


def ways(folder: Path, files: list[str]) -> dict[str, Callable[[], float]]:
    """Each way as a function that does one pass and returns pictures per second."""
    legacy = generator(IN_WORDS["seven"])
    random_layers = document.random_layers()
    auto = tf.data.AUTOTUNE
    stored = tf.data.Dataset.from_tensor_slices(files).map(decoded, num_parallel_calls=auto)
    cached = np.stack(list(stored.as_numpy_iterator()))
    count = len(files)

    def ours(images: tf.Tensor, i: tf.Tensor) -> tf.Tensor:
        return transform(IN_WORDS["seven"], images, draws(tf.shape(images)[0], tf.stack([0, tf.cast(i, tf.int32)])))

    def by_tensorflow(images: tf.Tensor, i: tf.Tensor) -> tf.Tensor:
        numbers = draws(tf.shape(images)[0], tf.stack([0, tf.cast(i, tf.int32)]))
        where = tf.reshape(matrices(IN_WORDS["seven"], numbers, *SIZE), (-1, 6))
        rr, rc, row, cr, cc, column = tf.unstack(where, axis=1)
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=tf.cast(images, tf.float32),
            transforms=tf.stack([cc, cr, column, rc, rr, row, 0 * row, 0 * row], axis=1),
            output_shape=SIZE,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
            fill_value=0.0,
        )

    cached_batches = tf.data.Dataset.from_tensor_slices(cached).batch(BATCH).cache()
    batches = stored.batch(BATCH)
    by_layers = cached_batches.map(
        lambda x: random_layers(tf.cast(x, tf.float32), training=True), num_parallel_calls=auto
    )
    ours_cached = cached_batches.enumerate().map(lambda i, x: ours(x, i), num_parallel_calls=auto)
    op_cached = cached_batches.enumerate().map(lambda i, x: by_tensorflow(x, i), num_parallel_calls=auto)
    ours_decoding = batches.enumerate().map(lambda i, x: ours(x, i), num_parallel_calls=auto)
    from_files = legacy.flow_from_directory(folder, target_size=SIZE, batch_size=BATCH)
    from_arrays = legacy.flow(cached, batch_size=BATCH)
    return {
        "ImageDataGenerator, from files": lambda: consume(from_files, count),
        "ImageDataGenerator, from arrays": lambda: consume(from_arrays, count),
        "Keras Random* layers, cached": lambda: consume(by_layers.prefetch(auto), count),
        "ImageProjectiveTransformV3, cached": lambda: consume(op_cached.prefetch(auto), count),
        "keraskit, decoding every epoch": lambda: consume(ours_decoding.prefetch(auto), count),
        "keraskit, cached": lambda: consume(ours_cached.prefetch(auto), count),
    }


def mnist_ways(count: int = 20_000) -> dict[str, Callable[[], float]]:
    """The same on MNIST's arrays, 28x28x1, in batches of 128."""
    x = load_mnist()[0]["x_train"][:count, ..., None]
    legacy = generator(IN_WORDS["seven"])
    random_layers = document.random_layers()
    auto = tf.data.AUTOTUNE
    batches = tf.data.Dataset.from_tensor_slices(x).batch(128).cache()

    def ours(i: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        return transform(IN_WORDS["seven"], images, draws(tf.shape(images)[0], tf.stack([0, tf.cast(i, tf.int32)])))

    by_layers = batches.map(lambda b: random_layers(tf.cast(b, tf.float32), training=True), num_parallel_calls=auto)
    by_us = batches.enumerate().map(ours, num_parallel_calls=auto)
    return {
        "MNIST: ImageDataGenerator": lambda: consume(legacy.flow(x, batch_size=128), count // 4),
        "MNIST: Keras Random* layers": lambda: consume(by_layers.prefetch(auto), count),
        "MNIST: keraskit": lambda: consume(by_us.prefetch(auto), count),
    }


def zca_ways() -> dict[str, Callable[[], float]]:
    """Seconds to fit ZCA on MNIST's 60,000 training digits."""
    x = load_mnist()[0]["x_train"][..., None]
    words = Augmentation(featurewise_center=True, featurewise_std_normalization=True, zca_whitening=True)

    def timed(fit: Callable) -> float:
        started = time.perf_counter()
        fit(x)
        return time.perf_counter() - started

    return {"ImageDataGenerator": lambda: timed(generator(words).fit), "keraskit": lambda: timed(words.fit)}


def medians(functions: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Each in turn, several times; the first round warms up and does not count."""
    found: dict[str, list[float]] = {name: [] for name in functions}
    for i in range(repeats + 1):
        for name, function in functions.items():
            value = function()
            if i:
                found[name].append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    """Measure, print, and record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photographs", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(Path(folder), asked.photographs)
        rates = medians(ways(Path(folder), files), asked.repeats)
    rates |= medians(mnist_ways(), asked.repeats)
    seconds = medians(zca_ways(), max(2, asked.repeats // 2))
    ratios = {
        "cached, against ImageDataGenerator": rates["keraskit, cached"] / rates["ImageDataGenerator, from files"],
        "cached, against ImageDataGenerator from arrays": rates["keraskit, cached"]
        / rates["ImageDataGenerator, from arrays"],
        "cached, against the Random* layers": rates["keraskit, cached"] / rates["Keras Random* layers, cached"],
        "cached, against ImageProjectiveTransformV3": rates["keraskit, cached"]
        / rates["ImageProjectiveTransformV3, cached"],
        "decoding, against ImageDataGenerator": rates["keraskit, decoding every epoch"]
        / rates["ImageDataGenerator, from files"],
        "MNIST, against ImageDataGenerator": rates["MNIST: keraskit"] / rates["MNIST: ImageDataGenerator"],
        "MNIST, against the Random* layers": rates["MNIST: keraskit"] / rates["MNIST: Keras Random* layers"],
        "ZCA fit, against ImageDataGenerator": seconds["ImageDataGenerator"] / seconds["keraskit"],
    }
    for name, rate in rates.items():
        print(f"{name:50} {rate:8.0f} pictures/s")
    for name, value in seconds.items():
        print(f"{'ZCA fit of MNIST, ' + name:50} {value:8.2f} s")
    for name, ratio in ratios.items():
        print(f"{name:50} {ratio:8.1f} times")
    if asked.json:
        record = {
            "pictures_per_second": rates,
            "zca_seconds": seconds,
            "ratios": ratios,
            "hardware": hardware.describe(),
        }
        asked.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
