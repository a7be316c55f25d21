"""Classify picture files, printed as a table or as accuracy, and written to files."""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from keraskit import files, system
from keraskit.datasets import array_files
from keraskit.datasets.images import decode, digit_pictures
from keraskit.datasets.images.digit_pictures import Invert, Prepare
from keraskit.datasets.images.sources import listed
from keraskit.errors import UserError, counted, print_table, printable
from keraskit.runs import metrics, plots
from keraskit.runs.folder import TRAINED_ON, RunFolder
from keraskit.runs.opening import OpenedRun

BATCH, SHEET, SHOWN = 32, 48, 10  # pictures per model call; pictures on a sheet; mistakes printed
SQUEEZED = "squeezed"  # note of a picture whose aspect ratio changes much
FEW = 10  # classes up to which top-5 accuracy is left out


@dataclass
class Prediction:
    """Prediction for one picture file."""

    path: Path
    network: str = ""  # the model's name, if there are several
    best: list[tuple[str, float]] = field(default_factory=list)  # most probable classes and their probabilities
    note: str = ""  # preprocessing that the user should know of
    error: str = ""  # why there is no prediction
    truth: str = ""  # true class, if known
    bits: int | None = None  # significant bits assumed for a 16-bit file; its own for None

    @property
    def right(self) -> bool | None:
        """Whether the most probable class is the true one; None if unknown."""
        return self.best[0][0] == self.truth if self.best and self.truth else None

    def cell(self, top: int) -> str:
        """Format the most probable classes and the note, or the error."""
        if self.error:
            return printable(f"not read: {self.error}")
        named = ", ".join(f"{printable(name)} ({p:.2%})" for name, p in self.best[:top])
        return f"{named}  [{self.note}]" if self.note else named


class Network(NamedTuple):
    """An image classifier with its preprocessing."""

    prepare: Callable[[Image.Image], tuple[np.ndarray, str]]  # returns a uint8 array of the model's size, and a note
    fed: Callable[[np.ndarray], Any]  # preprocesses a batch of such arrays
    model: Any  # predicts probabilities, shape (n, classes), or (n, 1) for the second of two
    bits: int | None = None  # significant bits of a 16-bit file; its own for None
    crop: bool = False  # pictures are cropped, not squeezed

    def read(self, path: Path) -> tuple[np.ndarray, str]:
        """Read and prepare a file. Raises OSError and BadPicture."""
        image = decode.read(decode.contents(path), bits=self.bits)
        array, note = self.prepare(image)
        if self.bits and image.info.get("depth", 0) > self.bits:
            note = f"{note}{'; ' * bool(note)}more than the {self.bits} bits of the run's pictures, so darker"
        squeezed = not self.crop and "cut out" not in note and decode.squeezed(image, array.shape[:2])
        return array, f"{note}{'; ' * bool(note)}{SQUEEZED} from {image.width}x{image.height}" if squeezed else note

    def probabilities(self, batch: np.ndarray) -> np.ndarray:
        """Probabilities, shape (n, classes). Raises UserError if they are none."""
        found = metrics.probabilities(self.model.predict_on_batch(self.fed(batch)))
        if not np.isfinite(found).all():
            raise UserError("The model answers with NaN or infinity.", "Its weights are damaged: train anew.")
        return found


def network(run: OpenedRun, invert: Invert = "auto", prepare: Prepare = "auto") -> Network:
    """Return a run's classifier with the run's own preprocessing."""
    own = partial(digit_pictures.prepared, inputs=run.inputs, trained=run.trained, invert=invert, prepare=prepare)
    fed = partial(run.inputs.preprocess, augmentation=run.augmentation)
    return Network(own, fed, run.classifier, run.inputs.bits, run.inputs.crop)


def predictions(
    paths: Sequence[Path], asked: Network, classes: Sequence[str], top: int = 3, batch_size: int = BATCH, name: str = ""
) -> Iterator[Prediction]:
    """Yield the `top` classes of each file, in order; threads read files ahead of the model.

    `batch_size` is the number of pictures per model call, `name` the model's, if there are several.
    """

    def read(path: Path) -> tuple[np.ndarray | None, Prediction]:
        try:
            array, note = asked.read(path)
            return array, Prediction(path, name, note=note, bits=asked.bits)
        except decode.BadPicture as error:
            return None, Prediction(path, name, error=str(error))
        except OSError as error:
            return None, Prediction(path, name, error=f"cannot be read: {error.strerror or error}")

    steps = range(batch_size, len(paths) + batch_size, batch_size)
    console = Console(stderr=True)
    quiet = not sys.stderr.isatty() or len(steps) < 4
    with ThreadPoolExecutor(system.cores()) as pool:
        ahead = pool.map(read, paths[:batch_size])
        for start in track(steps, f"{len(paths):,} pictures", console=console, transient=True, disable=quiet):
            results, ahead = list(ahead), pool.map(read, paths[start : start + batch_size])
            if good := [(array, row) for array, row in results if array is not None]:
                found = asked.probabilities(np.stack([array for array, _ in good]))
                for probabilities, (_, row) in zip(found, good, strict=True):
                    order = np.argsort(-probabilities, kind="stable")[:top]
                    row.best = [(classes[k], float(probabilities[k])) for k in order]
            yield from (row for _, row in results)


def show(rows: Sequence[Prediction], classes: Sequence[str], truth: Mapping[Path, str], top: int = 3) -> None:
    """Print a line per file, or each model's metrics if `truth` has the true class of every file."""
    for row in rows if truth else ():
        row.truth = truth[row.path]
    networks = list(dict.fromkeys(row.network for row in rows))
    if truth or not any(row.best for row in rows):  # of none that was read, `report` says why
        for network in networks:
            report([row for row in rows if row.network == network], len(classes))
    else:
        ordered = sorted(rows, key=lambda row: row.path) if len(networks) > 1 else rows
        lines = [[printable(row.path), row.network, row.cell(top)] for row in ordered]
        print_table(["picture", "network" if networks != [""] else "", "prediction"], lines)
    if squeezed := {row.path for row in rows if SQUEEZED in row.note}:
        print(f"{counted(len(squeezed), 'picture')} squeezed out of shape: `run` and `classify` take --crop")


def report(rows: Sequence[Prediction], classes: int) -> None:
    """Print accuracy, confusions and the worst mistakes of a model. Raises UserError if no picture could be read."""
    read, wrong = [row for row in rows if row.best], mistakes(rows)
    unread = listed({printable(row.path): printable(row.error) for row in rows if row.error})
    if not read:
        raise UserError(f"None of the {len(rows):,} pictures could be read: {unread}.", "Look at them with any viewer.")
    network = f"{read[0].network}: " if read[0].network else ""
    print(f"{network}{counted(len(read), 'picture')} of {counted(len({r.truth for r in read}), 'class', 'classes')}")
    for rank in (1, 5) if classes > FEW else (1,):
        right = sum(row.truth in dict(row.best[:rank]) for row in read)
        low, high = metrics.interval(right, len(read))
        name = f"top-{rank} accuracy" if classes > FEW else "accuracy"
        print(f"{name} {right / len(read):.4f}, 95% interval {low:.4f} to {high:.4f}")
    if wrong:
        pairs = Counter((row.truth, row.best[0][0]) for row in wrong).most_common(SHOWN)
        print("confused:", ", ".join(printable(f"{true} as {other} {count:,}") for (true, other), count in pairs))
        print(f"\nThe most confident {min(SHOWN, len(wrong))} of {len(wrong):,} mistakes:")
        lines = [[printable(row.path), printable(row.truth), row.cell(top=1)] for row in wrong[:SHOWN]]
        print_table(["picture", "truth", "prediction"], lines)
    if unread:
        print(f"\n{len(rows) - len(read):,} could not be read: {unread}")


def say_trained_on(folder: RunFolder, paths: Sequence[Path]) -> None:
    """Print how many files are identical to training files, if the run recorded these."""
    if not (folder.path / TRAINED_ON).exists():
        return
    trained_on = array_files.read_arrays(folder.file(TRAINED_ON), {"": "u1"}, files.MOST_UNPACKED)[""]
    digests = []
    for path in paths:
        with suppress(OSError):  # reported with the prediction
            digests.append(int(hashlib.sha256(decode.contents(path)).hexdigest()[:16], 16))
    if count := int(np.isin(np.array(digests, np.uint64), trained_on).sum()):
        print(f"{count:,} of these pictures are what the run was trained on: accuracy says nothing of them")


def write_table(heads: Sequence[str], lines: Sequence[Any], to_json: Path | None, to_csv: Path | None) -> None:
    """Write a table as JSON, an object for each line, and as CSV, to the paths that are given."""
    objects = [dict(zip(heads, line, strict=True)) for line in lines]
    as_json = json.dumps(objects, indent=2, ensure_ascii=False) + "\n"
    for path, text in ((to_json, as_json), (to_csv, files.as_csv([heads, *lines]))):
        if path:
            files.write_text(path, text)
            print(f"written: {printable(path)}")


def write(rows: Sequence[Prediction], json: Path | None, csv: Path | None, sheet: Path | None, top: int = 3) -> None:
    """Write JSON and CSV, with columns for each of the `top` classes, and a sheet, to the paths that are given."""
    places = range(max((len(row.best[:top]) for row in rows), default=0))
    ranked = [f"{name}_{i + 1}" for i in places for name in ("class", "probability")]
    lines = []
    for row in rows:
        best: list[Any] = [cell for name, p in row.best[:top] for cell in (name, round(p, 6))]
        best += [None] * (len(ranked) - len(best))
        lines.append([str(row.path), row.network, row.truth, row.right, *best, row.note, row.error])
    write_table(["picture", "network", "truth", "right", *ranked, "note", "error"], lines, json, csv)
    if sheet:
        draw(rows, sheet)
        print(f"sheet: {printable(sheet)}")


def mistakes(rows: Sequence[Prediction]) -> list[Prediction]:
    """Return wrong predictions, most confident first."""
    return sorted((row for row in rows if row.right is False), key=lambda row: -row.best[0][1])


def draw(rows: Sequence[Prediction], path: Path) -> None:
    """Draw the most confident mistakes if labels are known, else the first pictures, with their predictions."""
    labelled = any(row.truth for row in rows)
    chosen = mistakes(rows) if labelled else [row for row in rows if row.best]
    pictures, captions = [], []
    for row in chosen[:SHEET]:
        picture = decode.read(decode.contents(row.path), bits=row.bits).convert("RGB")
        picture.thumbnail((200, 200))  # pixels on the sheet
        pictures.append(np.asarray(picture))
        named = f"{row.best[0][0]} ({row.best[0][1]:.0%})"
        lines = [row.path.name, named, f"true: {row.truth}" if row.truth else "", row.network, row.note]
        captions.append("\n".join(filter(None, lines)))
    title = f"{len(pictures)} of {len(chosen):,}{' mistakes, the most confident first' if labelled else ''}"
    plots.save(plots.sheet(plots.Sheet(pictures, captions, title, columns=6), side=1.8), path)
