"""Reads every picture before training, so that none is found damaged at step 900; remembers which it has decoded."""

import hashlib
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from keraskit import system
from keraskit.datasets.images import decode
from keraskit.datasets.images.sources import PictureFiles
from keraskit.errors import UserError
from keraskit.files import remember, remembered

MOST_BAD = 0.05  # of all pictures; with more, something else is wrong
CHUNK = 256  # pictures between two looks at the clock and at Ctrl-C
SHOWN = 5
# Pictures that cost a file almost nothing are made to cost time. What counts is how many bytes they decode to, beyond
# those of a million pixels in colour and beyond 300 for each byte of the file, in all pictures together.
FREE, PER_BYTE, MOST_EMPTY = 3_000_000, 300, 500_000_000


def check(files: PictureFiles, names: Sequence[str]) -> tuple[dict[str, str], dict[str, str], int]:
    """Read each picture, and decode it unless these very bytes have been decoded before.

    Returns what is wrong, by name, with the pictures that cannot be used; the sha256 of each; and the highest value
    of pictures of 16 bits, 0 without. Raises UserError where more than 5 % cannot be used, or they are vast and empty.
    """
    memory = f"pictures-{hashlib.sha256(os.fsencode(files.root.resolve())).hexdigest()[:16]}.json"
    known = {digest: str(problem) for digest, problem in remembered(memory).items()}
    found = _examined(files, names, known)
    if now := {digest: problem for digest, problem, _ in found.values() if digest and known.get(digest) != problem}:
        remember(memory, known | now)

    bad = {name: found[name][1] for name in names if found[name][1]}
    if len(bad) > MOST_BAD * len(names):
        share = f"{len(bad):,} of {len(names):,} pictures in {files.root} cannot be used"
        raise UserError(f"{share}: {listed(bad)}.", f"Up to {MOST_BAD:.0%} are left out; repair or remove these.")
    highest = max((highest for *_, highest in found.values()), default=0)
    return bad, {name: digest for name, (digest, *_) in found.items()}, highest


def total(digests: Mapping[str, str]) -> str:
    """The sha256 of all names and contents."""
    lines = (f"{name}\0{digests[name]}\n" for name in sorted(digests))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def listed(bad: dict[str, str]) -> str:
    """The first of them in words."""
    more = f"; and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else ""
    return "; ".join(f"{name} {problem}" for name, problem in list(bad.items())[:SHOWN]) + more


def _examined(files: PictureFiles, names: Sequence[str], known: dict[str, str]) -> dict[str, tuple[str, str, int]]:
    """The sha256 of each picture, what is wrong with it, its highest value; `known` has problems by sha256."""
    from rich.console import Console
    from rich.progress import track

    empty, lock = 0, threading.Lock()

    def examine(name: str) -> tuple[str, str, int]:
        def spend(size: int) -> None:
            nonlocal empty
            more = max(0, size - FREE - PER_BYTE * len(data))
            with lock:
                empty += more
            if more and empty > MOST_EMPTY:
                problem = f"{files.root} is refused: it holds many vast, empty pictures"
                raise UserError(f"{problem}, such as {name}, {size:,} bytes of {len(data):,}.", "Remove them.")

        try:
            data = files.read(name)
            digest = hashlib.sha256(data).hexdigest()
            if digest not in known:
                decode.read(data, spend)
            problem = known.get(digest, "")
            return digest, problem, 0 if problem else decode.highest(data)
        except OSError as error:
            return "", f"cannot be read: {error.strerror or error}", 0
        except decode.BadPicture as error:
            return digest, str(error), 0

    found: list[tuple[str, str, int]] = []
    starts = range(0, len(names), CHUNK)
    quiet = not sys.stderr.isatty() or not names
    if quiet and len(names) > 10_000:
        print(f"checking {len(names):,} pictures ...", flush=True)
    with ThreadPoolExecutor(system.cores()) as pool:
        shown = track(starts, "checking pictures", console=Console(stderr=True), transient=True, disable=quiet)
        for start in shown:
            found += pool.map(examine, names[start : start + CHUNK])
    return dict(zip(names, found, strict=True))
