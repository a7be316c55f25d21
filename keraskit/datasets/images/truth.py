"""Which class a folder's or a file's name means: Great-White Shark, n01440764_tench, 3."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from keraskit import system
from keraskit.datasets.images.sources import Folder
from keraskit.errors import UserError


class Labels:
    """Look up classes by name, by WordNet id or by index, all in the same way.

    Args:
        names: of the classes, as results print them.
        owner: has them, say errors.
        wordnet: the id of each, if they have some.
    """

    def __init__(self, names: Sequence[str], owner: str, wordnet: Sequence[str] = ()) -> None:
        self.names, self.owner = list(names), owner
        plain = [_plain(name) for name in names]
        alone = {name: k for k, name in enumerate(plain) if plain.count(name) == 1}
        by_name = alone | {name: k for k, name in enumerate(names)}
        by_id = {each: k for k, each in enumerate(wordnet)}
        by_index = {str(k): k for k in range(len(names))}
        self._ways = (
            lambda word: by_name.get(word, alone.get(_plain(word))),
            lambda word: by_id.get(_wordnet(word)),
            lambda word: by_index.get(word.lstrip("0") or word[:1]),
        )

    def find(self, words: Iterable[str]) -> dict[str, int]:
        """The class of each word. Raises UserError where one is none, or some are names and others ids or indices."""
        words = list(dict.fromkeys(words))
        found = [{word: k for word in words if (k := way(word)) is not None} for way in self._ways]
        for each in found:
            if len(each) == len(words):
                return each
        if unknown := [word for word in words if not any(word in each for each in found)]:
            short = [_plain(name.partition(" (")[0]) for name in self.names]
            close = difflib.get_close_matches(_plain(unknown[0]), short, n=2, cutoff=0.75)
            near = [name for name, plain in zip(self.names, short, strict=True) if plain in close]
            hint = f"Did you mean {' or '.join(near)}? " if near else ""
            few = ", ".join(self.names[:12]) + " ..." * (len(self.names) > 12)
            raise UserError(
                f"{unknown[0]!r} names no class of {self.owner}.", f"{hint}Its classes, by name or index, are {few}."
            )
        problem = f"{', '.join(words[:12])} name classes of {self.owner} in several ways"
        raise UserError(f"{problem}.", "Take names for all, or WordNet ids, or indices.")

    def of_pictures(self, folders: Sequence[str | Path]) -> dict[Path, str]:
        """Every picture below folders with its class.

        A folder has a subfolder per class, or pictures whose names begin with their class. Raises UserError where it is
        none, a name is no class, or there are no pictures.
        """
        truth: dict[Path, str] = {}
        for root in map(system.expanded, folders):
            if not root.is_dir():
                why = "is no folder" if root.exists() else "does not exist"
                raise UserError(f"{root} {why}.", "--evaluate takes a folder with a subfolder of pictures per class.")
            words = {name: self._word(name) for name in sorted(Folder(root).names)}
            classes = self.find(words.values())
            truth |= {root / name: self.names[classes[word]] for name, word in words.items()}
        if not folders:
            raise UserError("Whose classes are known?", "Name their folder, with a subfolder of pictures per class.")
        if not truth:
            problem = f"{', '.join(map(str, folders))} holds no pictures."
            raise UserError(problem, "--evaluate needs pictures whose class is known: a subfolder per class.")
        return truth

    def _word(self, name: str) -> str:
        """The class in a name: cat/1.jpg, n01440764_tench.JPEG, cat.0.jpg, lion (2).png; a number is none."""
        if "/" in name:
            return name.partition("/")[0]
        word = re.sub(r"[ ._-]+\(?[0-9]+\)?$", "", Path(name).stem)
        return name if word.isdecimal() and word not in self.names else word


def _wordnet(word: str) -> str:
    """The WordNet id in a name, alone or with the name: n01440764_tench, tench (n01440764)."""
    found = re.search(r"(?<![a-z0-9])n\d{8}(?!\d)", word.casefold())
    return found[0] if found else ""


def _plain(word: str) -> str:
    """In small letters, with one underscore for spaces, hyphens and underscores."""
    return re.sub(r"[\s_-]+", "_", unicodedata.normalize("NFKC", word).casefold()).strip("_")
