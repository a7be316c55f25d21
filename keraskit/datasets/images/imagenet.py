"""The 1,000 classes of ImageNet as Keras counts them, from a file that ships, so that no answer needs the network.

The file is made from timm 1.0.31 (Apache-2.0; its licence lies beside it): its list of synsets, and of each the first
lemma of WordNet. It equals Keras's imagenet_class_index.json.
"""

import functools
from importlib.resources import files

from keraskit.datasets.images.truth import Labels


@functools.cache
def classes() -> tuple[tuple[str, str], ...]:
    """(WordNet id, name) of each class, such as ("n02504458", "African_elephant")."""
    text = files("keraskit.datasets.images").joinpath("imagenet_classes.txt").read_text("utf-8")
    return tuple((line.split()[0], line.split()[1]) for line in text.splitlines())


def names() -> list[str]:
    """A name for each class; two pairs of classes share one, and carry their WordNet id as well."""
    plain = [name for _, name in classes()]
    return [f"{name} ({wordnet})" if plain.count(name) > 1 else name for wordnet, name in classes()]


@functools.cache
def labels() -> Labels:
    """The classes by name or WordNet id, alone or both: tench, n01440764, n01440764_tench, tench (n01440764)."""
    return Labels(names(), "ImageNet", [wordnet for wordnet, _ in classes()])
