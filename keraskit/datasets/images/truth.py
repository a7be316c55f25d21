"""Look up classes, a run's or ImageNet's, by folder or file name, such as Great-White Shark, n01440764_tench, or 3."""

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from keraskit import system
from keraskit.datasets.images.sources import Folder, listed
from keraskit.errors import UserError, did_you_mean


class Labels:
    """Look up the classes of `owner` by name, ignoring case and separators, by WordNet id, or by index."""

    def __init__(self, names: Sequence[str], owner: str, wordnet: Sequence[str] = ()) -> None:
        self.names, self.owner = list(names), owner
        plain = [_plain(name) for name in names]
        exact, by_id = ({each: k for k, each in enumerate(several)} for several in (names, wordnet))
        alone = {name: k for k, name in enumerate(plain) if plain.count(name) == 1}
        numbered = any(name.isdecimal() for name in names)  # as in folders 3, 7 and 10, which are no indices
        by_index = {} if numbered else {str(k): k for k in range(len(names))}
        self._ways = (
            lambda word: exact.get(word, alone.get(_plain(word))),
            lambda word: by_id.get("".join(re.findall(r"(?<![a-z0-9])n\d{8}(?!\d)", word.casefold()))),
            by_index.get,
        )

    def find(self, words: Iterable[str]) -> dict[str, int]:
        """Return the class of each word. Raises UserError for unknown words, or a mix of names, ids and indices."""
        words = list(dict.fromkeys(words))
        found = [{word: k for word in words if (k := way(word)) is not None} for way in self._ways]
        best = max(found, key=len)
        if unknown := [word for word in words if word not in best]:
            few = ", ".join(self.names[:12]) + " ..." * (len(self.names) > 12)
            advice = f"{did_you_mean(unknown[0], self.names)} Its classes are {few}."
            mixed = f" as {next(iter(best))!r} does" if any(unknown[0] in each for each in found) else ""
            raise UserError(f"{unknown[0]!r} names no class of {self.owner}{mixed}.", advice)
        return best

    def of_pictures(self, folders: Sequence[str | Path]) -> dict[Path, str]:
        """Return every image below the folders with its class, from the subfolder or the start of the file name.

        Raises UserError if a name is not a class, or if a folder has no images.
        """
        truth, advice = dict[Path, str](), "--evaluate needs pictures whose class is known: a subfolder per class."
        for root in map(system.expanded, folders):
            folder = Folder(root) if root.is_dir() else None
            if not folder or not folder.names:
                why = f": {listed(folder.skipped)}" if folder else ""
                raise UserError(f"{root} is no folder that holds pictures{why}.", advice)
            words = {name: self._word(name) for name in sorted(folder.names)}
            classes = self.find(words.values())
            truth |= {root / name: self.names[classes[word]] for name, word in words.items()}
        if not truth:
            raise UserError("No folder is named.", advice)
        return truth

    def _word(self, name: str) -> str:
        """Return the class in a name: cat/1.jpg, n01440764_tench.JPEG, cat.0.jpg, lion (2).png; no bare number."""
        word = re.sub(r"[ ._-]+\(?[0-9]+\)?$", "", Path(name).stem)
        alone = "/" not in name and (word in self.names or not word.isdecimal())
        return word if alone else name.partition("/")[0]


def _plain(word: str) -> str:
    """Return the word in lower case, with runs of spaces, hyphens and underscores as one underscore."""
    return re.sub(r"[\s_-]+", "_", unicodedata.normalize("NFKC", word).casefold()).strip("_")


@functools.cache
def imagenet() -> tuple[tuple[str, str], ...]:
    """Return (WordNet id, name) of ImageNet's 1,000 classes in Keras's order, such as ("n01440764", "tench").

    The file in the package equals Keras's imagenet_class_index.json. It is made from timm 1.0.31 (Apache-2.0; its
    licence is in the same folder): the list of synsets, each with its first lemma in WordNet.
    """
    text = files("keraskit.datasets.images").joinpath("imagenet_classes.txt").read_text("utf-8")
    return tuple((line.split()[0], line.split()[1]) for line in text.splitlines())


def imagenet_names() -> list[str]:
    """Return a unique name for each class; two pairs of classes share a name, so their WordNet ids are added."""
    plain = [name for _, name in imagenet()]
    return [f"{name} ({wordnet})" if plain.count(name) > 1 else name for wordnet, name in imagenet()]


@functools.cache
def imagenet_labels() -> Labels:
    """Return the classes by name, WordNet id or both: tench, n01440764, n01440764_tench, tench (n01440764)."""
    return Labels(imagenet_names(), "ImageNet", [wordnet for wordnet, _ in imagenet()])
