"""`keraskit augment`: a sheet of pictures, each beside several random versions of it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keraskit.augment.augmentation import Augmentation
from keraskit.datasets.array_files import explained
from keraskit.datasets.images import decode
from keraskit.errors import printable
from keraskit.runs import plots


def preview(paths: Sequence[Path], augmentation: Augmentation, output: Path, versions: int = 7, seed: int = 0) -> None:
    """Write a sheet with a row for each picture file: the original, and random `versions` of it, drawn with `seed`."""
    shown, captions = list[np.ndarray](), list[str]()
    for path in paths:
        with explained(str(path), "Name pictures."):
            picture = decode.read(decode.contents(path)).convert("RGB")
        picture.thumbnail((200, 200))  # pixels on the sheet
        original = np.asarray(picture)
        fitted = augmentation.fit(original[None]) if augmentation.needs_fit else augmentation
        batch = fitted.standardize(augmentation.transform(np.stack([original] * versions), (seed, len(shown)))).numpy()
        if augmentation.standardizes:  # rescale to 0 to 255 for display
            low, high = batch.min(axis=(1, 2, 3), keepdims=True), batch.max(axis=(1, 2, 3), keepdims=True)
            batch = (batch - low) * (255 / np.maximum(high - low, 1e-6))
        shown += [original, *np.clip(batch.round(), 0, 255).astype(np.uint8)]
        captions += [printable(path.name)[:24], *[""] * versions]
    columns = versions + 1 if len(paths) > 1 else 4
    plots.save(plots.sheet(plots.Sheet(shown, captions, columns=columns), side=1.8), output)
