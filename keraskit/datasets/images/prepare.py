"""`keraskit data prepare`: the document's folders train/, validation/ and test/, from what photographs there are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from keraskit.config import SPLITS
from keraskit.datasets.images.labels import arrange
from keraskit.datasets.images.sources import PictureFiles, open_files
from keraskit.datasets.images.verify import check, listed
from keraskit.errors import UserError, printable
from keraskit.files import atomic, check_folder


def prepare(source: Path, to: Path, per_class: int | None = None) -> None:
    """Sort copies of the pictures into splits and classes, and print how many there are of each. What is there, stays.

    Args:
        source: a zip archive or a folder.
        to: the folder to make.
        per_class: photographs of each class of cats and dogs.

    Raises:
        UserError: nothing to prepare, or the place will not do.
    """
    if source.exists() and to.resolve().is_relative_to(source.resolve()):
        raise UserError(f"--to {to} lies in --from {source}.", "Name a folder elsewhere.")
    files = open_files(source)
    check_folder(to, "--to")
    layout = arrange(files.names, source, per_class)
    everything = [name for pairs in layout.parts.values() for name, _ in pairs]
    bad, _ = check(files, everything)
    targets = _targets(layout.parts, layout.classes, bad)
    done = sum(_put(files, to, *target) for target in targets)

    counts = Counter(target.rpartition("/")[0] for _, target in targets)
    for part in SPLITS:
        for kind in layout.classes:
            print(f"total {part} {printable(kind)} images: {counts[f'{part}/{kind}']}")
    if bad:
        print(f"left out {len(bad):,} that cannot be used: {printable(listed(bad))}")
    print(f"{done:,} new in {printable(to)}; use it with --data-dir {printable(to)}")


def _targets(
    parts: dict[str, list[tuple[str, int]]], classes: tuple[str, ...], bad: dict[str, str]
) -> list[tuple[str, str]]:
    """Each picture's name and its place below the new folder."""
    targets, taken = [], set()
    for part in SPLITS:
        for name, label in parts[part]:
            if name in bad:
                continue
            target = f"{part}/{classes[label]}/{name.rpartition('/')[2]}"
            if target in taken:  # two subfolders of a class hold the same file name
                target = f"{part}/{classes[label]}/{name.replace('/', '-')}"
            taken.add(target)
            targets.append((name, target))
    return targets


def _put(files: PictureFiles, to: Path, name: str, target: str) -> bool:
    """Copy one picture; False where it is there already."""
    path = to / target
    size = int(files.stamp(name).partition(" ")[0])
    if path.exists():
        if path.stat().st_size != size:
            raise UserError(
                f"{path} is another picture than {name} of {files.root}.", "Name an empty folder with --to."
            )
        return False
    try:
        with atomic(path) as beside:
            beside.write_bytes(files.read(name))
    except OSError as error:
        raise UserError(
            f"Cannot copy {name} to {path}: {error.strerror or error}.", "The same command goes on."
        ) from error
    return True
