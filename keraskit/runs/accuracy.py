"""Print accuracy on labelled picture files: its interval, confusion, and the most confident mistakes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from keraskit.datasets import array_files
from keraskit.datasets.images import decode
from keraskit.datasets.images.folder import listed
from keraskit.errors import UserError, printable
from keraskit.runs import metrics, pictures
from keraskit.runs.folder import TRAINED_ON, RunFolder
from keraskit.runs.pictures import Prediction, mistakes
from keraskit.text import counted, print_table, shortened

TABLE, SHOWN = 10, 10  # classes at most whose confusion is a table; mistakes that are printed


def show(
    rows: Sequence[Prediction], classes: Sequence[str], truth: Mapping[Path, str], notes: Sequence[str], top: int
) -> None:
    """Print accuracy for each model where the truth is known, else the predictions.

    Args:
        rows: of one model or several; each names its five most probable classes, or all.
        classes: the models'.
        truth: the true class of every file; empty where it is not known.
        notes: lines on pictures that are not among the rows.
        top: classes to name for each file.
    """
    if not truth:
        pictures.show(rows, top)
        print(*map(printable, notes), sep="\n", end="\n" if notes else "")
        return
    for row in rows:
        row.truth = truth[row.path]
    for network in dict.fromkeys(row.network for row in rows):
        report([row for row in rows if row.network == network], classes, notes)


def trained_on(folder: RunFolder, paths: Iterable[Path]) -> list[str]:
    """Return a line on how many of these files the run was trained on, byte for byte; none if unknown."""
    try:
        file = folder.file(TRAINED_ON)
    except FileNotFoundError:
        return []
    with array_files.reading(file, ".npy"):
        known = np.load(file, allow_pickle=False)
    digests = []
    for path in paths:
        with suppress(OSError):  # reported with the prediction
            digests.append(int(hashlib.sha256(decode.contents(path)).hexdigest()[:16], 16))
    count = int(np.isin(np.array(digests, np.uint64), known).sum())
    said = f"{count:,} of these pictures are what the run was trained on: accuracy says nothing of them"
    return [said] if count else []


def report(rows: Sequence[Prediction], classes: Sequence[str], notes: Sequence[str] = ()) -> None:
    """Print accuracy, confusion and the most confident mistakes.

    Args:
        rows: of one model; each names its five most probable classes, or all.
        classes: the model's.
        notes: lines on pictures that are not among the rows.

    Raises:
        UserError: no picture could be read.
    """
    read = [row for row in rows if row.best]
    unread = listed({printable(row.path): printable(row.error) for row in rows if row.error})
    if not read:
        raise UserError(f"None of the {len(rows):,} pictures could be read: {unread}.", "Look at them with any viewer.")
    few, wrong = len(classes) <= TABLE, mistakes(read)
    network = f"{read[0].network}: " if read[0].network else ""
    print(f"{network}{counted(len(read), 'picture')} of {counted(len({r.truth for r in read}), 'class', 'classes')}")
    for rank in (1,) if few else (1, 5):
        right = sum(row.truth in dict(row.best[:rank]) for row in read)
        low, high = metrics.interval(right, len(read))
        name = "accuracy" if few else f"top-{rank} accuracy"
        print(f"{name} {right / len(read):.4f}, 95% interval {low:.4f} to {high:.4f}")
    if few:
        index = {name: k for k, name in enumerate(classes)}
        truth, predicted = np.array([(index[row.truth], index[row.best[0][0]]) for row in read]).T
        print("\nTrue classes in lines, predicted ones in columns:")
        heads = [shortened(printable(name), max(4, 60 // len(classes) - 2)) for name in classes]
        counts = metrics.confusion(truth, predicted, len(classes))
        named = zip(classes, counts, strict=True)
        lines = [[shortened(printable(name), 20), *map("{:,}".format, line)] for name, line in named]
        print_table(["", *heads], lines, right=heads)
    if wrong:
        print(f"\nThe most confident {min(SHOWN, len(wrong))} of {len(wrong):,} mistakes:")
        lines = [[printable(row.path), printable(row.truth), row.cell(top=1)] for row in wrong[:SHOWN]]
        print_table(["picture", "truth", "prediction"], lines)
    left_out = [f"{len(rows) - len(read):,} could not be read: {unread}"] if unread else []
    if left_out or notes:
        print("", *map(printable, [*left_out, *notes]), sep="\n")
