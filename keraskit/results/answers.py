"""Asks an export's own predict.py all examples of a file: `python -m keraskit.results.answers FOLDER X ANSWERS BATCH`.

This runs in a process of its own, so that nothing of the one that exported helps the runtime.
"""

import importlib.util
import sys
import time
from pathlib import Path

import numpy as np

TIMED = 30  # single examples


def main(folder: Path, given: Path, got: Path, batch: int) -> None:
    """Write the answers to all examples, by output, and the median milliseconds of one example."""
    spec = importlib.util.spec_from_file_location("predict", folder / "predict.py")
    assert spec and spec.loader
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    with np.load(given, allow_pickle=False) as found:
        x = {name: found[name] for name in found.files}
    size = len(next(iter(x.values())))
    answered, seconds = [], []
    for i in range(0, size, batch):
        answered.append(program.answer({name: values[i : i + batch] for name, values in x.items()}))
    for i in range(min(TIMED, size)):
        one = {name: values[i : i + 1] for name, values in x.items()}
        began = time.perf_counter()
        program.answer(one)
        seconds.append(time.perf_counter() - began)
    answers = {name: np.concatenate([each[name] for each in answered]) for name in answered[0]}
    np.savez(got, allow_pickle=False, **answers, milliseconds=1e3 * np.median(seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
