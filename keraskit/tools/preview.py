"""Sheets that show what an augmentation makes of pictures: each as it is, and beside it several random versions."""

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
    """Write a sheet with a row per picture.

    Args:
        paths: picture files.
        augmentation: statistics that it needs are measured on these pictures.
        output: the PNG to write.
        versions: random versions beside each picture.
        seed: decides them.
    """
    shown: list[np.ndarray] = []
    captions: list[str] = []
    for path in paths:
        picture = read(path)
        fitted = augmentation.fit(picture[None]) if augmentation.needs_fit else augmentation
        made = fitted.standardize(fitted.transform(np.stack([picture] * versions), (seed, len(shown)))).numpy()
        shown += [picture, *(visible(image) if augmentation.standardizes else clipped(image) for image in made)]
        captions += [printable(path.name)[:24], *[""] * versions]
    with files.atomic(output) as beside:
        columns = versions + 1 if len(paths) > 1 else min(4, versions + 1)
        plots.sheet(shown, captions, beside, columns=columns, side=1.8)


def read(path: Path) -> np.ndarray:
    """A picture as it should be seen, uint8 RGB, made small enough for a sheet."""
    try:
        picture = decode.read(decode.contents(path)).convert("RGB")
    except (OSError, decode.BadPicture) as error:
        raise UserError(f"{path} {error}.") from error
    picture.thumbnail((SIDE, SIDE))
    return np.asarray(picture)


def clipped(image: np.ndarray) -> np.ndarray:
    """Rounded to uint8."""
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def visible(image: np.ndarray) -> np.ndarray:
    """Standardised values spread over 0 to 255, so that they can be seen."""
    low, high = float(image.min()), float(image.max())
    return clipped((image - low) * (255 / (high - low) if high > low else 0))
