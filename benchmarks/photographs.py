"""Photographs in files: what checking costs, and what augmentation adds to a step.

python benchmarks/photographs.py [--repeats 11] [--json docs/photographs.json]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from keraskit import startup

startup.start_tensorflow()

import keras  # noqa: E402
from keraskit.recipes import cats_dogs, cats_dogs_augmented  # noqa: E402
from PIL import Image  # noqa: E402

from keraskit.augment import Augmentation  # noqa: E402
from keraskit.config import RunConfig  # noqa: E402
from keraskit.datasets.epochs import ShuffledEpochs  # noqa: E402
from keraskit.datasets.images import cats_and_dogs, drawn_pets, verify  # noqa: E402
from keraskit.datasets.images.sources import Folder  # noqa: E402
from keraskit.training import hardware  # noqa: E402

STORED = (375, 500)  # height and width of common photographs


def checking(count: int = 2_000) -> float:
    """Seconds to check so many files of the size of photographs, for the first time."""
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_CACHE_HOME"] = place
        (Path(place) / "cat").mkdir()
        made = [Image.fromarray(drawn_pets.draw("cat", i)).resize(STORED[::-1]) for i in range(20)]
        for i in range(count):
            made[i % 20].save(Path(place) / "cat" / f"{i}.jpg", quality=90)
        files = Folder(Path(place))
        started = time.perf_counter()
        verify.check(files, files.names)
        return time.perf_counter() - started


def steps(repeats: int) -> dict[str, float]:
    """Seconds of a training step at 150x150 and batch 32, as it is and with the seven transforms, in alternation.

    Where a machine has two speeds, as shared ones do, medians of either kind tell of luck: the fastest round of each
    is compared, and the ratios within each round, of which the median is taken.
    """
    place = hardware.occupy(RunConfig())
    splits = cats_and_dogs.unit(limit=640).reshape((150, 150, 3))
    model = cats_dogs.build()
    policy = hardware.choose(model, RunConfig(), place, 100).policy
    keras.config.set_dtype_policy(policy)
    model = cats_dogs.build()
    model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
    ways = {"as it is": Augmentation(), "the seven transforms": cats_dogs_augmented.recipe.augment}
    epochs = {name: ShuffledEpochs(splits.augmented(words).train, 32, seed=0) for name, words in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(repeats + 1):  # the first compiles and does not count
        for name, each in epochs.items():
            started = time.perf_counter()
            model.fit(each.dataset, verbose=0, shuffle=False)
            if i:
                seconds[name].append((time.perf_counter() - started) / each.steps)
    found = {name: min(values) for name, values in seconds.items()}
    plain, augmented = seconds.values()
    within = statistics.median(b / a for a, b in zip(plain, augmented, strict=True))
    return {**found, "ratio": found["the seven transforms"] / found["as it is"], "ratio within a round": within}


def main() -> None:
    """Measure, print, and record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    record = {"checking_2000_files": checking(), "step": steps(asked.repeats)}
    print(f"checking 2,000 photographs: {record['checking_2000_files']:.1f} s")
    for name, value in record["step"].items():
        print(f"step, {name}: {value:.3f}")
    if asked.json:
        asked.json.write_text(json.dumps(record | {"hardware": hardware.describe()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
