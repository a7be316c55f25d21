"""Classify picture files: read in threads while the model predicts, printed as a table, written to files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track

from keraskit import system
from keraskit.datasets.images import decode, digit_pictures
from keraskit.datasets.images.decode import BadPicture
from keraskit.datasets.images.digit_pictures import Invert, Prepare
from keraskit.errors import printable
from keraskit.files import as_csv, atomic, write_text
from keraskit.runs import metrics, plots
from keraskit.runs.opening import OpenedPictureRun
from keraskit.text import print_table, shortened

BATCH, SHEET, COLUMNS = 32, 48, 6
THUMBNAIL, CAPTION = 200, 26  # pixels across a picture on a sheet; letters in a line below


@dataclass
class Prediction:
    """Prediction for one picture file.

    Args:
        path: the file.
        network: the model's name.
        best: the most probable classes, the first the best: (name, probability).
        note: what was done to the picture that its owner should know.
        error: why there is no prediction.
        truth: the true class, where it is known.
        bits: how many of its 16 a file of 16 bits was taken to use.
    """

    path: Path
    network: str = ""
    best: list[tuple[str, float]] = field(default_factory=list)
    note: str = ""
    error: str = ""
    truth: str = ""
    bits: int = 16

    @property
    def right(self) -> bool | None:
        """Whether the most probable class is the true one; None if unknown."""
        return self.best[0][0] == self.truth if self.best and self.truth else None

    def cell(self, top: int) -> str:
        """The most probable classes and the note, or the error."""
        if self.error:
            return printable(f"not read: {self.error}")
        named = ", ".join(f"{printable(name)} ({p:.2%})" for name, p in self.best[:top])
        return f"{named}  [{self.note}]" if self.note else named


@dataclass(frozen=True)
class Network:
    """A model for pictures, and its preprocessing.

    Args:
        prepare: makes a uint8 array of the model's size from a picture, and a note.
        fed: makes the model's input of a batch of such arrays.
        model: gives out a probability for each class, or that of the second of two.
        bits: how many of its 16 a file of 16 bits uses.
    """

    prepare: Callable[[Image.Image], tuple[np.ndarray, str]]
    fed: Callable[[np.ndarray], Any]
    model: Any
    bits: int = 16

    def read(self, path: Path) -> tuple[np.ndarray, str]:
        """Read and prepare a file. Raises OSError and BadPicture."""
        return self.prepare(decode.read(decode.contents(path), bits=self.bits))

    def probabilities(self, batch: np.ndarray) -> np.ndarray:
        """Probabilities, shape (n, classes)."""
        return metrics.probabilities(self.model.predict_on_batch(self.fed(batch)))


def network(run: OpenedPictureRun, invert: Invert = "auto", prepare: Prepare = "auto") -> Network:
    """Return a run's classifier with the run's own preprocessing."""
    own = partial(digit_pictures.prepared, inputs=run.inputs, trained=run.trained, invert=invert, prepare=prepare)
    return Network(own, run.preprocess, run.classifier, run.inputs.bits)


def predictions(
    paths: Sequence[Path],
    asked: Network,
    classes: Sequence[str],
    top: int = 3,
    batch_size: int = BATCH,
    network: str = "",
) -> Iterator[Prediction]:
    """Yield a prediction for each file, in order; files are read in threads ahead of the model.

    Args:
        paths: the files.
        asked: the model.
        classes: their names.
        top: how many classes to name.
        batch_size: pictures in one call of the model.
        network: the model's name.
    """

    def read(path: Path) -> tuple[np.ndarray | None, Prediction]:
        try:
            array, note = asked.read(path)
            return array, Prediction(path, network, note=note, bits=asked.bits)
        except BadPicture as error:
            return None, Prediction(path, network, error=str(error))
        except OSError as error:
            return None, Prediction(path, network, error=f"cannot be read: {error.strerror or error}")

    steps = range(batch_size, len(paths) + batch_size, batch_size)
    console, quiet = Console(file=sys.__stderr__), not sys.stderr.isatty() or len(steps) < 4
    with ThreadPoolExecutor(system.cores()) as pool:
        ahead = pool.map(read, paths[:batch_size])
        for start in track(steps, f"{len(paths):,} pictures", console=console, transient=True, disable=quiet):
            results, ahead = list(ahead), pool.map(read, paths[start : start + batch_size])
            good = [array for array, _ in results if array is not None]
            predicted = iter(asked.probabilities(np.stack(good))) if good else iter(())
            for array, row in results:
                if array is not None:
                    probabilities = next(predicted)
                    order = np.argsort(-probabilities, kind="stable")[:top]
                    row.best = [(classes[k], float(probabilities[k])) for k in order]
                yield row


def show(rows: Sequence[Prediction], top: int = 3) -> None:
    """Print a line per file; where there are several networks, one of each."""
    several = len({row.network for row in rows}) > 1
    ordered = sorted(rows, key=lambda row: row.path) if several else rows
    lines = [[printable(row.path), *([row.network] if several else []), row.cell(top)] for row in ordered]
    print_table(["picture", *(["network"] if several else []), "prediction"], lines)


def write(
    rows: Sequence[Prediction], to_json: Path | None, to_csv: Path | None, to_sheet: Path | None, top: int = 3
) -> None:
    """Write JSON, CSV and sheet where paths are given."""
    write_texts({to_json: lambda: rows_as_json(rows, top), to_csv: lambda: rows_as_csv(rows, top)})
    if to_sheet:
        with atomic(to_sheet) as path:
            draw(rows, path)
        print(f"sheet: {printable(to_sheet)}")


def write_texts(made: dict[Path | None, Callable[[], str]]) -> None:
    """Write text files where paths are given."""
    for path, text in made.items():
        if path:
            write_text(path, text())
            print(f"written: {printable(path)}")


def rows_as_json(rows: Sequence[Prediction], top: int = 3) -> str:
    """JSON: an object per file, with truth where it is known."""
    labelled = any(row.truth for row in rows)
    entries = [
        {
            "picture": printable(row.path),
            "network": row.network,
            **({"truth": row.truth, "right": row.right} if labelled else {}),
            "best": [{"class": name, "probability": round(p, 6)} for name, p in row.best[:top]],
            "note": row.note,
            "error": row.error,
        }
        for row in rows
    ]
    return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"


def rows_as_csv(rows: Sequence[Prediction], top: int = 3) -> str:
    """CSV: a line per file, with columns for each class and probability."""
    labelled = any(row.truth for row in rows)
    most = max((len(row.best[:top]) for row in rows), default=0)
    best = [f"{name}_{i}" for i in range(1, most + 1) for name in ("class", "probability")]
    table: list[list[Any]] = [["picture", "network", *(["truth", "right"] * labelled), *best, "note", "error"]]
    for row in rows:
        known = [row.truth, row.right] if labelled else []
        cells: list[Any] = [cell for name, p in row.best[:top] for cell in (name, round(p, 6))]
        cells += [None] * (len(best) - len(cells))
        table.append([row.path, row.network, *known, *cells, row.note, row.error])
    return as_csv(table)


def mistakes(rows: Sequence[Prediction]) -> list[Prediction]:
    """Wrong predictions, the most confident first."""
    return sorted((row for row in rows if row.right is False), key=lambda row: -row.best[0][1])


def draw(rows: Sequence[Prediction], path: Path) -> None:
    """Draw the most confident mistakes where the truth is known, else the first pictures, with their predictions."""
    labelled = any(row.truth for row in rows)
    chosen = mistakes(rows) if labelled else [row for row in rows if row.best]
    shown = chosen[:SHEET]
    title = f"{len(shown)} of {len(chosen):,}{' mistakes, the most confident first' if labelled else ''}"
    plots.sheet([*map(_thumbnail, shown)], [*map(_caption, shown)], path, title, COLUMNS, side=1.8)


def _caption(row: Prediction) -> str:
    name, probability = row.best[0]
    named = f"{shortened(printable(name), CAPTION - 7)} ({probability:.0%})"
    lines = [row.path.name, named, f"true: {row.truth}" if row.truth else "", row.network, row.note]
    return "\n".join(shortened(printable(line), CAPTION) for line in lines if line)


def _thumbnail(row: Prediction) -> np.ndarray:
    """The picture padded to a square."""
    image = decode.read(decode.contents(row.path), bits=row.bits).convert("RGB")
    return np.asarray(ImageOps.pad(image, (THUMBNAIL, THUMBNAIL), color="white"))
