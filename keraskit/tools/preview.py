"""`keraskit augment`: a sheet of pictures, each as it is and beside it several random versions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keraskit import files
from keraskit.augment import Augmentation
from keraskit.datasets.images import decode
from keraskit.errors import UserError, printable
from keraskit.runs import plots

SIDE = 200  # pixels of the longer side on a sheet


def preview(paths: Sequence[Path], augmentation: Augmentation, output: Path, versions: int = 7, seed: int = 0) -> None:
    """Write a sheet with a row for each picture file: as it is, and random `versions` of it, which `seed` decides."""
    shown: list[np.ndarray] = []
    captions: list[str] = []
    for path in paths:
        try:
            picture = decode.read(decode.contents(path)).convert("RGB")
        except (OSError, decode.BadPicture) as error:
            raise UserError(f"{path} {error}.") from error
        picture.thumbnail((SIDE, SIDE))
        original = np.asarray(picture)
        fitted = augmentation.fit(original[None]) if augmentation.needs_fit else augmentation
        made = fitted.standardize(augmentation.transform(np.stack([original] * versions), (seed, len(shown)))).numpy()
        if augmentation.standardizes:  # spread over 0 to 255, so that it can be seen
            low, high = made.min(axis=(1, 2, 3), keepdims=True), made.max(axis=(1, 2, 3), keepdims=True)
            made = (made - low) * (255 / np.maximum(high - low, 1e-6))
        shown += [original, *np.clip(made.round(), 0, 255).astype(np.uint8)]
        captions += [printable(path.name)[:24], *[""] * versions]
    with files.atomic(output) as beside:
        columns = versions + 1 if len(paths) > 1 else 4
        plots.save(plots.sheet(plots.Sheet(shown, captions, columns=columns), side=1.8), beside)
