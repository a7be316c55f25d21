"""Where pictures lie, a folder or a zip archive: their names, and their bytes by name. Nothing is ever unpacked."""

import glob
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

from keraskit import system
from keraskit.datasets.images.decode import ENDINGS, MOST_BYTES, contents
from keraskit.errors import UserError

HOME = Path(__file__).resolve().parents[2]
SHIPPED = HOME / "photos" if (HOME / "photos").is_dir() else HOME.parent / "data" / "photos"  # of a wheel; a checkout
RUN = "run.json"  # what lies beside it is a run's, and never data


class Folder:
    """All pictures below a folder; links are followed, each folder once.

    `names` are relative, with slashes, whatever the system; `read` returns the bytes of one. `others` are the files
    that are no pictures, and empty folders, which end with a slash.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.names, self.others = root, list[str](), list[str]()
        seen, links = set[str](), [str(root)]
        for link in links:  # to folders; those are read that no folder or link before has
            for folder, folders, files in os.walk(link):
                real = os.path.realpath(folder)
                if real in seen or RUN in files:
                    folders.clear()
                    continue
                seen.add(real)
                folders.sort()
                links += [path for name in folders if os.path.islink(path := f"{folder}/{name}")]  # noqa: PTH114
                below = os.path.relpath(folder, root).replace(os.sep, "/")  # ten times as fast as pathlib
                inside = files if files or folders else [""]
                names = inside if below == "." else [f"{below}/{file}" for file in inside]
                self.names += [name for name in names if is_picture(name)]
                self.others += [name for name in names if not is_picture(name) and not is_hidden(name)]

    def read(self, name: str) -> bytes:
        """The file's bytes, if it is a regular file. Raises OSError."""
        return contents(self.root / name)


class Archive:
    """All pictures in a zip archive, read where they are, so that no name in it can reach the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            self._zip = zipfile.ZipFile(root)
        except Exception as error:  # a damaged file makes zipfile raise anything
            problem = f"{root} is no zip archive that can be read: {error}."
            raise UserError(problem, "Fetch or copy it again.") from error
        members = {member.filename.replace("\\", "/"): member for member in self._zip.infolist()}  # \ of old Windows
        self._members = {name: member for name, member in members.items() if is_picture(name) and not _leaves(name)}
        self.names = list(self._members)
        self.others = [name for name in members if not (is_picture(name) or is_hidden(name) or _leaves(name))]

    def read(self, name: str) -> bytes:
        """The member's bytes; never more than it claims. Raises OSError."""
        member = self._members[name]
        if member.file_size > MOST_BYTES:
            raise OSError(f"it has {member.file_size:,} bytes; {MOST_BYTES:,} are allowed")
        try:
            return self._zip.read(member)
        except MemoryError:
            raise
        except Exception as error:  # the same
            raise OSError(f"its part of the archive is damaged ({error})") from error


def open_files(root: Path) -> Folder | Archive:
    """The pictures in a folder or a zip archive. Raises UserError where it is neither."""
    if not root.exists():
        raise UserError(f"{root} does not exist.", "Name a zip archive, or a folder with a subfolder per class.")
    return Folder(root) if root.is_dir() else Archive(root)


def find(words: Sequence[str | Path]) -> list[Path]:
    """The picture files that words name: files, folders with all below them, patterns.

    Raises UserError where a word names no picture.
    """
    found: dict[Path, None] = {}
    for word in words:
        path = system.expanded(word)
        if path.is_dir():
            below = sorted(file for name in Folder(path).names if (file := path / name).is_file())
        elif path.exists():
            below = [path]
        else:
            below = [Path(p) for p in sorted(glob.glob(str(path), recursive=True)) if Path(p).is_file()]  # noqa: PTH207
        if not below:
            problem = f"{path} holds no pictures" if path.is_dir() else f"{path} does not exist"
            raise UserError(f"{problem}.", "Name a picture, a folder, or a pattern such as '*.jpg'.")
        found |= dict.fromkeys(below)
    return list(found)


def is_picture(name: str) -> bool:
    """Whether a file is one by its ending, and neither it nor a folder above is the system's own."""
    stem, dot, ending = name.rpartition("/")[2].rpartition(".")  # pathlib takes ten times as long
    return not is_hidden(name) and bool(stem) and (dot + ending).lower() in ENDINGS


def is_hidden(name: str) -> bool:
    """Whether a file or a folder above it is the system's own."""
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _leaves(name: str) -> bool:
    """Whether a path would leave the folder into which somebody unpacked it."""
    return name.startswith("/") or ":" in name.partition("/")[0] or ".." in name.split("/")
