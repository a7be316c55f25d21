"""Image augmentation by Keras's own layers, and in ImageDataGenerator's words (tutorial, sections 2 and 6.6).

    python -m keraskit.recipes.augmentation
    python -m keraskit.recipes.cats_dogs_augmented --keras-layers
    keraskit augment --preview PHOTO.jpg --rotation-range 40 --horizontal-flip

What differs: each of Keras's layers resamples by itself, so that several blur, where keraskit's Augmentation resamples
once. RandomShear leaves the upper left corner in place, not the centre; ImageDataGenerator's shear, in words, also
stretches sideways, by up to 1 / cos(71.6 degrees) here. Keras has no layer for ZCA whitening. The tutorial's
shear_range is in radians: 1.25 and 0.2 are 71.6 and 11.5 degrees.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers
from matplotlib.figure import Figure

import keraskit
from keraskit import Augmentation
from keraskit.datasets import digits

IN_WORDS = {
    "rotation": Augmentation(rotation_range=90),
    "shift": Augmentation(width_shift_range=0.2, height_shift_range=0.2),
    "shear": Augmentation(shear_range=71.6),
    "flips": Augmentation(horizontal_flip=True, vertical_flip=True),
    "standardisation": Augmentation(featurewise_center=True, featurewise_std_normalization=True),
    "zca": Augmentation(featurewise_center=True, zca_whitening=True, zca_epsilon=1e-2),
    "seven": Augmentation(
        rotation_range=40, width_shift_range=0.2, height_shift_range=0.2, shear_range=11.5, zoom_range=0.2,
        horizontal_flip=True,
    ),
}  # fmt: skip


def pipeline(kind: str = "seven", data: np.ndarray | None = None) -> keras.Sequential:
    """Keras's layers for one kind of augmentation: pictures of shape (n, height, width, channels) in, the same out.

    Args:
        kind: rotation, shift, shear, flips, standardisation, or seven, the arguments of section 6.6. zca has no layers.
        data: Pictures whose mean and deviation standardisation takes.
    """
    edge = {"fill_mode": "nearest", "dtype": "float32"}  # bfloat16 has too few digits for where a pixel lies
    kinds = {
        "rotation": [layers.RandomRotation(90 / 360, **edge)],
        "shift": [layers.RandomTranslation(0.2, 0.2, **edge)],
        "shear": [layers.RandomShear(y_factor=(0.0, 0.95), **edge)],
        "flips": [layers.RandomFlip("horizontal"), layers.RandomFlip("vertical")],  # RandomFlip() mirrors both or none
        "standardisation": [layers.Normalization()],
        "seven": [
            layers.RandomRotation(40 / 360, **edge),
            layers.RandomTranslation(0.2, 0.2, **edge),
            layers.RandomShear(y_factor=(0.0, 0.2), **edge),  # to both sides; Keras cannot load a saved 0.2
            layers.RandomZoom(0.2, 0.2, **edge),
            layers.RandomFlip("horizontal"),
        ],
    }
    if data is not None and kind == "standardisation":
        kinds[kind][0].adapt(data)
    return keras.Sequential(kinds[kind], name=kind)


def augmentation(output: Path = Path("augmentation.png"), seed: int = 0) -> None:
    """Draw digits before and after each kind, by layers and in words.

    Args:
        output: The PNG to write.
        seed: Decides what is random.
    """
    keras.utils.set_random_seed(seed)
    x = digits.images().train.take(np.arange(2_000))[0]  # from 0 to 1, as ZCA's epsilon is small
    rows = {"before": x[:9]}
    for kind, words in IN_WORDS.items():
        fitted = words.fit(x) if words.needs_fit else words
        if kind != "zca":
            rows[f"{kind}, by layers"] = pipeline(kind, x)(x[:9], training=True)
        rows[f"{kind}, in words"] = fitted.standardize(fitted.transform(x[:9], (seed, 0)))
    figure = Figure(figsize=(9, 1.3 * len(rows)))
    for (name, pictures), line in zip(rows.items(), figure.subplots(len(rows), 9, squeeze=False), strict=True):
        line[0].set_title(name, loc="left")
        for picture, place in zip(pictures, line, strict=True):
            place.imshow(np.squeeze(picture), cmap="gray")
            place.axis("off")
    figure.savefig(output, bbox_inches="tight")
    print(f"sheet: {output}")


if __name__ == "__main__":
    keraskit.main(augmentation)
