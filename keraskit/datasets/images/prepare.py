"""`keraskit data prepare`: the document's folders train/, validation/ and test/, from what photographs there are."""

from collections import Counter
from pathlib import Path

from keraskit.datasets.images.decode import contents
from keraskit.datasets.images.labels import arrange
from keraskit.datasets.images.sources import PictureFiles, open_files
from keraskit.datasets.images.verify import check, listed
from keraskit.errors import UserError, printable
from keraskit.files import atomic, check_folder


def prepare(source: Path, to: Path, per_class: int | None = None) -> None:
    """Sort copies of the pictures into splits and classes, and print how many there are of each. What is there, stays.

    Of cats and dogs so many `per_class`. Raises UserError where there is nothing to prepare, or the place will not do.
    """
    if source.exists() and to.resolve().is_relative_to(source.resolve()):
        raise UserError(f"--to {to} lies in --from {source}.", "Name a folder elsewhere.")
    files = open_files(source)
    check_folder(to, "--to")
    layout = arrange(files.names, source, per_class)
    bad, _ = check(files, layout.names)
    targets: dict[str, str] = {}
    counts: Counter[str] = Counter({f"{split} {kind}": 0 for split in layout.splits for kind in layout.classes})
    for split, pairs in layout.splits.items():
        for name, kind in [(name, layout.classes[label]) for name, label in pairs if name not in bad]:
            target = f"{split}/{kind}/{name.rpartition('/')[2]}"
            if target in targets:  # two subfolders of a class hold the same file name
                target = f"{split}/{kind}/{name.replace('/', '-')}"
            targets[target] = name
            counts[f"{split} {kind}"] += 1
    done = sum(_put(files, name, to / target) for target, name in targets.items())
    for which, count in counts.items():
        print(f"total {printable(which)} images: {count}")
    if bad:
        print(f"left out {len(bad):,} that cannot be used: {printable(listed(bad))}")
    print(f"{done:,} new in {printable(to)}; use it with --data-dir {printable(to)}")


def _put(files: PictureFiles, name: str, path: Path) -> bool:
    """Copy one picture; False where it is there already."""
    try:
        data = files.read(name)
        if path.exists():
            if contents(path) != data:
                problem = f"{path} is another picture than {name} of {files.root}."
                raise UserError(problem, "Name an empty folder with --to.")
            return False
        with atomic(path) as beside:
            beside.write_bytes(data)
    except OSError as error:
        problem = f"Cannot copy {name} to {path}: {error.strerror or error}."
        raise UserError(problem, "The same command goes on.") from error
    return True
