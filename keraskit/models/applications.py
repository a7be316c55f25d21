"""Keras's applications by name: build, preprocess, load weights, decode predictions."""

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from keraskit import system
from keraskit.datasets.array_files import explained
from keraskit.datasets.images.layout import imagenet
from keraskit.errors import UserError, did_you_mean, sentence
from keraskit.models import weights

LAST = {  # a layer far up in each application that has no scaling of its own, and the module of its preprocess_input
    **{"conv5_block3_3_bn": "resnet", "conv5_block3_preact_bn": "resnet_v2", "conv5_block16_2_conv": "densenet"},
    **{"conv_pw_13_bn": "mobilenet", "block_16_project_BN": "mobilenet_v2", "block14_sepconv2_bn": "xception"},
    **{"mixed10": "inception_v3", "conv_7b_bn": "inception_resnet_v2", "block5_conv3": "vgg16", "stem_bn1": "nasnet"},
}


def find(name: str) -> tuple[Callable[..., keras.Model], Callable[[Any], Any]]:
    """Return an application's builder and `preprocess_input`; `name` in any spelling. Raises UserError if unknown."""
    names = {n.lower(): n for n in dir(keras.applications) if n[0].isupper()}
    plain = "".join(filter(str.isalnum, name.lower()))
    if plain not in names:
        hint = did_you_mean(name, names.values())
        raise UserError(f"Keras has no application {name!r}. {hint}", f"It has {', '.join(sorted(names.values()))}.")
    builder = getattr(keras.applications, names[plain])
    module = getattr(keras.applications, builder.__module__.rpartition(".")[2])
    return builder, module.preprocess_input


def create(
    name: str, alpha: float = 1.0, size: int | None = None, weights: str = "none", **arguments: Any
) -> keras.Model:
    """Build an application with Keras's arguments; `alpha` is MobileNet's width multiplier.

    `weights` is "imagenet" for Keras's published weights, a file for `load_file`, or "none" for random weights.
    """
    builder, _ = find(name)
    arguments |= {"alpha": alpha} if alpha != 1.0 else {}  # only MobileNet has it
    arguments |= {"input_shape": (size, size, 3)} if size else {}
    try:
        model = builder(weights="imagenet" if weights == "imagenet" else None, **arguments)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name} cannot be built: {sentence(error)}", "Leave --size and --alpha out.") from error
    except Exception as error:  # a failed download; Keras raises a bare Exception
        raise unavailable(error) from error
    if weights not in ("imagenet", "none"):
        load_file(model, Path(weights))
    return model


def unavailable(error: Exception) -> UserError:
    """Return the error for weights that Keras could not download."""
    advice = f"Put the file into {system.keras_home() / 'models'}, or name it with --weights FILE; or --weights none."
    return UserError(f"Keras could not download the weights: {sentence(error)}", advice)


def load_imagenet(model: keras.Model) -> list[str]:
    """Load Keras's published weights into the application inside a model. Returns the layers without any: none."""
    if (base := nested(model)) is None:
        raise UserError(f"{model.name} holds no application of Keras.", "Name a file with --weights.")
    mobile = re.fullmatch(r"(mobilenet(?:v2)?)_(.*)_\d+", base.name)  # such as mobilenet_0.25_224
    name, alpha = (mobile[1], float(mobile[2])) if mobile else (base.name, 1.0)
    published = create(name, alpha, base.input_shape[1], include_top=False, weights="imagenet")
    with explained(f"The weights of Keras's {base.name} have other shapes", "Leave --alpha out."):
        base.set_weights(published.get_weights())
    return []


def decode_predictions(probabilities: np.ndarray, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Decode like Keras, with bundled class names: (WordNet id, name, probability), highest first."""
    classes = imagenet()
    return [[(*classes[k], row[k]) for k in np.argsort(-row, kind="stable")[:top]] for row in probabilities]


def nested(model: keras.Model) -> keras.Model | None:
    """Return the model nested in another, if there is exactly one."""
    found = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return found[0] if len(found) == 1 else None


def holding(model: keras.Model, layer: keras.Layer) -> str | None:
    """Return the module in keras.applications of the network that has this layer; None for other networks."""
    networks = [each for each in model._flatten_layers() if layer in getattr(each, "layers", [])]
    names = {each.name for network in networks for each in network.layers}
    copied = networks == [model] and layer.trainable  # tutorials build VGG16 themselves, with Keras's names
    return next((of for name, of in LAST.items() if name in names and not (copied and of == "vgg16")), None)


def load_file(model: keras.Model, path: Path) -> None:
    """Load Keras's published .h5, with or without head, .weights.h5 or .keras. Raises UserError if it does not fit."""
    try:
        weights.check(path)
        how = {}
        if path.suffix == ".h5" and not path.name.endswith(".weights.h5"):  # of Keras 2: in order, unless all are named
            with h5py.File(path) as file:
                attributes = file.get("model_weights", file).attrs  # long lists of names are split over several
                names = {os.fsdecode(n) for key in attributes if key.startswith("layer_names") for n in attributes[key]}
            how["by_name"] = names >= {layer.name for layer in model.layers if layer.weights}
        with warnings.catch_warnings(action="ignore"):  # the error says what does not fit
            model.load_weights(path, **how)
    except Exception as error:  # a damaged or hostile file makes Keras raise anything
        advice = "Name the file of the same model, made with the same flags."
        raise UserError(f"{path} does not fit {model.name}: {sentence(error)}", advice) from error
