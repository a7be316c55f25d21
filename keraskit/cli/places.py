"""Looks at the files and folders that a user names before anything slow is loaded; reads names and a few bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keraskit import system
from keraskit.config import RunConfig
from keraskit.datasets import array_files, class_names, mnist
from keraskit.datasets.images import labels, sources
from keraskit.errors import UserError
from keraskit.files import check_folder, weights_file
from keraskit.suggest import did_you_mean

NAMED_SETS = ("mnist", "fashion_mnist", "cifar10")  # that --dataset takes without a file


def check(config: RunConfig, options: Mapping[str, Any], reader: str) -> None:
    """Raise UserError where a run would refuse a place sooner or later.

    Args:
        config: what the user gave.
        options: the same of the recipe's own flags.
        reader: what reads the data, as a recipe names it, such as `digits.flat`; what others read is theirs to check.
    """
    if not config.resume:
        check_folder(config.output_dir)
    if config.weights not in (None, "none", "imagenet"):
        weights_file(str(config.weights))
    file, _, function = (config.callbacks or "").rpartition(":")
    if config.callbacks and not (Path(file).is_file() and function.isidentifier()):
        raise UserError(f"--callbacks {config.callbacks} names no function.", "Expected file.py:function.")
    module, data_dir = reader.partition(".")[0], options.get("data_dir")
    if module == "digits" and options.get("classes"):
        class_names.read(options["classes"])
    if module == "digits" and options.get("dataset") not in (None, *NAMED_SETS):
        path = system.expanded(str(options["dataset"]))
        if not path.exists() and not path.suffix and path.name == options["dataset"]:  # a name, and no path
            meant = did_you_mean(path.name, NAMED_SETS)
            advice = f"It takes {', '.join(NAMED_SETS)}, an .npz file, or a folder of IDX files."
            raise UserError(f"--dataset {path} is no set that Keras has, nor a file. {meant}", advice)
        array_files.check_place(path)
    elif module == "digits" and data_dir:
        mnist.check_place(data_dir)
    elif module == "cats_and_dogs" and data_dir:
        files = sources.open_files(data_dir)
        labels.arrange(files.names, data_dir, None, options.get("shares"), options.get("split_by"), files.others)


def check_arguments(pictures: Sequence[Path], arguments: Mapping[str, Any]) -> None:
    """The same for the arguments of a recipe that trains nothing: its pictures, and its weights."""
    if pictures:
        sources.find(pictures)
    if arguments.get("weights", "imagenet") not in ("none", "imagenet"):
        weights_file(arguments["weights"])
