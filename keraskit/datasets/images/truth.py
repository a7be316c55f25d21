"""Which class a folder's or a file's name means: Great-White Shark, n01440764_tench, 3."""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from keraskit import system
from keraskit.datasets.images.sources import Folder, hidden
from keraskit.errors import UserError

LISTED = 12  # names in one line


class Labels:
    """The classes that names of folders and files mean, by name, WordNet id or index, all in the same way.

    Results print their `names`; `wordnet` has the id of each, if they have any; `owner` has them, say errors.
    """

    def __init__(self, names: Sequence[str], owner: str, wordnet: Sequence[str] = ()) -> None:
        self.names, self.owner = list(names), owner
        plain = [_plain(name) for name in names]
        exact = {name: k for k, name in enumerate(names)}
        loose = {name: k for k, name in enumerate(plain) if plain.count(name) == 1}
        ids = {each: k for k, each in enumerate(wordnet)}
        indices = {str(k): k for k in range(len(names))}
        self._ways: list[Callable[[str], int | None]] = [
            lambda word: exact.get(word, loose.get(_plain(word))),
            lambda word: ids.get(_wordnet(word)),
            lambda word: indices.get(word.lstrip("0") or word[:1]),
        ]

    def find(self, words: Iterable[str]) -> dict[str, int]:
        """The class of each word. Raises UserError where one is none, or some are names and others ids or indices."""
        words = list(dict.fromkeys(words))
        for way in self._ways:
            found = {word: k for word in words if (k := way(word)) is not None}
            if len(found) == len(words):
                return found
        unknown = [word for word in words if all(way(word) is None for way in self._ways)]
        if not unknown:
            problem = f"{_listed(words)} name classes of {self.owner} in several ways"
            raise UserError(f"{problem}.", "Take names for all, or WordNet ids, or indices.")
        short = [_plain(name.partition(" (")[0]) for name in self.names]
        close = difflib.get_close_matches(_plain(unknown[0]), short, n=2, cutoff=0.75)
        near = [name for name, plain in zip(self.names, short, strict=True) if plain in close]
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        advice = f"{hint}Its classes, by name or index, are {_listed(self.names)}."
        raise UserError(f"{unknown[0]!r} names no class of {self.owner}.", advice)

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
            files = Folder(root)
            words = {
                name: name.partition("/")[0] if "/" in name else self._of_file(name) for name in sorted(files.names)
            }
            classes = self.find([*subfolders, *words.values()])
            truth |= {root / name: self.names[classes[word]] for name, word in words.items()}
            if empty := sorted(set(subfolders) - set(words.values())):
                notes.append(f"no pictures in {_listed(empty)}")
            notes += files.left_out()
        if not truth:
            problem = f"{', '.join(map(str, folders))} holds no pictures."
            raise UserError(problem, "Put some into a subfolder per class.")
        return truth, notes

    def _of_file(self, name: str) -> str:
        """The class in a file's own name: n01440764_tench.JPEG, cat.0.jpg, lion (2).png. A number is no index there."""
        word = re.sub(r"[ ._-]+\(?[0-9]+\)?$", "", Path(name).stem)
        return name if word.isdecimal() and word not in self.names else word


def _wordnet(word: str) -> str:
    """The WordNet id in a name, alone or with the name: n01440764_tench, tench (n01440764)."""
    found = re.search(r"(?<![a-z0-9])n\d{8}(?!\d)", word.casefold())
    return found[0] if found else ""


def _plain(word: str) -> str:
    """In small letters, with one underscore for spaces, hyphens and underscores."""
    return re.sub(r"[\s_-]+", "_", unicodedata.normalize("NFKC", word).casefold()).strip("_")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
