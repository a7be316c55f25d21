"""Guesses for picture files: read in batches beside the model's work, shown in a table, written to files."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keraskit import system
from keraskit.datasets.images import decode
from keraskit.datasets.images.decode import BadPicture
from keraskit.errors import printable
from keraskit.files import atomic, write_text
from keraskit.results import plots

BATCH, SHEET = 32, 48
THUMBNAIL = 200  # pixels of the longer side on a sheet
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # what a spreadsheet may calculate


@dataclass
class Guess:
    """What a model says of one file.

    Args:
        path: the file.
        network: which said so.
        best: the most probable classes, the first the best: (name, probability).
        note: what was done to the picture that its owner should know.
        error: why there is no guess.
    """

    path: Path
    network: str = ""
    best: list[tuple[str, float]] = field(default_factory=list)
    note: str = ""
    error: str = ""


def guess(
    paths: Sequence[Path],
    prepare: Callable[[Image.Image], tuple[np.ndarray, str]],
    predict: Callable[[np.ndarray], np.ndarray],
    classes: Sequence[str],
    top: int = 3,
    batch_size: int = BATCH,
    network: str = "",
) -> Iterator[Guess]:
    """One guess per file, in order. Files are read in threads while the model works on those before.

    Args:
        paths: the files.
        prepare: makes an array of the model's size from a picture, and a note.
        predict: probabilities, shape (n, classes), of a batch of such arrays.
        classes: their names.
        top: how many classes to name.
        batch_size: pictures in one call of the model.
        network: the model's name.
    """

    def read(path: Path) -> tuple[np.ndarray | None, Guess]:
        try:
            array, note = prepare(decode.read(decode.contents(path)))
            return array, Guess(path, network, note=note)
        except BadPicture as error:
            return None, Guess(path, network, error=str(error))
        except OSError as error:
            return None, Guess(path, network, error=f"cannot be read: {error.strerror or error}")

    with ThreadPoolExecutor(system.cores()) as pool:
        chunks = [paths[start : start + batch_size] for start in range(0, len(paths), batch_size)]
        ahead = [pool.submit(read, path) for path in chunks[0]] if chunks else []
        for i in _progress(range(len(chunks)), len(paths)):
            results = [future.result() for future in ahead]
            ahead = [pool.submit(read, path) for path in chunks[i + 1]] if i + 1 < len(chunks) else []
            good = [array for array, _ in results if array is not None]
            said = iter(predict(np.stack(good))) if good else iter(())
            for array, row in results:
                if array is not None:
                    probabilities = next(said)
                    order = np.argsort(-probabilities, kind="stable")[:top]
                    row.best = [(classes[k], float(probabilities[k])) for k in order]
                yield row


def _progress(steps: range, count: int) -> Iterable[int]:
    from rich.console import Console
    from rich.progress import track

    quiet = not sys.stderr.isatty() or len(steps) < 4
    return track(steps, f"{count:,} pictures", console=Console(stderr=True), transient=True, disable=quiet)


def both(probability_of_second: np.ndarray) -> np.ndarray:
    """Probabilities of both classes, shape (n, 2), from those of the second alone, shape (n, 1); others as they are."""
    p = probability_of_second
    return p if p.shape[1] > 1 else np.concatenate([1 - p, p], axis=1)


def show(rows: Sequence[Guess], top: int = 3) -> None:
    """Print a table: a line per file, or side by side what several networks say, and where they agree."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    networks = list(dict.fromkeys(row.network for row in rows))
    by_file: dict[Path, list[Guess]] = {}
    for row in rows:
        by_file.setdefault(row.path, []).append(row)
    heads = ["picture", "guess"] if len(networks) == 1 else ["picture", *networks, "agreement"]
    table = Table(*heads, box=None, pad_edge=False)
    for path, said in by_file.items():
        several = len(networks) > 1
        cells = [printable(path.name if several else path), *(_cell(row, top, several) for row in said)]
        table.add_row(*map(Text, [*cells, agreement(said)] if several else cells))
    Console(width=None if sys.stdout.isatty() else 1_000, soft_wrap=len(networks) == 1).print(table)


def _cell(row: Guess, top: int, narrow: bool) -> str:
    if row.error:
        return printable(f"not read: {row.error}")
    guesses = [
        f"{printable(name)} ({p:.0%})" if narrow else f"{printable(name)} ({p:.2%})" for name, p in row.best[:top]
    ]
    note = [f"[{row.note}]"] if row.note else []
    return "\n".join(guesses + note) if narrow else "  ".join([", ".join(guesses), *note])


def agreement(said: Sequence[Guess]) -> str:
    """How many networks name the class that most of them name first."""
    named = Counter(row.best[0][0] for row in said if row.best)
    if not named:
        return ""
    name, count = named.most_common(1)[0]
    return f"{count} of {len(said)}: {printable(name)}" if count > 1 else "no two agree"


def write(
    rows: Sequence[Guess], to_json: Path | None, to_csv: Path | None, to_sheet: Path | None, top: int = 3
) -> None:
    """Write the files that were asked for."""
    for path, data in ((to_json, as_json), (to_csv, as_csv)):
        if path:
            write_text(path, data(rows, top))
            print(f"written: {printable(path)}")
    if to_sheet:
        shown = [row for row in rows if not row.error][:SHEET]
        with atomic(to_sheet) as path:
            title = f"The first {len(shown)} of {len(rows):,}" if len(rows) > len(shown) else ""
            thumbnails = [_thumbnail(row.path) for row in shown]
            captions = [f"{printable(row.path.name)[:26]}\n{_caption(row)}" for row in shown]
            plots.sheet(thumbnails, captions, path, title, columns=6, side=1.8)
        print(f"sheet: {printable(to_sheet)}")


def as_json(rows: Sequence[Guess], top: int = 3) -> str:
    """A list with an object per file."""
    entries: list[dict[str, Any]] = []
    for row in rows:
        best = [{"class": name, "probability": round(p, 6)} for name, p in row.best[:top]]
        entries.append(
            {"picture": printable(row.path), "network": row.network, "best": best, "note": row.note, "error": row.error}
        )
    return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"


def as_csv(rows: Sequence[Guess], top: int = 3) -> str:
    """A line per file. A cell that a spreadsheet would take for a formula gets an apostrophe before it."""
    most = max((len(row.best[:top]) for row in rows), default=0)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ranks = [f"{word}_{i + 1}" for i in range(most) for word in ("class", "probability")]
    writer.writerow(["picture", "network", *ranks, "note", "error"])
    for row in rows:
        cells = [cell for name, p in row.best[:top] for cell in (_harmless(name), f"{p:.6f}")]
        cells += [""] * (2 * most - len(cells))
        writer.writerow([*map(_harmless, (row.path, row.network)), *cells, *map(_harmless, (row.note, row.error))])
    return text.getvalue()


def _harmless(text: object) -> str:
    cell = printable(text)
    return f"'{cell}" if cell.lstrip().startswith(FORMULA) else cell


def _caption(row: Guess) -> str:
    name, probability = row.best[0]
    return f"{printable(name)[:20]} {probability:.0%}" + (f"\n{row.network}" if row.network else "")


def _thumbnail(path: Path) -> np.ndarray:
    image = decode.read(decode.contents(path)).convert("RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return np.asarray(image)
