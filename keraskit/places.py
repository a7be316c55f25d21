"""Looks at the files and folders that a user names before anything slow is loaded; reads names and a few bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keraskit import machine
from keraskit.config import RunConfig, changed, flag
from keraskit.datasets import array_files, class_names, layout, mnist, picture_files
from keraskit.errors import UserError
from keraskit.results.run_folder import MODEL, RunFolder
from keraskit.suggest import did_you_mean

NAMED_SETS = ("mnist", "fashion_mnist", "cifar10")  # that --dataset takes without a file

READ = {  # which knobs of data each module of loaders reads
    "digits": {"data_dir", "dataset", "classes"},
    "cats_and_dogs": {"data_dir", "download", "cache"},
    "clusters": set[str](),
}
DATA = set.union(*READ.values())


def check(config: RunConfig, reader: str) -> None:
    """Raise UserError where a run would refuse a place sooner or later.

    Args:
        config: what the user gave.
        reader: what reads the data, as a recipe names it, such as `digits.flat`; what others read is theirs to check.
    """
    if not config.resume:
        RunFolder.check(config.output_dir)
    if config.weights not in (None, "none", "imagenet"):
        weights_file(str(config.weights))
    if config.classes:
        class_names.read(config.classes)
    module = reader.partition(".")[0]
    for name in changed(config):
        if module in READ and name in DATA and name not in READ[module]:
            raise UserError(f"This recipe does not read {flag(name)}.", "Leave it out; --help lists what there is.")
    if module == "digits" and config.dataset not in (None, *NAMED_SETS):
        path = machine.expanded(str(config.dataset))
        if not path.exists() and not path.suffix and path.name == config.dataset:  # a name, and no path
            meant = did_you_mean(path.name, NAMED_SETS)
            advice = f"It takes {', '.join(NAMED_SETS)}, an .npz file, or a folder of IDX files."
            raise UserError(f"--dataset {path} is no set that Keras has, nor a file. {meant}", advice)
        array_files.check_place(path)
    elif module == "digits" and config.data_dir:
        mnist.check_place(config.data_dir)
    elif module == "cats_and_dogs" and config.data_dir:
        layout.arrange(picture_files.open_files(config.data_dir).names, config.data_dir)


def check_arguments(pictures: Sequence[Path], arguments: Mapping[str, Any]) -> None:
    """The same for the arguments of a recipe that trains nothing: its pictures, and its weights."""
    if pictures:
        picture_files.find(pictures)
    if arguments.get("weights", "imagenet") not in ("none", "imagenet"):
        weights_file(arguments["weights"])


def weights_file(weights: str) -> Path:
    """The file that `--weights` names, by itself or as a run's folder. Raises UserError where it can be none."""
    path = machine.expanded(weights)
    advice = "It takes a file, a run's folder, or imagenet where a recipe knows Keras's published ones."
    if path.is_dir():
        if not (path / MODEL).is_file():
            raise UserError(f"--weights {weights}: the folder holds no {MODEL}.", advice)
        path = path / MODEL
    if not path.is_file():
        raise UserError(f"--weights {weights}: there is no such file.", advice)
    with path.open("rb") as file:
        start = file.read(8)
    if not start.startswith((b"PK\x03\x04", b"\x89HDF\r\n\x1a\n")):
        raise UserError(f"--weights {weights}: neither a .keras nor an HDF5 file, or half of one.", advice)
    return path
