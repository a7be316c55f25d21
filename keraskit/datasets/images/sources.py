"""Sources of images, a folder or a zip archive: list their names, read and decode them. Archives are not unpacked."""

import glob
import hashlib
import os
import sys
import warnings
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from keraskit import system
from keraskit.datasets.array_files import explained
from keraskit.datasets.images import decode
from keraskit.errors import UserError

ENDINGS = frozenset(".jpg .jpeg .jfif .jpe .png .bmp .gif .webp .tif .tiff .heic .heif .avif".split())  # noqa: SIM905
HOME = Path(__file__).resolve().parents[2]
SHIPPED = HOME / "photos" if (HOME / "photos").is_dir() else HOME.parent / "data" / "photos"  # wheel; checkout
RUN = "run.json"  # marks a run folder, which is never data
# How names of systems' own folders and files begin
NO_DATA = (".", "__MACOSX", "@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "lost+found", "System Volume Information")
HIDDEN, NO_PICTURE, EMPTY = "is hidden", "has no picture's ending", "is an empty folder"  # why a file is left out
SHOWN = 5  # names listed of each reason


class Folder:
    """All images below a folder; symbolic links are followed, each folder is visited once.

    `names` are relative paths with forward slashes on every system; `read` returns the bytes of one. `skipped` says why
    other files and folders are left out, by name; those of folders end with a slash.
    """

    def __init__(self, root: Path) -> None:
        self.root, every, seen, links, runs = root, list[str](), set[str](), [str(root)], dict[str, str]()
        failed = list[OSError]()
        for link in links:  # to folders; each real folder is read once
            for folder, folders, files in os.walk(link, onerror=failed.append):
                real = os.path.realpath(folder)
                below = os.path.relpath(folder, root).replace(os.sep, "/")  # ten times faster than pathlib
                if real in seen or RUN in files:
                    runs |= {f"{below}/".removeprefix("./"): "is a run's folder"} if RUN in files else {}
                    folders.clear()
                    continue
                seen.add(real)
                folders.sort()
                links += [path for name in folders if os.path.islink(path := f"{folder}/{name}")]  # noqa: PTH114
                every += [f"{below}/{file}".removeprefix("./") for file in files or [""][bool(folders) :]]
        for error in failed:
            if not any(f"/{name}" in error.filename.removeprefix(str(root)) for name in NO_DATA):
                raise error
        self.names, self.skipped = _sorted_out(every, runs)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file. Raises OSError, also if it is not a regular file."""
        return decode.contents(self.root / name)


class Archive:
    """All images in a zip archive, like `Folder`; read in place, so that no member name can reach the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with explained(f"{root} is no zip archive that can be read", "Fetch it again, or unpack it."):
            self._zip = _opened(root)
        names = [each.filename for each in self._zip.infolist()]
        slash = "/" if any("/" in name for name in names) else "\\"  # it may be half of a Shift JIS character
        names = [name.replace(slash, "/").rpartition(":/")[2].lstrip("/").removeprefix("./") for name in names]
        self._members = dict(zip(names, self._zip.infolist(), strict=True))
        full = {name.rstrip("/").rpartition("/")[0] + "/" for name in self._members} | {""}  # folders with files
        runs = tuple(name.removesuffix(RUN) for name in names if f"/{name}".endswith(f"/{RUN}"))
        every = (name for name in self._members if name not in full and not name.startswith(runs))
        self.names, self.skipped = _sorted_out(every, dict.fromkeys(runs, "is a run's folder"))
        self.skipped |= {k: "is there twice; one is read" for k, n in Counter(names).items() if n > 1 and k not in full}

    def read(self, name: str) -> bytes:
        """Return the bytes of a member. Raises OSError if it is damaged or too large."""
        member = self._members[name]
        if member.file_size > decode.MOST_BYTES:
            raise OSError(f"it has {member.file_size:,} bytes; {decode.MOST_BYTES:,} are allowed")
        try:
            return self._zip.read(member)
        except Exception as error:  # zipfile may raise anything for a damaged file
            raise OSError("it is damaged, or encrypted: unpack the archive, with its password") from error


def open_files(root: Path) -> Folder | Archive:
    """Open a folder or a zip archive of images. Raises UserError if `root` is neither."""
    if not root.exists():
        raise UserError(f"{root} does not exist.", "Name a zip archive, or a folder with a subfolder per class.")
    return Folder(root) if root.is_dir() else Archive(root)


def find(words: Sequence[str | Path]) -> list[Path]:
    """Return the image files for the given files, folders (searched recursively) and glob patterns.

    Raises UserError if one of `words` matches no image.
    """
    found: dict[Path, None] = {}
    for path in map(system.expanded, words):
        problem = f"{path} does not exist"
        if path.is_dir():
            folder = Folder(path)
            problem = f"{path} holds no pictures: {listed(folder.skipped)}"
            below = [file for name in sorted(folder.names) if (file := path / name).is_file()]
        elif path.exists():
            below = [path]
        else:
            known = next(each for each in path.parents if each.exists())  # brackets in its name are no pattern
            names = glob.glob(str(path.relative_to(known)), root_dir=known, recursive=True)  # noqa: PTH207
            below = sorted(file for name in names if (file := known / name).is_file())
        if not below:
            raise UserError(f"{problem}.", "Name a picture, a folder, or a pattern such as '*.jpg'.")
        found |= dict.fromkeys(below)
    return list(found)


def decode_all(
    files: Any, names: list[str], store: Callable[[int, np.ndarray], Any], shape: tuple[int, ...], crop: bool = False
) -> tuple[list[str], list[int], dict[str, str], list[str]]:
    """Decode each image once and `store` it by its number; decode 16-bit images again that use fewer bits than others.

    Returns each image's SHA-256, the bits of the 16-bit images, problems by name, and names of squeezed images.
    """
    from rich.console import Console
    from rich.progress import track  # takes a help page 20 ms

    size, squeezed = (shape[0], shape[1]), list[str]()

    def one(i: int) -> tuple[str, int, str]:
        digest = ""
        try:
            data = files.read(names[i])
            digest = hashlib.sha256(data).hexdigest()
            image = decode.read(data)
            store(i, decode.pixels(image, size, crop=crop))
            squeezed.extend([names[i]] * decode.squeezed(image, size))
            return digest, image.info.get("depth", 0), ""
        except OSError as error:
            return digest, 0, f"cannot be read: {error.strerror or error}"
        except decode.BadPicture as error:
            return digest, 0, str(error)

    with ThreadPoolExecutor(system.cores()) as pool:
        done, quiet = pool.map(one, range(len(names))), not sys.stderr.isatty()
        found = list(track(done, "decoding", len(names), console=Console(stderr=True), transient=True, disable=quiet))
    depths = [depth for _, depth, _ in found if depth]
    bits = max(depths, default=0)
    for i, (_, depth, _) in enumerate(found):
        if 0 < depth < bits:
            store(i, decode.pixels(decode.read(files.read(names[i]), bits), size, crop=crop))
    bad = {name: problem for name, (*_, problem) in zip(names, found, strict=True) if problem}
    return [digest for digest, *_ in found], depths, bad, sorted(squeezed)


def listed(problems: Mapping[str, str]) -> str:
    """Return what is wrong with how many files, and the names of a few."""
    groups = defaultdict[str, list[str]](list)
    for name, problem in sorted(problems.items()):
        groups[problem].append(name)
    said = []
    for problem, names in sorted(groups.items(), key=lambda group: -len(group[1])):
        few = ", ".join(names[:SHOWN]) + ", ..." * (len(names) > SHOWN)
        said.append(f"{len(names):,} ({few}): each {problem}" if names[1:] else f"{few or 'it'} {problem}")
    return "; ".join(said[:SHOWN] + [f"and {len(said) - SHOWN:,} other reasons"] * (len(said) > SHOWN))


def _sorted_out(every: Iterable[str], skipped: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the names of images, by file extension, and `skipped` with the other names and why they are left out."""
    names = list[str]()
    for name in every:
        stem, dot, ending = name.rpartition("/")[2].rpartition(".")  # pathlib is ten times slower
        if any(part.startswith(NO_DATA) for part in name.split("/")):
            skipped[name] = HIDDEN
        elif stem and (dot + ending).lower() in ENDINGS:
            names.append(name)
        else:
            skipped[name] = NO_PICTURE if name[-1:].strip("/") else EMPTY
    return names, skipped


def _opened(root: Path) -> zipfile.ZipFile:
    """Open an archive; names without a flag are in UTF-8 as on macOS, GB2312 as on Chinese Windows, or CP437."""
    for encoding in ("utf-8", "gb2312"):
        with suppress(UnicodeError):
            return zipfile.ZipFile(root, metadata_encoding=encoding)
    warnings.warn(f"{root.name}: names are read as CP437; if they look wrong, zip it with UTF-8 ones", stacklevel=2)
    return zipfile.ZipFile(root)
