"""The 1,000 classes of ImageNet in Keras's order, from a file in the package, so that no download is needed.

The file is made from timm 1.0.31 (Apache-2.0; its licence is in the same folder): the list of synsets, each with its
first lemma in WordNet. It equals Keras's imagenet_class_index.json.
"""

import functools
from importlib.resources import files

from keraskit.datasets.images.truth import Labels


@functools.cache
def classes() -> tuple[tuple[str, str], ...]:
    """Return (WordNet id, name) of each class, such as ("n02504458", "African_elephant")."""
    text = files("keraskit.datasets.images").joinpath("imagenet_classes.txt").read_text("utf-8")
    return tuple((line.split()[0], line.split()[1]) for line in text.splitlines())


def names() -> list[str]:
    """Return a unique name for each class; two pairs of classes share a name, so their WordNet ids are added."""
    plain = [name for _, name in classes()]
    return [f"{name} ({wordnet})" if plain.count(name) > 1 else name for wordnet, name in classes()]


@functools.cache
def labels() -> Labels:
    """Return the classes by name, WordNet id or both: tench, n01440764, n01440764_tench, tench (n01440764)."""
    return Labels(names(), "ImageNet", [wordnet for wordnet, _ in classes()])
