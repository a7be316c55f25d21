"""Which class a folder's or a file's name means, as people write it: Great-White Shark, n01440764_tench, 3."""

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from keraskit import system
from keraskit.datasets.images.sources import Folder, hidden
from keraskit.errors import UserError

LISTED = 12  # names in one line
WORDNET = re.compile(r"n\d{8}(?=_)")


class Labels:
    """The classes that names of folders and files mean, whatever their case, with spaces, hyphens or underscores.

    Results print their `names`; `others` has more names of each, such as its WordNet id; `owner` has them, say errors.
    """

    def __init__(self, names: Sequence[str], owner: str, others: Sequence[Sequence[str]] = ()) -> None:
        self.names, self.owner = list(names), owner
        self._exact: dict[str, set[int]] = defaultdict(set)
        self._known: dict[str, set[int]] = defaultdict(set)
        for k, name in enumerate(self.names):
            self._exact[name].add(k)
            for each in (name, *(others[k] if others else ())):
                self._known[_plain(each)].add(k)

    def index_of(self, word: str) -> int:
        """The class with this name, or this index. Raises UserError for none, and for a name of several."""
        found = self._named(word)
        if not found and re.fullmatch(r"[0-9]{1,9}", word) and int(word) < len(self.names):
            return int(word)
        return self._only(found, word)

    def of_file(self, path: Path) -> int:
        """The class that a file's own name begins with: n01440764_tench.JPEG, cat.0.jpg, lion (2).png."""
        word = re.sub(r"[ ._-]+\(?[0-9]+\)?$", "", path.stem)
        wordnet = WORDNET.match(path.stem)
        return self._only(self._named(word) or self._named(wordnet[0] if wordnet else word), path.name)

    def of_pictures(self, folders: Sequence[str | Path]) -> tuple[dict[Path, str], list[str]]:
        """Every picture below folders with its class; and what to tell of empty folders and files that are none.

        A folder has a subfolder per class, or pictures whose names begin with their class. Raises UserError where it is
        none, a name is no class, or there are no pictures.
        """
        if not folders:
            raise UserError("--evaluate needs pictures whose class is known.", "Name their folder.")
        truth: dict[Path, str] = {}
        notes: list[str] = []
        for root in map(system.expanded, folders):
            if not root.is_dir():
                why = "is no folder" if root.exists() else "does not exist"
                raise UserError(f"{root} {why}.", "--evaluate takes a folder with a subfolder of pictures per class.")
            subfolders = [f.name for f in sorted(root.iterdir()) if f.is_dir() and not hidden(f.name)]
            classes = {name: self.index_of(name) for name in subfolders}  # before any picture is read
            files = Folder(root)
            tops = {name: name.partition("/")[0] for name in sorted(files.names)}
            for name, top in tops.items():
                truth[root / name] = self.names[classes[top] if top in classes else self.of_file(root / name)]
            if empty := sorted(set(subfolders) - set(tops.values())):
                notes.append(f"no pictures in {_listed(empty)}")
            notes += files.left_out()
        if not truth:
            problem = f"{', '.join(map(str, folders))} holds no pictures."
            raise UserError(problem, "Put some into a subfolder per class.")
        return truth, notes

    def _named(self, word: str) -> set[int]:
        """The classes of this very name; else of one that differs in case and such."""
        return self._exact.get(word) or self._known.get(_plain(word), set())

    def _only(self, found: set[int], word: str) -> int:
        if len(found) == 1:
            return next(iter(found))
        if found:
            names = " and ".join(self.names[k] for k in sorted(found))
            raise UserError(f"{word!r} names {len(found)} classes of {self.owner}, {names}.", "Write which.")
        near = self._near(_plain(Path(word).stem))
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        advice = f"{hint}Its classes, by name or index, are {_listed(self.names)}."
        raise UserError(f"{word!r} names no class of {self.owner}.", advice)

    def _near(self, word: str) -> list[str]:
        """Classes with a name that looks like a word, or has all of its words."""
        keys = [key for key in self._known if set(word.split("_")) <= set(key.split("_"))]
        keys = keys or difflib.get_close_matches(word, self._known, n=2, cutoff=0.75)
        return [self.names[k] for k in sorted({k for key in keys for k in self._known[key]})[:4]]


def _plain(word: str) -> str:
    """In small letters, with one underscore for spaces, hyphens and underscores."""
    return re.sub(r"[\s_-]+", "_", unicodedata.normalize("NFKC", word).casefold()).strip("_")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
