"""Where pictures lie, a folder or a zip archive: their names, and their bytes by name. Nothing is ever unpacked."""

import glob
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from keraskit import system
from keraskit.datasets.images.decode import ENDINGS, MOST_BYTES, contents
from keraskit.errors import UserError

HOME = Path(__file__).resolve().parents[2]
SHIPPED = HOME / "photos" if (HOME / "photos").is_dir() else HOME.parent / "data" / "photos"  # of a wheel; a checkout
RUN = "run.json"  # what lies beside it is a run's, and never data


class PictureFiles:
    """Pictures by name. A name is relative, with slashes, whatever the system."""

    trusted = False  # whether all can be used without a look at them

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names: list[str] = []
        self.others: list[str] = []  # files that are no pictures by name; and empty folders, with a slash at the end
        self.skipped: Counter[str] = Counter()

    def _sort(self, name: str) -> bool:
        """Put a file with the pictures, or the others, which are counted by their endings; whether it is a picture."""
        if any(map(hidden, name.split("/"))):  # pathlib takes ten times as long, and there may be a million
            return False
        stem, dot, ending = name.rpartition("/")[2].rpartition(".")
        suffix = (dot + ending).lower() if stem and ending else ""
        if suffix in ENDINGS:
            self.names.append(name)
            return True
        self.others.append(name)
        self.skipped[f"of the type {suffix or 'without ending'}"] += 1
        return False

    def left_out(self) -> list[str]:
        """What is skipped, in a line if there is any."""
        counts = ", ".join(f"{count:,} {why}" for why, count in sorted(self.skipped.items()))
        return [f"skipped {counts}"] if counts else []

    def read(self, name: str) -> bytes:
        """The file's bytes. Raises OSError."""
        raise NotImplementedError


def open_files(root: Path) -> PictureFiles:
    """The pictures in a folder or a zip archive. Raises UserError where it is neither."""
    if not root.exists():
        raise UserError(f"{root} does not exist.", "Name a zip archive, or a folder with a subfolder per class.")
    return Folder(root) if root.is_dir() else Archive(root)


def find(words: Sequence[str | Path], notes: list[str] | None = None) -> list[Path]:
    """The picture files that words name: files, folders with all below them, patterns.

    What is left out of folders is added to `notes`. Raises UserError where a word names no picture.
    """
    found: dict[Path, None] = {}
    for word in words:
        path, skipped = system.expanded(word), list[str]()
        if path.is_dir():
            files = Folder(path)
            below, skipped = sorted(p for name in files.names if (p := path / name).is_file()), files.left_out()
        elif path.exists():
            below = [path]
        else:
            below = [Path(p) for p in sorted(glob.glob(str(path), recursive=True)) if Path(p).is_file()]  # noqa: PTH207
        if not below:
            problem = f"{path} holds no pictures" if path.is_dir() else f"{path} does not exist"
            more = f": {skipped[0]}" if skipped else ""
            raise UserError(f"{problem}{more}.", "Name a picture, a folder, or a pattern such as '*.jpg'.")
        found |= dict.fromkeys(below)
        if notes is not None:
            notes += [f"{path}: {line}" for line in skipped]
    return list(found)


class Folder(PictureFiles):
    """All pictures below a folder; links are followed, each folder once."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        seen, links = set(), [str(root)]
        for link in links:  # to folders; those are read that no folder or link before has
            for folder, folders, files in os.walk(link):
                below = os.path.relpath(folder, root)  # ten times as fast as pathlib, and there may be 100,000
                below = "" if below == "." else f"{below.replace(os.sep, '/')}/"
                real = os.path.realpath(folder)
                if real in seen or RUN in files:
                    folders.clear()
                    if real in seen:
                        self.skipped[f"folder that is read already: the link {below[:-1]}"] += 1
                    continue
                seen.add(real)
                folders[:] = sorted(f for f in folders if not hidden(f))
                links += [path for f in folders if os.path.islink(path := f"{folder}/{f}")]  # noqa: PTH114
                if not folders and all(map(hidden, files)):
                    self.others.append(below)
                for file in files:
                    self._sort(f"{below}{file}")

    def read(self, name: str) -> bytes:
        """The file's bytes, if it is a regular file. Raises OSError."""
        return contents(self.root / name)


class Archive(PictureFiles):
    """All pictures in a zip archive, read where they are, so that no name in it can reach the disk."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        try:
            self._zip = zipfile.ZipFile(root)
        except Exception as error:  # a damaged file makes zipfile raise anything
            problem = f"{root} is no zip archive that can be read: {error}."
            raise UserError(problem, "Fetch or copy it again.") from error
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            if why := self._refused(member):
                self.skipped[why] += not member.is_dir()
            elif member.is_dir():
                self.others += [] if any(map(hidden, member.filename.split("/"))) else [member.filename]
            elif self._sort(member.filename):
                self._members[member.filename] = member

    def _refused(self, member: zipfile.ZipInfo) -> str:
        """Why a member is skipped; empty for none."""
        name = member.filename
        if not name:
            return "without a name"
        if name.startswith("/") or "\\" in name or ":" in name.partition("/")[0] or ".." in name.split("/"):
            return "with a path that leaves the archive"
        if stat.S_ISLNK(member.external_attr >> 16):
            return "that are links"
        if member.flag_bits & 1:
            return "that are encrypted"
        return "with a name that is there already" if name in self._members else ""

    def read(self, name: str) -> bytes:
        """The member's bytes; never more than it claimed. Raises OSError."""
        member = self._members[name]
        if member.file_size > MOST_BYTES:
            raise OSError(f"it has {member.file_size:,} bytes; {MOST_BYTES:,} are allowed")
        try:
            return self._zip.read(member)
        except MemoryError:
            raise
        except Exception as error:  # the same
            raise OSError(f"its part of the archive is damaged ({error})") from error


def hidden(name: str) -> bool:
    """Whether a file or folder is the system's own."""
    return name.startswith((".", "__MACOSX"))
