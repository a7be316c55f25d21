"""How often guesses are right: top-1 and top-5 with an interval, and the pairs that are confused most."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from keraskit.datasets import imagenet
from keraskit.datasets.images.sources import find
from keraskit.errors import UserError
from keraskit.results.guesses import Guess

Z = 1.96  # standard deviations on each side of a 95 % interval


@dataclass
class Accuracy:
    """Counts over pictures whose class is known.

    Args:
        count: pictures that could be read.
        first: how many were named first.
        five: how many were among the first five.
        confused: how often the first class was taken for the second.
        unread: how many could not be read.
    """

    count: int = 0
    first: int = 0
    five: int = 0
    confused: Counter[tuple[str, str]] = field(default_factory=Counter)
    unread: int = 0

    def lines(self, pairs: int = 10) -> list[str]:
        """The result in words."""
        left_out = f"; {self.unread:,} could not be read" if self.unread else ""
        lines = [f"{self.count:,} pictures{left_out}"]
        for name, right in (("top-1", self.first), ("top-5", self.five)):
            low, high = interval(right, self.count)
            lines.append(f"{name} accuracy {right / self.count:.4f}, 95% interval {low:.4f} to {high:.4f}")
        worst = self.confused.most_common(pairs)
        return lines + [f"{count:6,} times {true} was taken for {said}" for (true, said), count in worst]


def interval(right: int, count: int) -> tuple[float, float]:
    """Wilson's interval of a share, which holds for few examples and near 0 and 1 too (Wilson 1927)."""
    share, spread = right / count, Z**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def labelled(root: Path) -> dict[Path, str]:
    """The pictures in a folder that has a subfolder per class, each with its subfolder's name."""
    if not root.is_dir():
        raise UserError(f"--evaluate {root} is not a folder.", "Name one with a subfolder of pictures per class.")
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    if not folders:
        raise UserError(f"{root} has no subfolders.", "Make one per class, named as the class or by its WordNet id.")
    names = imagenet.names()
    classes = [names[imagenet.index_of(folder.name)] for folder in folders]
    return {path: name for folder, name in zip(folders, classes, strict=True) for path in find([folder])}


def measure(rows: Iterable[Guess], truth: Iterable[str]) -> Accuracy:
    """Compare guesses, which name five classes at least, with the true names."""
    found = Accuracy()
    for row, true in zip(rows, truth, strict=True):
        if row.error:
            found.unread += 1
            continue
        names = [name for name, _ in row.best]
        found.count += 1
        found.first += names[0] == true
        found.five += true in names[:5]
        if names[0] != true:
            found.confused[true, names[0]] += 1
    if not found.count:
        raise UserError("None of the pictures could be read.", "Look at them with any viewer.")
    return found
