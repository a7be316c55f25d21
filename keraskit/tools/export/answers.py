"""Asks an export's own predict.py all examples of a file, and pictures: `answers.py FOLDER X ANSWERS BATCH FILES`.

This runs in a process of its own, so that nothing of the one that exported helps the runtime.
"""

import runpy
import sys
import time
from pathlib import Path

import numpy as np

TIMED = 30  # single examples


def main(folder: Path, given: Path, got: Path, batch: int, *pictures: str) -> None:
    """Write the answers to all examples, by output, the median milliseconds of one, and what files were read as."""
    sys.argv = ["predict.py", *pictures]
    program = runpy.run_path(str(folder / "predict.py"), run_name="__main__" if pictures else "predict")
    answer, read = program["answer"], [program["picture"](path) for path in pictures]
    with np.load(given, allow_pickle=False) as found:
        x = {name: found[name] for name in found.files}
    size = len(next(iter(x.values())))
    answered, seconds = [], []
    for i in range(0, size, batch):
        answered.append(answer({name: values[i : i + batch] for name, values in x.items()}))
    for i in range(min(TIMED, size)):
        one = {name: values[i : i + 1] for name, values in x.items()}
        began = time.perf_counter()
        answer(one)
        seconds.append(time.perf_counter() - began)
    answers = {name: np.concatenate([each[name] for each in answered]) for name in answered[0]}
    stacked = np.concatenate(read) if read else np.empty(0)
    np.savez(got, allow_pickle=False, **answers, milliseconds=1e3 * np.median(seconds), read=stacked)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
