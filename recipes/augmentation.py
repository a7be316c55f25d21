"""Image augmentation, shown: the same digits before and after each kind (document, sections 2 and 6.6).

    python -m keraskit.recipes.augmentation
    keraskit augment --preview PHOTO.jpg --rotation-range 40 --horizontal-flip

The document gave shear_range 1.25 and 0.2 to a Keras that took radians; in degrees: 71.6 and 11.5. Writes nine sheets.
"""

from pathlib import Path
from typing import Annotated

import keraskit
from keraskit import Augmentation, Program
from keraskit.datasets import mnist
from keraskit.datasets.images import drawn_pets
from keraskit.datasets.images.sources import SHIPPED
from keraskit.errors import Count
from keraskit.files import check_folder
from keraskit.runs import plots
from keraskit.runs.folder import RunFolder, now
from keraskit.tools.preview import clipped, preview, visible

import numpy as np
from annotated_types import Interval
from PIL import Image

SHEETS = {
    "2-rotation-90": Augmentation(rotation_range=90),
    "3-shift-0.2": Augmentation(width_shift_range=0.2, height_shift_range=0.2),
    "4-shear-71.6-degrees": Augmentation(shear_range=71.6),
    "5-flips": Augmentation(horizontal_flip=True, vertical_flip=True),
    "6-featurewise-standardisation": Augmentation(featurewise_center=True, featurewise_std_normalization=True),
    "7-zca-whitening": Augmentation(featurewise_center=True, zca_whitening=True, zca_epsilon=1e-2),
}
SEVEN_TRANSFORMS = Augmentation(
    rotation_range=40,
    width_shift_range=0.2,
    height_shift_range=0.2,
    shear_range=11.5,
    zoom_range=0.2,
    horizontal_flip=True,
    fill_mode="nearest",
)


def write_sheets(output_dir: Path = Path("runs"), seed: Annotated[int, Interval(ge=0)] = 0, digits: Count = 9) -> Path:
    """Write the document's pictures into a new folder, and return it.

    Args:
        output_dir: Folder under which to make it.
        seed: Decides what is random.
        digits: How many digits a sheet shows.
    """
    check_folder(output_dir)
    arrays, source = mnist.load()
    folder = RunFolder.create(output_dir, "augmentation")
    with folder.recorded(recipe="augmentation", started=now(), seed=seed, data=source):
        write_digits(folder, arrays["x_train"][..., None], arrays["y_train"], digits, seed)
        photograph = SHIPPED / "chelsea.png"
        if not photograph.is_file():  # installed without the repository
            photograph = folder.path / "drawn-cat.png"
            Image.fromarray(drawn_pets.draw("cat", 0)).save(photograph)
        preview([photograph], SEVEN_TRANSFORMS, folder.path / "9-seven-transforms.png", versions=7, seed=seed)
    print(f"sheets         {folder.path}")
    return folder.path


def write_digits(folder: RunFolder, x_train: np.ndarray, labels: np.ndarray, digits: int, seed: int) -> None:
    """The sheets of digits, 1 to 8."""
    x = x_train[:digits]
    with folder.atomic("1-first-images.png") as path:
        plots.sheet(x, [str(label) for label in labels[:digits]], path, "first images", columns=digits)
    for name, augmentation in SHEETS.items():
        if augmentation.needs_fit:
            augmentation = augmentation.fit(x_train)
        after = augmentation.standardize(augmentation.transform(x, (seed, 0))).numpy()
        after = [visible(image) if augmentation.needs_fit else clipped(image) for image in after]
        side_by_side(folder, f"{name}.png", x, after, name.partition("-")[2].replace("-", " "))

    saved = Augmentation(rotation_range=90).flow(
        x, batch_size=digits, seed=seed, save_to_dir=folder.path / "saved", save_prefix="aug", save_limit=digits
    )
    next(iter(saved))
    files = sorted((folder.path / "saved").iterdir())
    pictures = [np.asarray(Image.open(file)) for file in files]
    with folder.atomic("8-saved-files.png") as path:
        plots.sheet(pictures, [file.name for file in files], path, "saved files", columns=digits)


def side_by_side(folder: RunFolder, name: str, before: np.ndarray, after: list[np.ndarray], title: str) -> None:
    """A sheet with the pictures in the upper row and what became of them in the lower."""
    captions = ["before"] * len(before) + ["after"] * len(before)
    with folder.atomic(name) as path:
        plots.sheet([*before, *after], captions, path, title, columns=len(before))


recipe = Program(run=write_sheets, section="2, 6.6")

if __name__ == "__main__":
    keraskit.main(recipe)
