"""Keras's pretrained networks by name: how each is built, the pixels it expects, and filling it with weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from keraskit import system
from keraskit.errors import UserError, sentence
from keraskit.models import weights
from keraskit.suggest import did_you_mean


def find(name: str) -> tuple[Callable[..., keras.Model], Callable[[Any], Any]]:
    """The builder of an application and its `preprocess_input`, by any spelling of its name. Raises UserError."""
    known = {_plain(n): n for n in dir(keras.applications) if n[0].isupper()}
    if _plain(name) not in known:
        meant = did_you_mean(name, known.values())
        raise UserError(f"Keras has no application {name!r}. {meant}", f"It has {', '.join(sorted(known.values()))}.")
    builder = getattr(keras.applications, known[_plain(name)])
    module = getattr(keras.applications, builder.__module__.rpartition(".")[2])
    return builder, module.preprocess_input


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def create(name: str, alpha: float = 1.0, size: int | None = None, **arguments: Any) -> keras.Model:
    """An application without weights.

    Args:
        name: such as "vgg16".
        alpha: MobileNet's factor on the number of filters.
        size: height and width of the input in pixels (default: the application's own).
        arguments: as Keras has them, such as `include_top`.
    """
    builder, _ = find(name)
    if alpha != 1.0:
        if not _plain(name).startswith("mobilenet"):
            raise UserError(f"--alpha is MobileNet's; {name} has none.", "Leave it out.")
        arguments["alpha"] = alpha
    if size:
        arguments["input_shape"] = (size, size, 3)
    try:
        return builder(**{"weights": None, **arguments})
    except ValueError as error:
        raise UserError(f"{name} cannot be built: {sentence(error)}", "Leave --size and --alpha out.") from error
    except Exception as error:  # whatever the network does wrong; Keras raises a bare Exception
        raise unavailable(error) from error


def unavailable(error: Exception) -> UserError:
    """What to tell a user whose weights Keras could not download: the file, where it belongs, and the other way."""
    home = system.keras_home() / "models"
    file = re.search(r"[^/ ]+\.h5", str(error))
    return UserError(
        f"Keras could not download {file[0] if file else 'the weights'}: {sentence(error)}",
        f"Put the file into {home}, or name it with --weights FILE; --weights none is an untrained network.",
    )


def load_imagenet(model: keras.Model) -> list[str]:
    """Fill the application within a model with Keras's published weights. Returns the layers without any: none."""
    base = nested(model)
    assert base is not None, "a model around an application"
    name, _, rest = (
        base.name.rpartition("_")[0].partition("_") if base.name.startswith("mobilenet") else (base.name, "", "")
    )
    published = create(name, float(rest or 1.0), base.input_shape[1], include_top=False, weights="imagenet")
    base.set_weights(published.get_weights())
    return []


def nested(model: keras.Model) -> keras.Model | None:
    """The one model inside another, if there is one."""
    found = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return found[0] if len(found) == 1 else None


def load_file(model: keras.Model, path: Path) -> None:
    """Fill a model from a file: Keras's published .h5, with or without its head, .weights.h5, or .keras.

    Raises:
        UserError: the file cannot be read or does not fit; it says which layer, and which shapes.
    """
    try:
        if path.suffix == ".keras":
            weights.check_archive(path)
            model.load_weights(path)
            return
        weights.check_hdf5(path)
        if path.name.endswith(".weights.h5"):
            model.load_weights(path)
        else:
            _load_h5(model, path)
    except Exception as error:  # a damaged or hostile file makes Keras raise anything
        advice = _width(model, path) or "Name the file of the same model."
        raise UserError(f"{path} does not fit {model.name}: {sentence(error)}", advice) from error


def _width(model: keras.Model, path: Path) -> str:
    """What to say of MobileNet's weights of another width; empty for other models and other misfits."""
    try:
        filters = dict(_stored(path))["conv1"][0].shape[-1] if model.name.startswith("mobilenet_") else 0
        fits = filters == model.get_layer("conv1").filters
    except Exception:  # a damaged or hostile file, as above
        return ""
    return f"These are the weights of --alpha {filters / 32:g}." if filters and not fits else ""


def _load_h5(model: keras.Model, path: Path) -> None:
    """Keras 2's format: by name where the file knows every layer, else layer after layer; never a part in silence."""
    stored = list(_stored(path))
    by_name = dict(stored)
    layers = [layer for layer in model.layers if layer.weights]
    if set(by_name) >= {layer.name for layer in layers}:  # perhaps more, such as a head
        found = [(layer.name, by_name[layer.name]) for layer in layers]
    else:
        found = stored
    if len(found) < len(layers):
        raise ValueError(f"it has {len(found)} layers with weights, the model {len(layers)}.")
    for layer, (name, arrays) in zip(layers, found, strict=False):
        shapes, wanted = [a.shape for a in arrays], [tuple(w.shape) for w in layer.weights]
        if shapes != wanted:
            raise ValueError(f"layer {layer.name} has shapes {wanted}, its {name} has {shapes}.")
    for layer, (_, arrays) in zip(layers, found, strict=False):
        layer.set_weights(arrays)


def _stored(path: Path) -> list[tuple[str, list[np.ndarray]]]:
    """The layers of an .h5 file that have weights, in its order."""
    with h5py.File(path) as file:
        group = file.get("model_weights", file)
        found = []
        for name in _texts(group, "layer_names"):
            arrays = [np.asarray(group[name][weight]) for weight in _texts(group[name], "weight_names")]
            if arrays:
                found.append((name, arrays))
        return found


def _texts(group: h5py.Group, attribute: str) -> list[str]:
    """An attribute with names; Keras cuts a long one into several, counted from 0."""
    pieces = [attribute] if attribute in group.attrs else sorted(k for k in group.attrs if k.startswith(attribute))
    if not pieces:
        raise ValueError(f"it has no {attribute}, so it is no file of Keras's weights.")
    pieces.sort(key=lambda piece: int(piece[len(attribute) :] or 0))
    names = [name for piece in pieces for name in group.attrs[piece]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
