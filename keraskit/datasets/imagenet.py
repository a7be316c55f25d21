"""The 1,000 classes of ImageNet as Keras counts them, from a file that ships, so that no answer needs the network.

The file is made from timm 1.0.31 (Apache-2.0; its licence lies beside it): its list of synsets, and of each the first
lemma of WordNet. It equals Keras's imagenet_class_index.json.
"""

from __future__ import annotations

import functools
from importlib.resources import files

from keraskit.errors import UserError


@functools.cache
def classes() -> tuple[tuple[str, str], ...]:
    """(WordNet id, name) of each class, such as ("n02504458", "African_elephant")."""
    text = files("keraskit.datasets").joinpath("imagenet_classes.txt").read_text("utf-8")
    return tuple((line.split()[0], line.split()[1]) for line in text.splitlines())


def names() -> list[str]:
    """A name for each class; two pairs of classes share one, and carry their WordNet id as well."""
    plain = [name for _, name in classes()]
    return [f"{name} ({wordnet})" if plain.count(name) > 1 else name for wordnet, name in classes()]


def index_of(word: str) -> int:
    """The number of the class with this WordNet id or name. Raises UserError for none, or for a name of two."""
    wanted = word.lower().replace(" ", "_")
    found = [i for i, (wordnet, name) in enumerate(classes()) if wanted in (wordnet, name.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        ids = " and ".join(classes()[i][0] for i in found)
        raise UserError(f"{word!r} is the name of two classes, {ids}.", "Call the folder by one of these.")
    raise UserError(f"{word!r} is no class of ImageNet.", "Call the folder by a class's name or WordNet id.")
